"""Connections to backends outlive requests; what is sent again when one fails, and what never is."""

import fcntl
import struct
import termios
import threading

import pytest

from addresses import reset, text_of
from conftest import address_of
from deadlines import wait_until
from http_peers import Client, Reader, chunked, request, response
from streams import ending_of

def held(weir, backend, client, sent):
    """A request that a listening backend has and has not answered: the backend's end."""
    client.send(sent)
    server = Reader(weir.keep(backend.accept()[0]))
    assert server.request() is not None
    return server


def parked(weir, backend, client):
    """The backend's end of a connection that served one request and waits."""
    server = held(weir, backend, client, request())
    server.sock.sendall(response(body=b"first"))
    assert client.response().body == b"first"
    weir.wait_for_sessions(1)
    return server


# -- Reuse


def test_one_connection_serves_many_requests(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(50):
        assert client.get().body == b"hello"
    for _ in range(50):
        client = Client(weir.connect())
        assert client.get().body == b"hello"
        client.sock.close()
    assert script.connections == 1
    assert weir.stop()["sessions"] == 51


def test_the_connection_used_last_is_used_first(start_http, backend):
    weir = start_http(backend)
    clients = [Client(weir.connect()) for _ in range(3)]
    servers = [held(weir, backend, client, request()) for client in clients]
    for number, (client, server) in enumerate(zip(clients, servers)):
        server.sock.sendall(response(body=b"x"))
        assert client.response().status == 200
        weir.wait_for_sessions(number + 1)
    for expected in (2, 2, 2):
        clients[0].send(request())
        assert servers[expected].request() is not None
        servers[expected].sock.sendall(response(body=b"x"))
        assert clients[0].response().status == 200
    # Two at once: the last, and the one before it.
    clients[0].send(request())
    assert servers[2].request() is not None
    clients[1].send(request())
    assert servers[1].request() is not None


def test_each_backend_has_connections_of_its_own(start_http, new_script):
    scripts = [new_script() for _ in range(3)]
    weir = start_http(*scripts)
    client = Client(weir.connect())
    for _ in range(30):
        client.get()
    assert [len(script.requests) for script in scripts] == [10, 10, 10]
    assert [script.connections for script in scripts] == [1, 1, 1]


def test_an_idle_connection_is_closed_in_time(start_http, backend):
    weir = start_http(backend, pool={"keep_alive": {"idle_timeout": "200ms"}})
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    assert ending_of(server.sock) == "fin"
    # And the next request gets another.
    held(weir, backend, client, request())


def test_a_connection_serves_so_many_requests(start_http, new_script):
    script = new_script()
    weir = start_http(script, pool={"keep_alive": {"max_requests": 4}})
    client = Client(weir.connect())
    for _ in range(12):
        client.get()
    assert [seen.connection for seen in script.requests] == [0] * 4 + [1] * 4 + [2] * 4


def test_no_more_connections_wait_than_may(start_http, backend):
    weir = start_http(backend, pool={"keep_alive": {"idle": 2}})
    clients = [Client(weir.connect()) for _ in range(4)]
    servers = [held(weir, backend, client, request()) for client in clients]
    for client, server in zip(clients, servers):
        server.sock.sendall(response(body=b"x"))
        assert client.response().status == 200
    for server in servers[2:]:
        assert ending_of(server.sock) == "fin"


def test_keep_alive_off(start_http, new_script):
    script = new_script()
    weir = start_http(script, pool={"keep_alive": {"idle": 0}})
    client = Client(weir.connect())
    for _ in range(5):
        assert client.get().get("connection") is None
    assert script.connections == 5


def test_a_backend_that_wants_to_close_is_left_alone(start_http, new_script):
    script = new_script(lambda r: response(body=b"x", fields={"Connection": "close"}))
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(5):
        assert client.get().get("connection") is None
    assert script.connections == 5


def test_a_client_that_wants_to_close_costs_no_connection_to_the_backend(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    for _ in range(5):
        client = Client(weir.connect())
        answer = client.get(Connection="close")
        assert answer.get("connection") == "close" and client.ending() == "fin"
    assert script.connections == 1


@pytest.mark.parametrize("extra", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], ids=["byte", "response"])
def test_bytes_that_nobody_asked_for_close_an_idle_connection(start_http, backend, extra):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    server.sock.sendall(extra)
    assert ending_of(server.sock) in ("fin", "reset")
    server = held(weir, backend, client, request())
    server.sock.sendall(response(body=b"good"))
    assert client.response().body == b"good"


def test_bytes_behind_a_response_close_the_connection(start_http, new_script):
    """They are not the answer to the next request, of whoever it is."""
    evil = response(body=b"evil")
    script = new_script(lambda r: response(body=b"good") + evil)
    weir = start_http(script)
    for _ in range(10):
        client = Client(weir.connect())
        for _ in range(3):
            assert client.get().body == b"good"
    assert script.connections == 30


def test_a_backend_that_closes_an_idle_connection_is_no_failure(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    before = weir.socket_count()
    server.sock.close()
    wait_until(lambda: weir.socket_count() == before - 1, "the idle connection is closed")
    server = held(weir, backend, client, request("POST", body=b"x"))
    server.sock.sendall(response(body=b"second"))
    assert client.response().body == b"second"
    assert weir.wait_for_sessions(2)[-1]["attempts"] == 1


# -- Sent again, or not


@pytest.mark.parametrize("ends", ["close", "reset"])
@pytest.mark.parametrize("method, body", [("GET", None), ("HEAD", None), ("PUT", b"small"), ("DELETE", None)])
def test_a_request_that_does_no_harm_is_sent_again(start_http, backend, method, body, ends):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    client.send(request(method, "/again", body=body))
    assert server.request().target == "/again"
    (reset if ends == "reset" else lambda sock: sock.close())(server.sock)
    server = Reader(weir.keep(backend.accept()[0]))
    seen = server.request()
    assert (seen.method, seen.target, seen.body) == (method, "/again", body or b"")
    server.sock.sendall(response(body=None if method == "HEAD" else b"second", fields={"X-A": "1"}))
    answer = client.response(method)
    assert answer.status == 200 and answer.get("x-a") == "1"
    record = weir.wait_for_sessions(2)[-1]
    assert (record["reason"], record["attempts"]) == ("ok", 2)


@pytest.mark.parametrize("ends", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "X-OWN"])
def test_a_request_that_might_do_harm_is_not_sent_again(start_http, backend, method, ends):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    client.send(request(method, "/once", body=b"x"))
    assert server.request().target == "/once"
    (reset if ends == "reset" else lambda sock: sock.close())(server.sock)
    assert client.response().status == 502
    record = weir.wait_for_sessions(2)[-1]
    assert record["reason"] in ("backend_closed", "backend_reset") and record["attempts"] == 1


def test_a_new_connection_is_not_tried_twice(start_http, backend):
    """What fails on a fresh connection is the backend's answer."""
    weir = start_http(backend)
    client = Client(weir.connect())
    server = held(weir, backend, client, request())
    server.sock.close()
    assert client.response().status == 502


def test_nothing_is_sent_again_once_the_answer_began(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    client.send(request())
    assert server.request()
    server.sock.sendall(b"HTTP/1.1 200 ")
    server.sock.close()
    assert client.response().status == 502


def test_a_large_upload_is_not_sent_again(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = parked(weir, backend, client)
    client.send(request("PUT", body=b"x" * 200_000))
    assert server.request()
    server.sock.close()
    assert client.response().status == 502


# -- No backend


def test_a_refused_connect_goes_to_the_next_backend(start_http, new_script, refusing):
    script = new_script()
    weir = start_http(
        refusing(), script, refusing(), pool={"keep_alive": {"idle": 0}, "health": {"passive": "off"}})
    client = Client(weir.connect())
    # Who comes after the first is drawn: of so many, some have one more and some two.
    for index in range(60):
        assert client.ask(request("POST", body=b"body %d" % index)).status == 200
        assert script.requests[-1].body == b"body %d" % index
    records = weir.wait_for_sessions(60)
    assert {record["backend"] for record in records} == {address_of(script)}
    assert {record["attempts"] for record in records} == {1, 2, 3}


def test_all_backends_down(start_http, refusing):
    weir = start_http(refusing(), refusing())
    client = Client(weir.connect())
    for _ in range(3):
        answer = client.ask(request("POST", body=b"x"))
        assert answer.status == 503 and answer.get("retry-after")
    for record in weir.wait_for_sessions(3):
        assert (record["reason"], record["cause"]) == ("no_backend", "connect_refused")
        assert (record["status"], record["attempts"]) == (503, 2)


def test_all_backends_down_and_an_upload_on_its_way(start_http, refusing):
    weir = start_http(refusing())
    client = Client(weir.connect())
    client.send(request("POST", fields={"Content-Length": "300000"}) + b"x" * 300_000)
    answer = client.response()
    assert answer.status == 503 and answer.get("connection") == "close"


def test_a_connect_that_times_out_goes_to_the_next(start_http, new_script, unanswering):
    script = new_script()
    weir = start_http(unanswering(), script, listener={"timeouts": {"connect": "200ms"}})
    client = Client(weir.connect())
    for _ in range(2):
        assert client.get().status == 200
    slow = [record for record in weir.wait_for_sessions(2) if record["attempts"] == 2]
    assert [record["cause"] for record in slow] == ["timeout_connect"]


def test_no_connect_in_time(start_http, unanswering):
    weir = start_http(unanswering(), listener={"timeouts": {"connect": "200ms"}})
    client = Client(weir.connect())
    assert client.get().status in (503, 504)
    record = weir.wait_for_session()
    assert (record["reason"], record["cause"]) == ("no_backend", "timeout_connect")


def test_backends_that_are_full(start_http, backend):
    pool = {"breaker": {"max_pending": 0}}
    weir = start_http({"address": text_of(backend.getsockname()), "max_sessions": 1}, pool=pool)
    first, second = (Client(weir.connect()) for _ in range(2))
    server = held(weir, backend, first, request())
    assert second.get().status == 503
    record = weir.wait_for_session()
    assert (record["reason"], record["cause"]) == ("no_backend", "backends_full")
    # A place is a request's, not a connection's.
    server.sock.sendall(response(body=b"x"))
    assert first.response().status == 200
    weir.wait_for_sessions(2)
    second.send(request())
    assert server.request()


# -- Ends that are no ends


@pytest.mark.parametrize("relay", ["copy", "auto", "splice"])
@pytest.mark.parametrize("ends", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_backend_that_dies_inside_a_body(start_http, backend, framing, ends, relay):
    """The client sees a broken end, behind all that came."""
    weir = start_http(backend, listener={"relay": relay})
    for size in (0, 1000, 700_000):
        client = Client(weir.connect())
        server = held(weir, backend, client, request())
        body = b"x" * size
        if framing == "length":
            whole = response(body=None, fields={"Content-Length": str(size + 500_000)}) + body
        else:
            whole = response(body=None, fields={"Transfer-Encoding": "chunked"}) + chunked(body)[:-5]
        thread = threading.Thread(target=server.sock.sendall, args=[whole], daemon=True)
        thread.start()
        assert client.head().status == 200
        received = 0
        while received < size:
            received += len(client.sock.recv(65536) if not client.buffer else client.exactly(len(client.buffer)))
        thread.join(10)
        (reset if ends == "reset" else lambda sock: sock.close())(server.sock)
        rest = client.ending()
        assert rest == "reset" or rest == "fin" and framing == "length" or b"0\r\n\r\n" not in rest
        client.sock.close()
    for record in weir.wait_for_sessions(3):
        assert record["reason"] in ("backend_closed", "backend_reset") and record["status"] == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_response_without_a_length_that_is_reset_does_not_look_whole(start_http, backend, version):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = held(weir, backend, client, request(version=version))
    server.sock.sendall(response(body=b"part", length=False))
    client.head()
    assert client.until(b"part")
    reset(server.sock)
    rest = client.ending()
    assert rest == "reset" or rest == b"\r\n", rest
    assert weir.wait_for_session()["reason"] == "backend_reset"


def test_all_of_a_response_arrives_although_its_end_is_a_reset(start_http, backend):
    """A client that reads late, and a backend that resets behind a response that was whole."""
    weir = start_http(backend, listener={"relay": "copy"})
    client = Client(weir.connect(receive_buffer=65536))
    server = held(weir, backend, client, request())
    size = 2_000_000
    server.sock.sendall(response(body=None, fields={"Content-Length": str(size)}) + b"x" * size)
    # Bytes that nobody has read make the close a reset.
    client.head()
    reset_behind_what_was_sent(server.sock)
    assert len(client.exactly(size)) == size
    assert weir.wait_for_session()["reason"] == "ok"


def reset_behind_what_was_sent(sock):
    """SO_LINGER would take back what the other side has not acknowledged."""
    wait_until(lambda: unsent_bytes(sock) == 0, "all is at the other side's kernel")
    reset(sock)


def unsent_bytes(sock):
    """SIOCOUTQ (tcp(7))."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


# -- Clients that leave


def test_a_client_that_half_closes_gets_its_answer(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = held(weir, backend, client, request("POST", body=b"x"))
    client.end()
    wait_until(lambda: client.sock.getsockopt(6, 11, 1)[0] in (5, 9), "the end is acknowledged")
    server.sock.sendall(response(body=b"late"))
    answer = client.response()
    assert answer.body == b"late" and client.ending() == "fin"
    assert weir.wait_for_session()["reason"] == "ok"


@pytest.mark.parametrize("phase", ["head", "body"])
def test_a_client_that_resets_ends_the_request_at_the_backend(start_http, backend, phase):
    weir = start_http(backend)
    client = Client(weir.connect())
    server = held(weir, backend, client, request())
    if phase == "body":
        server.sock.sendall(response(body=None, fields={"Content-Length": "1000"}) + b"x")
        client.head()
    reset(client.sock)
    assert ending_of(server.sock) in ("fin", "reset")
    record = weir.wait_for_session()
    assert record["reason"] == "client_reset"
    assert record.get("status") == (200 if phase == "body" else None)


def test_a_client_that_closes_inside_a_download(start_http, new_server):
    """Its kernel resets what still comes; the backend learns of it."""
    broken = threading.Event()

    def serve(connection):
        Reader(connection).request()
        connection.sendall(response(body=None, fields={"Content-Length": str(1 << 40)}))
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            broken.set()

    weir = start_http(new_server(serve))
    client = Client(weir.connect())
    client.send(request())
    client.head()
    client.exactly(1_000_000)
    client.sock.close()
    assert broken.wait(20)
    assert weir.wait_for_session()["reason"] == "client_reset"


@pytest.mark.parametrize("sent", [
    request("POST", fields={"Content-Length": "1000"}) + b"part",
    request("POST", fields={"Transfer-Encoding": "chunked"}) + b"5\r\nhel",
], ids=["length", "chunked"])
def test_a_client_that_leaves_inside_its_upload(start_http, backend, sent):
    """The backend must not take the part for the whole."""
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(sent)
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    client.end()
    assert b"0\r\n\r\n" not in rest_of(server)
    assert weir.wait_for_session()["reason"] == "client_closed"


def rest_of(reader):
    try:
        return reader.to_end()
    except ConnectionResetError:
        return b""


def test_a_client_that_leaves_inside_a_head(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    client.send(b"GET / HTTP/1.1\r\nHost: si")
    client.end()
    assert client.ending() == "fin"
    assert weir.wait_for_session()["reason"] == "client_closed"
    assert script.connections == 0


def test_a_client_that_says_nothing_leaves_no_record(start_http, new_script):
    weir = start_http(new_script())
    for _ in range(5):
        client = Client(weir.connect())
        client.end()
        assert client.ending() == "fin"
    stopped = weir.stop()
    assert stopped["sessions"] == 5 and stopped["reasons"] == {"ok": 5}
    assert weir.sessions() == []


# -- Thousands


def test_5000_requests_leave_nothing_behind(start_http, new_script):
    """On fresh connections and kept ones, with failures among them."""
    def answer(message):
        if message.target == "/close":
            return [response(body=b"x"), None]
        if message.target == "/die":
            return [None]
        return response(body=b"x" * 100)

    script = new_script(answer)
    weir = start_http(script)

    def rounds(count):
        kept = Client(weir.connect())
        for index in range(count):
            if index % 5 == 0:
                client = Client(weir.connect())
                weir.sockets.pop()
                target = ("/", "/close", "/die")[index // 5 % 3]
                assert client.ask(request("POST", target, body=b"y")).status == (502 if target == "/die" else 200)
                (reset if index % 2 else lambda sock: sock.close())(client.sock)
            else:
                assert kept.get().status == 200
        kept.sock.close()

    rounds(200)
    weir.wait_for_sessions(200)
    before = weir.descriptor_count()
    memory = weir.memory_bytes("Rss")
    rounds(5000)
    wait_until(lambda: weir.descriptor_count() <= before, f"{before} descriptors again")
    assert weir.memory_bytes("Rss") - memory < 2 << 20
    assert len(weir.wait_for_sessions(5200)) == 5200
