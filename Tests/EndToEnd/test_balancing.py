"""How sessions spread over backends."""

from collections import Counter

import pytest

from addresses import text_of
from servers import greet_with
from streams import receive_exactly, receive_to_end
from weir_process import run_weir

NAMES = ["a", "b", "c"]


def entries(servers, **extra):
    """What a pool's list says of servers by name; `extra` has a list for each further key."""
    return [
        {"name": name, "address": text_of(server.listener.getsockname()),
         **{key: values[index] for key, values in extra.items()}}
        for index, (name, server) in enumerate(servers.items())
    ]


@pytest.fixture
def servers(new_server):
    return {name: new_server(greet_with(name)) for name in NAMES}


@pytest.fixture
def answers(start_weir, servers):
    """Starts Weir before three backends, and counts who answers how many of so many sessions."""

    def answers(count, weights=(1, 1, 1), balance="round_robin", workers=1):
        weir = start_weir(workers=workers, pool={"balance": balance, "backends": entries(servers, weight=weights)})
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


def hold(weir, count, **options):
    """Opens sessions and keeps them; answers who serves each."""
    return [receive_exactly(weir.connect(**options), 1).decode() for _ in range(count)]


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


@pytest.mark.parametrize("balance, least", [("adaptive", 10), ("peak_ewma", 1)])
def test_policies_that_measure_reach_all(answers, balance, least):
    answered = answers(150, balance=balance)
    # Who was slow to connect once is spared for seconds by peak_ewma, and gets half or more with adaptive.
    assert min(answered[name] for name in NAMES) >= least


@pytest.mark.parametrize("workers", [1, 2])
def test_least_connections_counts_over_all_workers(start_weir, servers, workers):
    weir = start_weir(
        workers=workers,
        pool={"balance": "least_connections", "backends": entries(servers, weight=[2, 1, 1])})
    assert Counter(hold(weir, 40)) == {"a": 20, "b": 10, "c": 10}
    weir.stop()
    assert {s["pick"]["score"] for s in weir.sessions() if s["backend"] == "a"} == set(range(20))


def test_power_of_two_keeps_counts_close(start_weir, servers):
    weir = start_weir(pool={"balance": "power_of_two", "backends": entries(servers)})
    held = Counter(hold(weir, 90))
    # Random draws alone would differ by about ten.
    assert max(held.values()) - min(held.values()) <= 5


@pytest.mark.parametrize(
    "pool",
    [
        {"balance": "ip_hash"},
        {"balance": "consistent_hash", "hash": {"key": "client_ip"}},
        {"balance": "consistent_hash", "hash": {"key": "client_ip", "algorithm": "ketama"}},
    ],
    ids=["ip_hash", "maglev", "ketama"])
def test_a_client_stays_with_its_backend(start_weir, servers, pool):
    clients = [f"127.0.0.{number}" for number in range(2, 42)]
    found = []
    # Another process, another order, another number of workers: the same choice.
    for workers, backends in ((1, entries(servers)), (2, entries(servers)[::-1])):
        weir = start_weir(workers=workers, pool={**pool, "backends": backends})
        chosen = {client: set(hold(weir, 3, source=client)) for client in clients}
        assert all(len(names) == 1 for names in chosen.values())
        assert set().union(*chosen.values()) == set(NAMES)
        found.append(chosen)
        weir.stop()
        pick = weir.sessions()[0]["pick"]
        assert pick["policy"] == pool["balance"]
        assert pick["key"] == "client_ip" and len(pick["hash"]) == 16
    assert found[0] == found[1]


def test_keys_of_a_dead_backend_go_to_one_other(start_weir, servers):
    weir = start_weir(
        pool={
            "balance": "consistent_hash", "hash": {"key": "client_ip", "algorithm": "ketama"},
            "backends": entries(servers),
        })
    clients = [f"127.0.0.{number}" for number in range(2, 42)]
    before = {client: hold(weir, 1, source=client)[0] for client in clients}
    servers["b"].close()
    after = {client: set(hold(weir, 3, source=client)) for client in clients}
    for client in clients:
        assert len(after[client]) == 1
        assert "b" not in after[client]
        if before[client] != "b":
            assert after[client] == {before[client]}
    assert len(set().union(*(after[c] for c in clients if before[c] == "b"))) == 2


def test_bounded_load_sends_on_what_is_too_much(start_weir, servers):
    weir = start_weir(
        pool={
            "balance": "consistent_hash", "hash": {"key": "client_ip", "bounded_load": "100%"},
            "backends": entries(servers),
        })
    # One client, one key: without a bound one backend would have them all.
    assert Counter(hold(weir, 30)) == {"a": 10, "b": 10, "c": 10}
    weir.stop()
    excluded = Counter(s["pick"].get("excluded", {}).get("bounded_load", 0) for s in weir.sessions())
    assert excluded == {0: 10, 1: 10, 2: 10}


