"""Limits make clients wait or turn them away; what is given back is used again."""

import select
import threading

import pytest

from addresses import free_port, text_of
from conftest import address_of
from deadlines import wait_until, wait_until_still
from servers import echo
from streams import Sender, ending_of, exchange, finish, receive_exactly, receive_to_end


def is_left_alone(listener, seconds=0.1):
    """Nobody connects to it."""
    return not select.select([listener], [], [], seconds)[0]


def test_the_limit_of_a_listener_makes_clients_wait_and_loses_none(start_weir, backend):
    weir = start_weir(backend, listener={"limits": {"sessions": 4}})
    clients = [weir.connect() for _ in range(12)]
    for index, client in enumerate(clients):
        client.sendall(b"%02d" % index)
    serving = [weir.keep(backend.accept()[0]) for _ in range(4)]
    weir.wait_for_event("accept_paused")
    assert is_left_alone(backend)
    seen = set()
    while serving:
        server = serving.pop(0)
        number = receive_exactly(server, 2)
        seen.add(int(number))
        server.sendall(number)
        server.close()
        client = clients[int(number)]
        assert receive_to_end(client) == number
        client.close()
        # Its place goes to one who waited.
        if len(seen) <= 12 - 4:
            serving.append(weir.keep(backend.accept()[0]))
        assert is_left_alone(backend, 0.01)
    assert seen == set(range(12))
    assert weir.stop()["reasons"] == {"ok": 12}


