"""Slowness has limits, each with its own answer, and a drain lets requests end."""

import time

import pytest

from deadlines import wait_until
from http_peers import Client, Reader, chunked, request, response
from streams import ending_of

LONG = "1m"


def limits(**own):
    """All long but those that a test is about."""
    names = ["request_head", "request_body_idle", "keep_alive", "response_head", "connect", "idle"]
    return {"timeouts": {**{name: LONG for name in names}, **own}}


def answered(weir, client, status, reason):
    answer = client.response()
    assert answer.status == status and answer.get("connection") == "close"
    assert client.ending() == "fin"
    record = weir.wait_for_session()
    assert (record["status"], record["reason"]) == (status, reason)
    return record


def test_a_head_that_does_not_come_to_an_end(start_http, new_script):
    script = new_script()
    weir = start_http(script, listener=limits(request_head="300ms"))
    client = Client(weir.connect())
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    answered(weir, client, 408, "timeout_request_head")
    assert script.connections == 0


def test_the_time_of_a_head_is_not_prolonged_by_each_byte(start_http, new_script):
    weir = start_http(new_script(), listener=limits(request_head="400ms"))
    client = Client(weir.connect())
    client.send(b"GET / HTTP/1.1\r\nX: ")
    began = time.monotonic()
    # A byte each time that nothing came for a moment.
    while client.is_silent(0.05):
        assert time.monotonic() - began < 5
        client.send(b"y")
    answered(weir, client, 408, "timeout_request_head")
    assert 0.3 < time.monotonic() - began < 3


def test_the_time_of_a_later_head_begins_with_it(start_http, new_script):
    weir = start_http(new_script(), listener=limits(request_head="300ms"))
    client = Client(weir.connect())
    assert client.get().status == 200
    assert client.is_silent(0.6)
    client.send(b"GET / ")
    assert client.response().status == 408
    assert client.ending() == "fin"


def test_a_client_that_never_says_anything(start_http, new_script):
    weir = start_http(new_script(), listener=limits(request_head="200ms"))
    client = Client(weir.connect())
    assert client.ending() == "fin"
    assert weir.stop()["reasons"] == {"timeout_idle": 1}


def test_a_client_that_asks_no_more(start_http, new_script):
    weir = start_http(new_script(), listener=limits(keep_alive="300ms"))
    client = Client(weir.connect())
    began = time.monotonic()
    assert client.get().status == 200
    assert client.ending() == "fin"
    assert 0.2 < time.monotonic() - began < 3
    assert len(weir.sessions()) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_stops(start_http, backend, framing):
    weir = start_http(backend, listener=limits(request_body_idle="300ms"))
    client = Client(weir.connect())
    if framing == "length":
        client.send(request("POST", fields={"Content-Length": "10"}) + b"part")
    else:
        client.send(request("POST", fields={"Transfer-Encoding": "chunked"}) + b"a\r\npart")
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    answered(weir, client, 408, "timeout_request_body")
    # The backend must not take it for whole.
    assert ending_of(server.sock) in ("fin", "reset")


def test_a_body_that_never_begins(start_http, backend):
    weir = start_http(backend, listener=limits(request_body_idle="300ms"))
    client = Client(weir.connect())
    client.send(request("POST", fields={"Content-Length": "10"}))
    answered(weir, client, 408, "timeout_request_body")


def test_a_body_that_trickles(start_http, backend):
    """Less than the least rate, though never silent for long."""
    weir = start_http(backend, listener=limits(request_body_idle="1s"))
    client = Client(weir.connect())
    began = time.monotonic()
    client.send(request("POST", fields={"Content-Length": "1000000"}))
    while client.is_silent(0.1):
        assert time.monotonic() - began < 10
        client.send(b"x")
    answered(weir, client, 408, "timeout_request_body")


def test_a_slow_body_above_the_least_rate_arrives(start_http, new_script):
    script = new_script()
    weir = start_http(script, listener=limits(request_body_idle="500ms"))
    client = Client(weir.connect())
    client.send(request("POST", fields={"Content-Length": "15000"}))
    for _ in range(15):
        assert client.is_silent(0.1)
        client.send(b"x" * 1000)
    assert client.response().status == 200
    assert len(script.requests[0].body) == 15000


def test_a_backend_that_does_not_answer(start_http, backend):
    weir = start_http(backend, listener=limits(response_head="300ms"))
    client = Client(weir.connect())
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    server.sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    answer = client.response()
    assert answer.status == 504
    assert ending_of(server.sock) in ("fin", "reset")
    record = weir.wait_for_session()
    assert (record["status"], record["reason"]) == (504, "timeout_response_head")
    # The client did nothing wrong.
    assert answer.get("connection") is None and client.is_silent(0.05)


def test_the_time_of_a_response_begins_with_the_end_of_the_request(start_http, backend):
    weir = start_http(backend, listener=limits(response_head="400ms"))
    client = Client(weir.connect())
    client.send(request("POST", fields={"Content-Length": "3"}))
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    for byte in b"abc":
        assert client.is_silent(0.3)
        client.send(bytes([byte]))
        assert server.exactly(1) == bytes([byte])
    server.sock.sendall(response(body=b"x"))
    assert client.response().status == 200