def test_a_backup_serves_while_nobody_else_can(start_weir, servers, refusing):
    backends = entries(servers, backup=[True, False, False], max_sessions=[9, 2, 2])
    weir = start_weir(pool={"backends": backends})
    assert Counter(hold(weir, 6)) == {"a": 2, "b": 2, "c": 2}
    weir.stop()
    for session in weir.sessions():
        is_backup = session["backend"] == "a"
        assert ("backup" in session["pick"]) == is_backup
        if is_backup:
            assert session["pick"]["excluded"] == {"full": 2}
    dead = start_weir(
        pool={"backends": [{"name": "a", "address": refusing()}, {**backends[0], "name": "spare"}]})
    assert hold(dead, 3) == ["a"] * 3
    dead.stop()
    assert {(s["backend"], s["attempts"]) for s in dead.sessions()} == {("spare", 2)}


# -- Requests


def answer_with(name, delay=None):
    """Serves requests without a body, each after what `delay` waits."""

    def serve(connection):
        stream = connection.makefile("rb")
        while line := stream.readline():
            while line not in (b"\r\n", b""):
                line = stream.readline()
            if delay:
                delay()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name.encode())

    return serve


@pytest.fixture
def web(start_weir, new_server):
    """Starts Weir in http mode before three backends, and answers a function that sends a request."""

    def web(pool, delays=None):
        servers = {name: new_server(answer_with(name, (delays or {}).get(name))) for name in NAMES}
        weir = start_weir(listener={"mode": "http"}, pool={"backends": entries(servers), **pool})
        # Its records are of requests.
        weir.owns_access_log = False
        client = weir.connect()

        def ask(path="/", headers=""):
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
                answer += client.recv(4096)
            return answer[-1:].decode()

        return weir, ask

    return web


@pytest.mark.parametrize("algorithm", ["maglev", "ketama"])
def test_requests_stick_by_what_they_have(web, algorithm):
    weir, ask = web({
        "balance": "consistent_hash",
        "hash": {"key": "header:x-user", "fallback": "query:user", "algorithm": algorithm},
    })
    users = [f"user{number}" for number in range(30)]
    chosen = {user: ask(headers=f"X-User: {user}\r\n") for user in users}
    assert set(chosen.values()) == set(NAMES)
    for user in users:
        assert ask(path="/other", headers=f"x-user: {user}\r\n") == chosen[user]
        # The same key, found elsewhere.
        assert ask(path=f"/?user={user}") == chosen[user]
    assert len({ask() for _ in range(5)}) == 1
    weir.stop()
    records = weir.sessions()
    assert len(records) == 95
    keys = Counter(record["pick"]["key"] for record in records)
    assert keys == {"header:x-user": 60, "query:user": 30, "client_ip": 5}
    assert len({record["pick"]["hash"] for record in records}) == 31


def slow_event(milliseconds):
    """A backend that takes its time."""
    import threading

    never = threading.Event()
    return lambda: never.wait(milliseconds / 1000)


def test_peak_ewma_spares_a_slow_backend(web):
    weir, ask = web({"balance": "peak_ewma"}, delays={"b": slow_event(100)})
    answered = Counter(ask() for _ in range(200))
    # It is seen once; after that only where it was drawn twice.
    assert answered["b"] in range(0, 12)
    assert min(answered["a"], answered["c"]) > 20
    weir.stop()
    assert all("score" in record["pick"] for record in weir.sessions())


def test_adaptive_gives_a_slow_backend_less_and_never_nothing(web):
    weir, ask = web({"balance": "adaptive"}, delays={"b": slow_event(15)})
    answered = Counter(ask() for _ in range(400))
    # A third without; with weights between a half and twice, about a ninth.
    assert answered["b"] in range(15, 90)
    weir.stop()
    assert all(50 <= record["pick"]["score"] <= 200 for record in weir.sessions())


@pytest.mark.parametrize("balance", ["least_connections", "power_of_two", "random", "round_robin", "ip_hash"])
def test_requests_are_balanced_by_every_policy(web, balance):
    weir, ask = web({"balance": balance})
    answered = Counter(ask() for _ in range(60))
    assert len(answered) == (1 if balance == "ip_hash" else 3)
    weir.stop()
    assert Counter(record["backend"] for record in weir.sessions()) == answered
    assert {record["pick"]["policy"] for record in weir.sessions()} == {balance}


def test_explain_names_the_backend_that_serves(web):
    weir, ask = web({"balance": "consistent_hash", "hash": {"key": "header:x-user"}})
    for number in range(8):
        header = f"X-User: user{number}"
        told = run_weir("explain", "-c", str(weir.configuration_path), "GET", "http://x/", "-H", header).stdout
        choice = [line.split()[1] for line in told.splitlines() if line.startswith("choice")]
        assert choice == [ask(headers=header + "\r\n")]