def test_the_limit_of_one_listener_leaves_another_one_alone(start_weir, backend):
    full, free = (f"127.0.0.1:{free_port()}" for _ in range(2))
    weir = start_weir(
        configuration={
            "workers": 1,
            "listeners": {
                "full": {"bind": full, "pool": "back", "limits": {"sessions": 1}},
                "free": {"bind": free, "pool": "back"},
            },
            "pools": {"back": {"backends": [text_of(backend.getsockname())]}},
        })
    first = weir.pair(backend, listener="full")
    waiting = weir.connect("full")
    paused = weir.wait_for_event("accept_paused")
    assert paused["listener"] == "full"
    for _ in range(5):
        exchange(*weir.pair(backend, listener="free"))
    exchange(*first)
    assert is_left_alone(backend)
    for sock in first:
        sock.close()
    exchange(waiting, weir.keep(backend.accept()[0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_limit_of_the_process_counts_all_listeners(start_weir, new_server, workers):
    server = new_server(echo)
    binds = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    weir = start_weir(
        configuration={
            "workers": workers,
            "limits": {"sessions": 6},
            "listeners": {
                f"l{index}": {"bind": bind, "pool": "back"} for index, bind in enumerate(binds)
            },
            "pools": {"back": {"backends": [text_of(server.listener.getsockname())]}},
        })
    clients = [weir.connect(f"l{index % 2}") for index in range(30)]
    for client in clients:
        client.sendall(b"ping")
    weir.wait_for_event("accept_paused")
    wait_until(lambda: server.accepted >= 6, "six sessions")
    # Each other listening socket may be at one accept already when the last place is taken.
    most = 6 + workers * len(binds) - 1
    served = 0
    waiting = clients
    while waiting:
        assert server.accepted - served <= most
        readable, _, _ = select.select(waiting, [], [], 30)
        assert readable, f"{len(waiting)} clients wait in vain"
        for client in readable:
            assert receive_exactly(client, 4) == b"ping"
            served += 1
            client.close()
            waiting.remove(client)
    assert weir.stop()["reasons"] == {"ok": 30}


def test_the_limit_per_client_turns_away_that_client_only(start_weir, backend):
    weir = start_weir(backend, listener={"limits": {"sessions_per_client": 2}})
    first = weir.pair(backend)
    second = weir.pair(backend)
    assert ending_of(weir.connect()) in ("fin", "reset")
    (refused,) = weir.wait_for_sessions(1)
    assert refused["reason"] == "client_limit"
    assert refused["client"].startswith("127.0.0.1:")
    assert "backend" not in refused and refused["attempts"] == 0
    assert is_left_alone(backend, 0.02)
    exchange(*weir.pair(backend, source="127.0.0.2"))
    exchange(*first)
    exchange(*second)
    for sock in first:
        sock.close()
    wait_until(lambda: len(weir.sessions()) == 2, "the first session to end")
    exchange(*weir.pair(backend))
    stopped = weir.stop()
    assert stopped["reasons"]["client_limit"] == 1


def test_the_limit_per_client_holds_under_a_storm(start_weir, new_server):
    server = new_server(echo)
    weir = start_weir(server, workers=2, listener={"limits": {"sessions_per_client": 10}})

    def storm():
        for _ in range(100):
            with weir.connect() as client:
                try:
                    client.sendall(b"x")
                    client.recv(1)
                except OSError:
                    pass

    threads = [threading.Thread(target=storm) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # All places were given back.
    wait_until(lambda: len(weir.sessions()) == 1600, "all sessions to end")
    clients = [weir.connect() for _ in range(10)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert ending_of(weir.connect()) in ("fin", "reset")


def test_a_full_backend_is_passed_over_and_all_full_is_said(start_weir, new_backend):
    backends = [new_backend(), new_backend()]
    weir = start_weir(
        pool={
            "backends": [
                {"name": f"b{index}", "address": text_of(backend.getsockname()), "max_sessions": 2}
                for index, backend in enumerate(backends)
            ],
            "breaker": {"max_pending": 0},
        })
    clients = [weir.connect() for _ in range(4)]
    pairs = [(backend, weir.keep(backend.accept()[0])) for backend in backends for _ in range(2)]
    assert ending_of(weir.connect()) in ("fin", "reset")
    (session,) = weir.wait_for_sessions(1)
    assert (session["reason"], session["cause"]) == ("no_backend", "backends_full")
    assert session["attempts"] == 0
    # A place of the second one comes free: that is where the next session goes.
    backend, server = pairs[2]
    server.close()
    ended = wait_until(lambda: select.select(clients, [], [], 0)[0], "the client to learn it")
    ended[0].close()
    weir.wait_for_sessions(2)
    exchange(*weir.pair(backend))


def test_a_backend_that_refuses_and_a_full_one_are_told_apart(start_weir, backend, refusing):
    weir = start_weir(
        pool={
            "backends": [
                {"name": "full", "address": text_of(backend.getsockname()), "max_sessions": 1},
                {"name": "down", "address": refusing()},
            ],
            "breaker": {"max_pending": 0},
        })
    exchange(*weir.pair(backend))
    assert ending_of(weir.connect()) in ("fin", "reset")
    (session,) = weir.wait_for_sessions(1)
    assert (session["reason"], session["cause"]) == ("no_backend", "connect_refused")
    assert (session["backend"], session["attempts"]) == ("down", 1)


def test_readers_that_stand_still_leave_buffers_for_the_others(start_weir, new_backend):
    """Copying, with windows that are warmed up: each burst for a reader that stops could take dozens."""
    stuck, quick = new_backend(), new_backend()
    front = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    weir = start_weir(
        configuration={
            "workers": 1,
            "limits": {"buffers": 512},
            "listeners": {
                "stuck": {"bind": front[0], "pool": "stuck", "relay": "copy"},
                "quick": {"bind": front[1], "pool": "quick", "relay": "copy"},
            },
            "pools": {
                "stuck": {"backends": [address_of(stuck)]},
                "quick": {"backends": [address_of(quick)]},
            },
        }
    )
    pairs = [weir.pair(stuck, listener="stuck") for _ in range(200)]
    others = [weir.pair(quick, listener="quick") for _ in range(20)]
    for client, server in pairs:
        sender = Sender(server, 1, 1, ends=False)
        sender.start()
        receive_exactly(client, 1 << 20)
        finish(sender)
    senders = [Sender(server, 1, 16, ends=False) for _, server in pairs]
    for sender in senders:
        sender.start()
    wait_until_still(lambda: sum(sender.sent_bytes for sender in senders), "the senders")
    for client, server in others:
        exchange(client, server)