def test_a_response_that_stops(start_http, backend):
    weir = start_http(backend, listener=limits(idle="300ms"))
    client = Client(weir.connect())
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    server.sock.sendall(response(body=None, fields={"Content-Length": "10"}) + b"part")
    try:
        answer = client.response()
        assert answer.status == 200 and not answer.is_whole
    except ConnectionResetError:
        pass
    assert ending_of(server.sock) in ("fin", "reset")
    record = weir.wait_for_session()
    assert (record["status"], record["reason"]) == (200, "timeout_idle")


@pytest.mark.parametrize("relay", ["copy", "splice"])
def test_a_client_that_stops_reading(start_http, new_script, relay):
    """It may be slow, but not for ever."""
    size = 64 << 20
    head = response(body=None, fields={"Content-Length": str(size)})
    script = new_script(lambda r: [head, b"x" * size])
    weir = start_http(script, listener={**limits(idle="500ms"), "relay": relay})
    client = Client(weir.connect(receive_buffer=65536))
    client.send(request())
    assert client.head().status == 200
    record = weir.wait_for_session()
    assert record["reason"] == "timeout_idle"
    assert record["bytes_out"] < size


def test_a_slow_reader_is_not_idle(start_http, new_script):
    size = 12 << 20
    head = response(body=None, fields={"Content-Length": str(size)})
    script = new_script(lambda r: [head, b"x" * size])
    weir = start_http(script, listener=limits(idle="600ms"))
    client = Client(weir.connect(receive_buffer=65536))
    client.send(request())
    assert client.head().status == 200
    received = 0
    began = time.monotonic()
    while received < size:
        received += len(client.exactly(min(size - received, 1 << 20)))
        # Longer on the whole than it may be idle.
        wait_until(lambda: time.monotonic() - began > 0.15 * (received >> 20), "its time")
    assert weir.wait_for_session()["reason"] == "ok"


# -- Drain


def test_a_drain_lets_a_request_end(start_http, backend):
    weir = start_http(backend)
    client, idle, idle_after_one = (Client(weir.connect()) for _ in range(3))
    idle_after_one.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    server.sock.sendall(response(body=b"x"))
    assert idle_after_one.response().status == 200
    client.send(request())
    assert server.request() is not None
    weir.signal(15)
    weir.wait_for_event("draining")
    # Who asks nothing is sent away, though not at once: a request might be on its way.
    assert idle_after_one.ending() == "fin" and idle.ending() == "fin"
    server.sock.sendall(response(body=b"late"))
    answer = client.response()
    assert (answer.body, answer.get("connection")) == (b"late", "close")
    assert client.ending() == "fin"
    stopped = weir.wait_for_end()
    assert stopped["reasons"] == {"ok": 3}


def test_a_drain_answers_requests_that_are_on_their_way(start_http, new_script):
    """The client has connected, or was told that it may go on, before it could know."""
    weir = start_http(new_script())
    fresh, kept = (Client(weir.connect()) for _ in range(2))
    assert kept.get().status == 200
    wait_until(lambda: weir.socket_count() >= 4, "both to be accepted")
    weir.signal(15)
    weir.wait_for_event("draining")
    for client in (kept, fresh):
        answer = client.get()
        assert answer.status == 200 and answer.get("connection") == "close"
        assert client.ending() == "fin"
    assert weir.wait_for_end()["reasons"] == {"ok": 2}


def test_a_drain_inside_a_body(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request("POST", fields={"Content-Length": "10"}) + b"01234")
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    weir.signal(15)
    weir.wait_for_event("draining")
    client.send(b"56789")
    assert server.exactly(10) == b"0123456789"
    server.sock.sendall(response(body=b"thanks"))
    answer = client.response()
    assert answer.body == b"thanks" and answer.get("connection") == "close"
    weir.wait_for_end()


def test_a_drain_inside_a_head(start_http, new_script):
    weir = start_http(new_script())
    client = Client(weir.connect())
    client.send(b"GET / HTTP/1.1\r\n")
    asked = Client(weir.connect())
    assert asked.get().status == 200
    weir.signal(15)
    weir.wait_for_event("draining")
    client.send(b"Host: a\r\n\r\n")
    answer = client.response()
    assert answer.status == 200 and answer.get("connection") == "close"
    weir.wait_for_end()


def test_a_drain_closes_idle_connections_to_backends(start_http, backend):
    weir = start_http(backend)
    client, busy = (Client(weir.connect()) for _ in range(2))
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    busy.send(request())
    other = Reader(weir.keep(backend.accept()[0]))
    other.request()
    server.sock.sendall(response(body=b"x"))
    assert client.response().status == 200
    weir.wait_for_sessions(1)
    weir.signal(15)
    assert ending_of(server.sock) == "fin"
    other.sock.sendall(response(body=b"x"))
    assert busy.response().status == 200
    assert ending_of(other.sock) == "fin"
    weir.wait_for_end()


def test_the_drain_timeout_ends_requests(start_http, backend):
    weir = start_http(backend, arguments=["--drain-timeout", "1"])
    client = Client(weir.connect())
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    weir.signal(15)
    try:
        assert client.response() is None
    except ConnectionResetError:
        pass
    stopped = weir.wait_for_end()
    assert stopped["reasons"] == {"shutdown": 1}
    (record,) = weir.sessions()
    assert record["reason"] == "shutdown" and "status" not in record
