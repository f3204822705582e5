"""After an upgrade that a backend accepts, bytes go both ways as in tcp mode."""

import asyncio
import socket
import threading

import pytest
import websockets

from addresses import reset
from deadlines import wait_until
from http_peers import Client, Reader, request, response
from streams import Receiver, Sender, block, ending_of, exchange, finish

ASK = {"Connection": "keep-alive, Upgrade", "Upgrade": "echo"}
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-A: 1\r\n\r\n"


def upgraded(weir, backend, behind=b"", ahead=b""):
    """Both ends of a tunnel. `behind` is sent by the client with the request, `ahead` by the backend with 101."""
    client = Client(weir.connect())
    client.send(request(fields=ASK) + behind)
    server = Reader(weir.keep(backend.accept()[0]))
    asked = server.head()
    assert asked.get("upgrade") == "echo" and asked.get("connection").lower() == "upgrade"
    assert server.buffer == b""
    server.sock.sendall(ACCEPTED + ahead)
    answer = client.head()
    assert answer.status == 101 and answer.get("upgrade") == "echo" and answer.get("x-a") == "1"
    assert answer.get("connection").lower() == "upgrade"
    assert answer.get("transfer-encoding") is None and answer.get("content-length") is None
    return client, server


def test_a_tunnel(start_http, backend):
    weir = start_http(backend)
    client, server = upgraded(weir, backend)
    for _ in range(3):
        exchange(client.sock, server.sock, b"\x00\xff binary \r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert server.to_end() == b""
    # Half-closed as in tcp mode: the other way goes on.
    server.sock.sendall(b"last words")
    server.sock.close()
    assert client.to_end() == b"last words"
    record = weir.wait_for_session()
    assert record["upgraded"] is True and record["status"] == 101 and record["reason"] == "ok"
    assert record["bytes_out"] >= len(ACCEPTED) - 20 + len(b"last words")
    assert record["bytes_in"] == len(request(fields=ASK)) + 3 * len(b"\x00\xff binary \r\n")


def test_the_record_of_a_tunnel_counts_its_own_bytes(start_http, backend):
    """Not those of requests before, and those that came too early."""
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request("POST", body=b"x" * 5000))
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    server.sock.sendall(response(body=b"y" * 7000))
    assert client.response().status == 200
    client.send(request(fields=ASK) + b"early")
    server.head()
    server.sock.sendall(ACCEPTED)
    answer = client.head()
    assert server.exactly(5) == b"early"
    exchange(client.sock, server.sock, b"12345")
    client.sock.close()
    server.sock.close()
    record = weir.wait_for_sessions(2)[-1]
    assert record["bytes_in"] == len(request(fields=ASK)) + 10
    assert record["bytes_out"] == len(answer.head) + 5


def test_bytes_that_follow_at_once(start_http, backend):
    weir = start_http(backend)
    client, server = upgraded(weir, backend, ahead=b"from the backend")
    assert client.exactly(16) == b"from the backend"
    client.send(b"x")
    assert server.exactly(1) == b"x"


def test_not_a_byte_goes_to_the_tunnel_before_it_is_there(start_http, backend):
    """The client was too quick: what it sent behind its request waits for 101."""
    weir = start_http(backend)
    client = Client(weir.connect())
    early = request(target="/smuggled") + b"frames"
    client.send(request(fields=ASK) + early)
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    assert server.buffer == b""
    server.sock.settimeout(0.1)
    with pytest.raises(TimeoutError):
        server.sock.recv(1)
    server.sock.settimeout(30)
    server.sock.sendall(ACCEPTED)
    assert client.head().status == 101
    assert server.exactly(len(early)) == early


def test_a_refused_upgrade_is_an_answer_like_others(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request(fields=ASK) + request(target="/next"))
    server = Reader(weir.keep(backend.accept()[0]))
    assert server.head().get("upgrade") == "echo"
    server.sock.sendall(response(403, b"no"))
    answer = client.response()
    assert (answer.status, answer.body) == (403, b"no")
    # What came behind is a request.
    assert server.head().target == "/next"
    server.sock.sendall(response(body=b"yes"))
    assert client.response().body == b"yes"
    assert "upgraded" not in weir.wait_for_sessions(2)[0]


def test_a_backend_that_wants_an_upgrade(start_http, new_script):
    script = new_script(
        lambda r: response(426, b"", fields={"Upgrade": "HTTP/2.0", "Connection": "Upgrade"}))
    weir = start_http(script)
    answer = Client(weir.connect()).get()
    assert answer.status == 426 and answer.get("upgrade") == "HTTP/2.0"
    assert answer.get("connection").lower() == "upgrade"


def test_an_upgrade_that_was_not_asked_for_is_refused(start_http, new_script):
    script = new_script(lambda r: ACCEPTED)
    weir = start_http(script)
    client = Client(weir.connect())
    for fields in ({}, {"Upgrade": "echo"}, {"Connection": "upgrade"}):
        assert client.get(**fields).status == 502
    assert {record["cause"] for record in weir.wait_for_sessions(3)} == {"unexpected_upgrade"}


