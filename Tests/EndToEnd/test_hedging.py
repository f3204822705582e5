"""`retry.hedge`: a request that waits unusually long is sent to a second backend too, and the first answer is heard."""

import socket
import struct
import threading
import time

import pytest

from deadlines import wait_until
from http_peers import Client, request, response


class Race:
    """Two backends that answer at once, but for targets below /slow: there `first` and `second` say what who sees it
    first and second does; each gets the request and answers what `Script` takes."""

    def __init__(self):
        self.lock = threading.Condition()
        self.seen = {}
        self.over = threading.Event()
        self.first = lambda message: self.late(message)
        self.second = lambda message: response(body=b"second " + message.target.encode())

    def backend(self, message):
        if not message.target.startswith("/slow"):
            return response(body=message.target.encode())
        with self.lock:
            turn = self.seen[message.target] = self.seen.get(message.target, 0) + 1
            self.lock.notify_all()
        return (self.first if turn == 1 else self.second)(message)

    def late(self, message):
        """Not before the test is over."""
        self.over.wait(30)
        return response(body=b"late " + message.target.encode())

    def wait_until_seen(self, target, times):
        with self.lock:
            assert self.lock.wait_for(lambda: self.seen.get(target, 0) >= times, 20), f"{target}: {self.seen}"


@pytest.fixture
def race(start_http, new_script):
    race = Race()

    def start(**settings):
        scripts = [new_script(race.backend) for _ in range(2)]
        race.weir = start_http(*scripts, listener={"retry": {"attempts": 1, "hedge": True, "budget": "100%", **settings}})
        race.client = Client(race.weir.connect())
        warm_up(race.client)
        return race

    yield start
    race.over.set()


def warm_up(client, count=30):
    """Weir learns what is usual, and keeps a connection to each backend."""
    for number in range(count):
        assert client.get(f"/{number}").body == b"/%d" % number


def record_of(weir, target):
    records = wait_until(
        lambda: [record for record in weir.sessions() if record.get("path") == target], f"the record of {target}")
    return records[0]


def test_the_second_backend_answers(race):
    race = race()
    answer = race.client.get("/slow")
    assert (answer.status, answer.body) == (200, b"second /slow")
    record = record_of(race.weir, "/slow")
    assert (record["hedged"], record["attempts"], record["reason"]) == ("won", 2, "ok")
    assert "connect_us" not in record
    # What the first one says at last is for nobody.
    race.over.set()
    warm_up(race.client)


@pytest.mark.parametrize("hedge", [True, False])
def test_slow_answers_become_rare(race, hedge):
    race = race(hedge=hedge)
    race.first = lambda message: time.sleep(0.3) or response(body=b"first")
    times = []
    for number in range(100):
        began = time.monotonic()
        target = f"/slow{number}" if number % 20 == 0 else "/"
        assert race.client.get(target).status == 200
        times.append(time.monotonic() - began)
    slow = sum(each > 0.25 for each in times)
    assert slow == 0 if hedge else slow == 5


@pytest.mark.parametrize("settings", [{}, {"non_idempotent": True}])
def test_what_may_do_harm_is_sent_once(race, settings):
    race = race(**settings)
    race.first = lambda message: time.sleep(0.2) or response(body=b"first")
    assert race.client.ask(request("POST", "/slow", body=b"once"), "POST").body == b"first"
    assert race.seen["/slow"] == 1
    assert "hedged" not in record_of(race.weir, "/slow")


def test_without_a_try_left_nothing_is_sent_twice(race):
    race = race(attempts=0)
    race.first = lambda message: time.sleep(0.2) or response(body=b"first")
    assert race.client.get("/slow").body == b"first"
    assert race.seen["/slow"] == 1


def test_the_first_backend_may_still_answer(race):
    race = race()

    def first(message):
        race.wait_until_seen("/slow", 2)
        return response(body=b"first")

    race.first, race.second = first, race.late
    assert race.client.get("/slow").body == b"first"
    record = record_of(race.weir, "/slow")
    assert (record["hedged"], record["attempts"]) == ("lost", 2)
    race.over.set()
    warm_up(race.client)


def test_pipelined_requests_keep_their_order(race):
    race = race()
    targets = [f"/slow{number}" if number % 6 == 5 else f"/{number}" for number in range(30)]
    race.client.send(b"".join(request(target=target) for target in targets))
    for target in targets:
        expected = b"second " if target.startswith("/slow") else b""
        assert race.client.response().body == expected + target.encode()


def test_a_client_that_leaves_while_both_are_asked(race):
    race = race()
    race.second = race.late
    race.client.send(request(target="/slow"))
    race.wait_until_seen("/slow", 2)
    race.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    race.client.sock.close()
    record = record_of(race.weir, "/slow")
    assert (record["hedged"], record["reason"]) == ("lost", "client_reset")
    race.over.set()
    warm_up(Client(race.weir.connect()))


@pytest.mark.parametrize("dies", ["first", "second"])
def test_one_of_both_dies(race, dies):
    race = race()
    died = threading.Event()

    def dying(message):
        race.wait_until_seen("/slow", 2)
        died.set()
        return [None]

    def living(message):
        died.wait(20)
        return response(body=b"alive")

    race.first, race.second = (dying, living) if dies == "first" else (living, dying)
    assert race.client.get("/slow").body == b"alive"
    assert record_of(race.weir, "/slow")["reason"] == "ok"
    warm_up(race.client)


def test_both_die(race):
    race = race()

    def dying(message):
        race.wait_until_seen("/slow", 2)
        return [None]

    # The one that is left was a kept connection: the request is sent once more, on a new one.
    race.first = race.second = dying
    answer = race.client.get("/slow")
    assert answer.status == 502
    assert record_of(race.weir, "/slow")["reason"] in ("backend_closed", "backend_reset")


def test_a_stop_while_both_are_asked(race):
    race = race()
    race.second = race.late
    race.client.send(request(target="/slow"))
    race.wait_until_seen("/slow", 2)
    race.over.set()
    assert race.client.response().status == 200
    race.weir.stop()
