"""How sessions spread over backends."""

from collections import Counter

import pytest

from addresses import text_of
from servers import greet_with
from streams import receive_to_end

NAMES = ["a", "b", "c"]


@pytest.fixture
def answers(start_weir, new_server):
    """Starts Weir before three backends, and counts who answers how many of so many sessions."""

    def answers(count, weights=(1, 1, 1), balance="round_robin", workers=1):
        servers = {name: new_server(greet_with(name)) for name in NAMES}
        backends = [
            {"name": name, "address": text_of(server.listener.getsockname()), "weight": weight}
            for (name, server), weight in zip(servers.items(), weights)
        ]
        weir = start_weir(workers=workers, pool={"balance": balance, "backends": backends})
        answered = Counter()
        for _ in range(count):
            with weir.connect() as client:
                answered[receive_to_end(client).decode()] += 1
            weir.sockets.clear()
        stopped = weir.stop()
        assert stopped["reasons"] == {"ok": count}
        sessions = weir.sessions()
        assert Counter(session["backend"] for session in sessions) == answered
        assert {session["pick"]["policy"] for session in sessions} == {balance}
        return answered

    return answers


def test_weights_are_kept_exactly_over_full_cycles(answers):
    assert answers(70, weights=(5, 1, 1)) == {"a": 50, "b": 10, "c": 10}


def test_equal_weights_take_turns(answers):
    assert answers(60) == {"a": 20, "b": 20, "c": 20}


def test_weight_0_takes_no_session(answers):
    assert answers(30, weights=(1, 0, 2)) == {"a": 10, "c": 20}


def test_each_of_two_workers_takes_turns(answers):
    answered = answers(200, workers=2)
    # Each worker's cycle may be unfinished.
    assert max(answered.values()) - min(answered.values()) <= 2


def test_random_reaches_all_by_their_weights(answers):
    answered = answers(600, weights=(4, 1, 1), balance="random")
    # Expected 400, 100, 100; the bounds are more than six standard deviations away.
    assert answered["a"] in range(325, 475)
    assert answered["b"] in range(45, 160)
    assert answered["c"] in range(45, 160)