def test_http_1_0_knows_no_upgrade(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    assert Client(weir.connect()).ask(request(version="1.0", fields=ASK)).status == 200
    assert script.requests[0].get("upgrade") is None


@pytest.mark.parametrize("relay", ["copy", "auto", "splice"])
def test_bulk_through_a_tunnel(start_http, backend, relay):
    weir = start_http(backend, listener={"relay": relay})
    client, server = upgraded(weir, backend)
    threads = []
    for index, (one, other) in enumerate([(client.sock, server.sock), (server.sock, client.sock)]):
        threads += [Sender(one, index, 32), Receiver(other)]
    for thread in threads:
        thread.start()
    finish(*threads)
    for sender, receiver in (threads[:2], threads[2:]):
        assert sender.digest.digest() == receiver.digest.digest()
        assert receiver.received_bytes == 32 << 20
    assert weir.wait_for_session()["reason"] == "ok"


def test_an_idle_tunnel_ends(start_http, backend):
    weir = start_http(backend, listener={"timeouts": {"tunnel": "300ms", "idle": "1m"}})
    client, server = upgraded(weir, backend)
    assert ending_of(client.sock) in ("fin", "reset")
    assert ending_of(server.sock) in ("fin", "reset")
    record = weir.wait_for_session()
    assert record["reason"] == "timeout_idle" and record["upgraded"] is True


def test_a_tunnel_outlives_the_times_of_requests(start_http, backend):
    timeouts = {name: "200ms" for name in ("request_head", "request_body_idle", "keep_alive", "response_head", "idle")}
    weir = start_http(backend, listener={"timeouts": {**timeouts, "tunnel": "1m"}})
    client, server = upgraded(weir, backend)
    assert client.is_silent(0.7)
    exchange(client.sock, server.sock)


def test_a_tunnel_is_not_used_again(start_http, backend):
    weir = start_http(backend)
    client, server = upgraded(weir, backend)
    client.sock.close()
    assert server.to_end() == b""
    server.sock.close()
    weir.wait_for_session()
    upgraded(weir, backend)


@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_reset_goes_through_a_tunnel(start_http, backend, side):
    weir = start_http(backend)
    client, server = upgraded(weir, backend)
    exchange(client.sock, server.sock)
    one, other = (client, server) if side == "client" else (server, client)
    reset(one.sock)
    assert ending_of(other.sock) == "reset"
    assert weir.wait_for_session()["reason"] == f"{side}_reset"


def test_tunnels_and_a_drain(start_http, backend):
    weir = start_http(backend)
    client, server = upgraded(weir, backend)
    weir.signal(15)
    weir.wait_for_event("draining")
    exchange(client.sock, server.sock)
    client.sock.close()
    server.sock.close()
    assert weir.wait_for_end()["sessions"] == 1


# -- A real client and a real server


class WebSocketEcho:
    """Echoes messages, on a port of its own, in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        threading.Thread(target=self.loop.run_until_complete, args=[self._serve()], daemon=True).start()
        assert self.ready.wait(20)

    async def _serve(self):
        self._end = asyncio.Event()

        async def echo(connection, *_):
            async for message in connection:
                await connection.send(message)

        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            host, port = server.sockets[0].getsockname()
            self.address = f"{host}:{port}"
            self.ready.set()
            await self._end.wait()

    def close(self):
        self.loop.call_soon_threadsafe(self._end.set)


@pytest.fixture
def echo_server():
    server = WebSocketEcho()
    yield server
    server.close()


def test_websocket(start_http, echo_server):
    weir = start_http(echo_server.address)
    bind = weir.configuration["listeners"]["front"]["bind"]

    async def talk():
        async with websockets.connect(f"ws://{bind}/chat?x=1", max_size=None) as connection:
            for message in ["hello", "", "x" * 70_000, b"\x00\x01", block(3, 0) * 4]:
                await connection.send(message)
                assert await connection.recv() == message
            pong = await connection.ping()
            await asyncio.wait_for(pong, 20)

    asyncio.run(asyncio.wait_for(talk(), 60))
    record = weir.wait_for_session()
    assert record["upgraded"] is True and record["status"] == 101 and record["path"] == "/chat"
    assert record["bytes_in"] > 4 << 20 and record["bytes_out"] > 4 << 20


def test_many_websockets_at_once(start_http, echo_server):
    weir = start_http(echo_server.address, workers=2)
    bind = weir.configuration["listeners"]["front"]["bind"]

    async def talk(number):
        async with websockets.connect(f"ws://{bind}/") as connection:
            for index in range(10):
                await connection.send(f"{number} {index}")
                assert await connection.recv() == f"{number} {index}"

    async def all_talk():
        await asyncio.gather(*(talk(number) for number in range(50)))

    asyncio.run(asyncio.wait_for(all_talk(), 60))
    records = weir.wait_for_sessions(50)
    assert {(record["reason"], record["upgraded"]) for record in records} == {("ok", True)}
    wait_until(lambda: weir.socket_count() < 50, "the tunnels are gone")
