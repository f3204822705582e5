"""Who finds all backends full waits for a place, in order, for a bounded time."""

import signal
import time

import pytest

from addresses import reset
from http_peers import Client, Reader, request, response


def test_a_request_waits_for_a_place(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    first, second = Client(weir.connect()), Client(weir.connect())
    first.send(request(target="/1"))
    server = Reader(weir.keep(listener.accept()[0]))
    assert server.request().target == "/1"
    second.send(request(target="/2"))
    assert second.is_silent(0.2)
    server.sock.sendall(response(body=b"one"))
    assert first.response().body == b"one"
    assert server.request().target == "/2"
    server.sock.sendall(response(body=b"two"))
    assert second.response().body == b"two"
    records = weir.wait_for_sessions(2)
    assert "wait_us" not in records[0] and records[1]["wait_us"] > 100_000
    assert records[1]["reason"] == "ok" and "cause" not in records[1]


def backend_with(listener, **keys):
    host, port = listener.getsockname()
    return {"name": "only", "address": f"{host}:{port}", **keys}


@pytest.mark.parametrize("limit", ["backend", "pool"])
def test_they_are_served_in_order(start_http, new_backend, limit):
    listener = new_backend()
    backend = backend_with(listener, **({"max_sessions": 1} if limit == "backend" else {}))
    pool = {"breaker": {"max_sessions": 1}} if limit == "pool" else {}
    weir = start_http(backend, pool=pool)
    clients = []
    for number in range(6):
        client = Client(weir.connect())
        client.send(request(target=f"/{number}"))
        # Each stands in the queue before the next one comes.
        assert client.is_silent(0.05)
        clients.append(client)
    server = Reader(weir.keep(listener.accept()[0]))
    for number, client in enumerate(clients):
        assert server.request().target == f"/{number}"
        server.sock.sendall(response())
        assert client.response().status == 200


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_a_wait_has_an_end(start_weir, new_backend, mode):
    listener = new_backend()
    pool = {"breaker": {"pending_timeout": "300ms"}}
    weir = start_weir(backend_with(listener, max_sessions=1), pool=pool, listener={"mode": mode})
    holder, waiter = Client(weir.connect()), Client(weir.connect())
    holder.send(request())
    server = weir.keep(listener.accept()[0])
    Reader(server).request()
    began = time.monotonic()
    waiter.send(request())
    if mode == "http":
        assert waiter.response().status == 503
    else:
        # What it sent was not read.
        assert waiter.ending() == "reset"
    assert 0.2 < time.monotonic() - began < 5
    record = weir.wait_for_session()
    assert (record["reason"], record["cause"]) == ("timeout_pending", "backends_full")
    assert record["wait_us"] >= 290_000


def test_the_queue_is_bounded(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1), pool={"breaker": {"max_pending": 2}})
    clients = [Client(weir.connect()) for _ in range(4)]
    for client in clients[:3]:
        client.send(request())
        assert client.is_silent(0.05)
    clients[3].send(request())
    assert clients[3].response().status == 503
    record = weir.wait_for_session()
    assert (record["reason"], record["cause"]) == ("no_backend", "backends_full")
    server = Reader(weir.keep(listener.accept()[0]))
    for client in clients[:3]:
        server.request()
        server.sock.sendall(response())
        assert client.response().status == 200


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_who_leaves_gives_up_the_place_in_the_queue(start_weir, new_backend, mode):
    listener = new_backend()
    weir = start_weir(
        backend_with(listener, max_sessions=1), pool={"breaker": {"max_pending": 1}},
        listener={"mode": mode})
    holder = Client(weir.connect())
    holder.send(request())
    server = Reader(weir.keep(listener.accept()[0]))
    server.request()
    for number in range(1, 4):
        leaver = Client(weir.connect())
        leaver.send(request())
        assert leaver.is_silent(0.05)
        reset(leaver.sock)
        assert weir.wait_for_sessions(number)[-1]["reason"] == "client_reset"
    stayer = Client(weir.connect())
    stayer.send(request())
    assert stayer.is_silent(0.05)
    server.sock.sendall(response())
    assert holder.response().status == 200
    if mode == "tcp":
        holder.sock.close()
        server.sock.close()
        server = Reader(weir.keep(listener.accept()[0]))
    server.request()
    server.sock.sendall(response())
    assert stayer.response().status == 200


def test_places_that_another_worker_gives_back(start_http, new_script):
    script = new_script()
    weir = start_http(backend_with(script.server.listener, max_sessions=1), workers=2)
    clients = [Client(weir.connect()) for _ in range(16)]
    for _ in range(5):
        for client in clients:
            client.send(request())
        assert [client.response().status for client in clients] == [200] * 16
    assert len(script.requests) == 80


def queued(weir, listener, count, **options):
    """A client that has the only place, its backend's end, and others that wait for it in order."""
    clients = []
    for number in range(count + 1):
        client = Client(weir.connect())
        client.send(request(target=f"/{number}", **options))
        assert client.is_silent(0.05)
        clients.append(client)
    server = Reader(weir.keep(listener.accept()[0]))
    server.request()
    return clients, server


def serve(server, clients):
    for client in clients:
        target = server.request().target
        server.sock.sendall(response(body=target.encode()))
        assert client.response().body == target.encode()


def test_who_waits_is_served_while_weir_drains(start_http, new_backend):
    """With connections of their own: those that were kept are closed."""
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    clients, server = queued(weir, listener, 3)
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    server.sock.sendall(response())
    assert clients[0].response().status == 200
    for number, client in enumerate(clients[1:], 1):
        server = Reader(weir.keep(listener.accept()[0]))
        assert server.request().target == f"/{number}"
        server.sock.sendall(response())
        assert client.response().status == 200
    assert weir.wait_for_end()["reasons"] == {"ok": 4}


def test_who_waits_does_not_outlast_the_drain(start_http, new_backend):
    listener = new_backend()
    weir = start_http(
        backend_with(listener, max_sessions=1), pool={"breaker": {"pending_timeout": "1h"}},
        arguments=["--drain-timeout", "1"])
    clients, server = queued(weir, listener, 2)
    weir.signal(signal.SIGTERM)
    for client in clients:
        assert client.ending() in ("fin", "reset")
    weir.wait_for_end()


def test_a_half_closed_client_is_served_in_its_turn(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    clients, server = queued(weir, listener, 2)
    for client in clients:
        client.end()
    server.sock.sendall(response())
    assert clients[0].response().status == 200
    serve(server, clients[1:])
    for client in clients:
        assert client.ending() == "fin"


def test_what_is_pipelined_waits_with_its_request(start_http, new_backend):
    """A place is a request's, not a client's: between the two of the first client the second one comes."""
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    clients, server = queued(weir, listener, 2)
    clients[1].send(request(target="/1b"))
    server.sock.sendall(response())
    assert clients[0].response().status == 200
    serve(server, [clients[1], clients[2], clients[1]])


def test_an_upload_waits_and_comes_whole(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    clients, server = queued(weir, listener, 0)
    body = bytes(range(256)) * 1000
    waiter = Client(weir.connect())
    waiter.send(request("POST", "/up", body=body))
    assert waiter.is_silent(0.1)
    server.sock.sendall(response())
    assert clients[0].response().status == 200
    assert server.request().body == body
    server.sock.sendall(response())
    assert waiter.response().status == 200


def test_a_backend_that_goes_frees_its_place(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener, max_sessions=1))
    clients, server = queued(weir, listener, 1)
    reset(server.sock)
    assert clients[0].response().status == 502
    server = Reader(weir.keep(listener.accept()[0]))
    serve(server, clients[1:])


def test_a_tunnel_keeps_its_place(start_http, new_backend):
    listener = new_backend()
    weir = start_http(backend_with(listener), pool={"breaker": {"max_sessions": 1}})
    clients, server = queued(weir, listener, 1, fields={"Connection": "Upgrade", "Upgrade": "echo"})
    server.sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
    assert clients[0].head().status == 101 and clients[0].exactly(5) == b"hello"
    assert clients[1].is_silent(0.2)
    clients[0].sock.close()
    server.sock.close()
    server = Reader(weir.keep(listener.accept()[0]))
    assert server.request().target == "/1"
    server.sock.sendall(response())
    assert clients[1].response().status == 200
