"""Bodies arrive byte for byte, whatever their size and framing, and none is held whole."""

import threading

import pytest

from deadlines import wait_until, wait_until_still
from http_peers import CRLF, Client, Reader, chunked, request, response
from streams import block

#: Around one buffer (16 KiB), around its end where the head lies before the body, and far beyond.
SIZES = [0, 1, 2, 5, 1000, 16000, 16200, 16383, 16384, 16385, 32768, 131072, 140_001, 1 << 20, 5 << 20]
RELAYS = ["copy", "auto", "splice"]
MEBIBYTE = 1 << 20


def content(size):
    """Bytes that tell where they belong."""
    return b"".join(block(7, index) for index in range(size // MEBIBYTE + 1))[:size]


def pieces(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


def mirror(message):
    """Answers with what came, framed as the target says."""
    kind, _, size = message.target[1:].partition("/")
    if kind == "length":
        return response(body=message.body)
    if kind == "chunked":
        data = chunked(*pieces(message.body, int(size)))
        return response(body=None, fields={"Transfer-Encoding": "chunked"}) + data
    return [response(body=message.body, length=False), None]


def send_in_background(client, data):
    thread = threading.Thread(target=client.send, args=[data], daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("framing", ["length", "chunked/7", "chunked/16384", "chunked/100000", "close"])
def test_bodies_of_all_sizes_there_and_back(start_http, new_script, relay, framing):
    script = new_script(mirror)
    weir = start_http(script, listener={"relay": relay})
    client = Client(weir.connect())
    for size in SIZES:
        if framing == "chunked/7" and size > 200_000:
            continue
        data = content(size)
        if framing.startswith("chunked"):
            sent = request("POST", f"/{framing}", fields={"Transfer-Encoding": "chunked"})
            # Extensions are dropped, and only so many are taken.
            extension = ";x=1" if size / int(framing.partition("/")[2]) < 1000 else ""
            sent += chunked(*pieces(data, int(framing.partition("/")[2])), extension=extension)
        else:
            sent = request("POST", f"/{framing}", body=data)
        thread = send_in_background(client, sent)
        answer = client.response()
        thread.join(30)
        assert answer.status == 200 and answer.is_whole and answer.body == data, size
        seen = script.requests.pop()
        assert seen.body == data, size
        assert seen.is_chunked == framing.startswith("chunked")
        assert not any(b";" in line for line in seen.chunk_lines)
        assert answer.is_chunked == (framing != "length"), "a body without a length comes in chunks"
        assert answer.get("connection") is None
    for record in weir.wait_for_sessions(len(SIZES) - (framing == "chunked/7") * 2):
        assert record["reason"] == "ok", record


def test_the_record_counts_what_came_and_what_went(start_http, new_script):
    script = new_script(lambda r: response(body=content(300_000)))
    weir = start_http(script)
    client = Client(weir.connect())
    sent = [request("POST", body=content(size)) for size in (0, 100, 200_000, 3)]
    answers = [client.ask(one) for one in sent]
    records = weir.wait_for_sessions(len(sent))
    assert [r["bytes_in"] for r in records] == [len(one) for one in sent]
    assert [r["bytes_out"] for r in records] == [len(a.head) + 300_000 for a in answers]


def test_pieces_of_one_byte(start_http, new_script):
    """The client's, and the backend's."""
    def serve(message):
        whole = mirror(message)
        return pieces(whole, 1)

    script = new_script(serve)
    weir = start_http(script)
    client = Client(weir.connect(), at_most=1)
    data = b"0123456789" * 5
    for sent in (
        request("POST", "/length", fields={"X-A": "b"}, body=data),
        request("POST", "/chunked/3", fields={"Transfer-Encoding": "chunked"}) + chunked(*pieces(data, 4)),
    ):
        for piece in pieces(sent, 1):
            client.send(piece)
        answer = client.response()
        assert answer.body == data
        assert script.requests[-1].body == data


def test_a_head_of_nearly_all_that_is_allowed(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    for size in (15_000, 16_000, 16_100):
        for _ in range(2):
            answer = client.ask(request("POST", fields={"X-Long": "y" * size}, body=b"tail"))
            assert answer.status in (200, 431), size
            if answer.status == 431:
                # What Weir adds found no room.
                assert client.ending() == "fin"
                client = Client(weir.connect())
            else:
                assert script.requests[-1].get("x-long") == "y" * size
                assert script.requests[-1].body == b"tail"


def test_a_request_head_across_buffers(start_http, new_script):
    """Pipelined so that a later head begins at the end of a buffer."""
    script = new_script(lambda r: response(body=str(len(r.body)).encode()))
    weir = start_http(script)
    for size in range(16_384 - 400, 16_384 + 40, 11):
        client = Client(weir.connect())
        client.send(
            request("POST", "/a", body=b"x" * size) + request("POST", "/b", fields={"X-L": "z" * 9000}, body=b"yy")
            + request(target="/c"))
        assert [client.response().body for _ in range(3)] == [str(size).encode(), b"2", b"0"], size
        client.sock.close()


# -- Bodies that are not there


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(start_http, new_script, status):
    """Whatever their fields say (RFC 9112, section 6.3)."""
    fields = {"Content-Length": "5"} if status == 304 else {"X-A": "1"}
    script = new_script(lambda r: response(status, None, fields=fields))
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(3):
        answer = client.get()
        assert answer.status == status
        assert answer.get("content-length") == fields.get("Content-Length")
    assert script.connections == 1


def test_204_loses_its_length(start_http, new_script):
    """RFC 9110, section 8.6."""
    script = new_script(lambda r: response(204, None, fields={"Content-Length": "5"}))
    weir = start_http(script)
    client = Client(weir.connect())
    assert client.get().get("content-length") is None
    assert client.get().status == 204


def test_head(start_http, new_script):
    kinds = {
        "/length": response(body=None, fields={"Content-Length": "1000000"}),
        "/chunked": response(body=None, fields={"Transfer-Encoding": "chunked"}),
        "/none": response(body=None),
    }
    script = new_script(lambda r: kinds[r.target])
    weir = start_http(script)
    client = Client(weir.connect())
    for target in kinds:
        answer = client.ask(request("HEAD", target), "HEAD")
        assert answer.status == 200, target
        assert answer.get("content-length") == ("1000000" if target == "/length" else None)
    # The stream is still understood.
    answer = client.ask(request("HEAD", "/length"), "HEAD")
    assert answer.status == 200 and client.is_silent(0.05)
    assert script.connections == 1


# -- Trailers


def test_trailers_go_to_who_wants_them(start_http, new_script):
    body = chunked(b"data", trailers="X-Sum: 7\r\nContent-Length: 3\r\nHost: x\r\n")
    script = new_script(lambda r: response(body=None, fields={"Transfer-Encoding": "chunked"}) + body)
    weir = start_http(script)
    client = Client(weir.connect())
    answer = client.get(TE="trailers", Connection="te")
    assert answer.body == b"data" and ("x-sum", "7") in answer.trailers
    assert not {"content-length", "host"} & {name for name, _ in answer.trailers}
    answer = client.get()
    assert answer.body == b"data" and answer.trailers == []
    assert script.connections == 1


def test_trailers_in_pieces(start_http, new_script):
    whole = response(body=None, fields={"Transfer-Encoding": "chunked"}) + chunked(
        b"data", trailers="X-Sum: 7\r\nX-More: " + "8" * 1000 + "\r\n")
    script = new_script(lambda r: pieces(whole, 3))
    weir = start_http(script)
    client = Client(weir.connect())
    answer = client.get(TE="trailers", Connection="te")
    assert answer.trailers == [("x-sum", "7"), ("x-more", "8" * 1000)]


# -- Clients and backends of HTTP/1.0


def test_a_client_of_http_1_0_gets_no_chunks(start_http, new_script):
    script = new_script(mirror)
    weir = start_http(script)
    for size in (0, 1, 16_384, 300_000):
        for kind in ("chunked/1000", "close"):
            client = Client(weir.connect())
            data = content(size)
            client.send(request("POST", f"/{kind}", version="1.0", body=data))
            answer = client.response()
            assert not answer.is_chunked and answer.get("connection") == "close"
            assert answer.body == data
            client.sock.close()


def test_a_client_of_http_1_0_that_keeps_its_connection(start_http, new_script):
    weir = start_http(new_script(lambda r: response(body=b"x")))
    client = Client(weir.connect())
    for _ in range(3):
        answer = client.ask(request(version="1.0", fields={"Connection": "keep-alive"}))
        assert answer.get("connection") == "keep-alive" and answer.body == b"x"
    answer = client.ask(request(version="1.0"))
    assert answer.get("connection") == "close" and client.ending() == "fin"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_backend_of_http_1_0(start_http, new_script, keeps):
    fields = {"Connection": "keep-alive"} if keeps else {}
    end = [] if keeps else [None]
    script = new_script(lambda r: [response(body=b"old", version="1.0", fields=fields), *end])
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(3):
        answer = client.get()
        assert answer.first.startswith("HTTP/1.1 200") and answer.body == b"old"
        assert answer.get("connection") is None
    assert script.connections == (1 if keeps else 3)


# -- Interim responses


def test_expect_continue_passes_through(start_http, backend):
    """The body is not sent before the backend asks for it."""
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request("POST", fields={"Expect": "100-continue", "Content-Length": "5"}))
    server = Reader(weir.keep(backend.accept()[0]))
    head = server.head()
    assert head.get("expect") == "100-continue"
    assert client.is_silent(0.05)
    server.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.head().first == "HTTP/1.1 100 Continue"
    client.send(b"hello")
    assert server.exactly(5) == b"hello"
    server.sock.sendall(response(body=b"done"))
    assert client.response().body == b"done"
    assert client.is_silent(0.05)


def test_expect_continue_that_is_turned_down(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request("POST", fields={"Expect": "100-continue", "Content-Length": "5000000"}))
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    server.sock.sendall(response(417, b"no"))
    answer = client.response()
    assert (answer.status, answer.body) == (417, b"no")
    # The client may send the body all the same or not; the connection cannot go on.
    assert answer.get("connection") == "close" and client.ending() == "fin"
    assert weir.wait_for_session()["status"] == 417


def test_early_hints_come_early(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    server.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: 1\r\n\r\n")
    hints = client.head()
    assert hints.fields == [("link", "</a.css>")]
    server.sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + response(body=b"x"))
    answer = client.response()
    assert [one.status for one in answer.interim] == [102, 103] and answer.body == b"x"
    record = weir.wait_for_session()
    assert record["status"] == 200


def test_a_client_of_http_1_0_gets_no_interim_response(start_http, new_script):
    script = new_script(lambda r: [b"HTTP/1.1 103 Hints\r\n\r\n", response(body=b"x")])
    weir = start_http(script)
    answer = Client(weir.connect()).ask(request(version="1.0"))
    assert answer.interim == [] and answer.body == b"x"


def test_a_flood_of_interim_responses(start_http, new_script):
    """It takes no more buffers than a body would."""
    count = 20_000
    script = new_script(lambda r: [b"HTTP/1.1 103 H\r\n\r\n" * count, response(body=b"x")])
    weir = start_http(script)
    client = Client(weir.connect())
    before = weir.memory_bytes("Rss")
    client.send(request())
    wait_until_still(lambda: weir.memory_bytes("Rss") // 65536, "the memory of Weir")
    grown = weir.memory_bytes("Rss") - before
    assert grown < 8 << 20, f"{grown >> 20} MiB"
    answer = client.response()
    assert answer.status == 200 and len(answer.interim) == count


# -- Pipelining


def test_pipelined_requests_are_answered_in_order(start_http, new_script):
    script = new_script(lambda r: response(body=f"{r.target} {len(r.body)}".encode()))
    weir = start_http(script)
    client = Client(weir.connect())
    sent, expected = [], []
    for index in range(200):
        body = b"x" * (index * 37 % 5000)
        if index % 3 == 0:
            sent.append(request(target=f"/{index}"))
            body = b""
        elif index % 3 == 1:
            sent.append(request("POST", f"/{index}", body=body))
        else:
            fields = {"Transfer-Encoding": "chunked"}
            sent.append(request("PUT", f"/{index}", fields=fields) + chunked(*pieces(body, 999)))
        expected.append(f"/{index} {len(body)}".encode())
    thread = send_in_background(client, b"".join(sent))
    assert [client.response().body for _ in sent] == expected
    thread.join(10)
    assert script.targets == [f"/{index}" for index in range(200)]
    assert script.connections == 1


def test_pipelined_requests_of_a_client_that_then_half_closes(start_http, new_script):
    script = new_script(lambda r: response(body=r.target.encode()))
    weir = start_http(script)
    client = Client(weir.connect())
    client.send(b"".join(request(target=f"/{index}") for index in range(5)))
    client.end()
    assert [client.response().body for _ in range(5)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert client.ending() == "fin"


def test_a_client_that_half_closes_inside_a_pipelined_head(start_http, backend):
    """It is not waited for."""
    weir = start_http(backend, listener={"timeouts": {"request_head": "1m"}})
    client = Client(weir.connect())
    client.send(request() + b"GET / HTTP/1.1\r\nHo")
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    client.end()
    wait_until(lambda: client.sock.getsockopt(6, 11, 1)[0] in (5, 9), "the end is acknowledged")
    server.sock.sendall(response(body=b"x"))
    assert client.response().body == b"x"
    assert client.ending() == "fin"


def test_answers_of_weir_and_of_backends_keep_their_order(start_http, new_script):
    script = new_script(lambda r: response(body=b"back"))
    routes = [{"match": {"path": "/ping"}, "respond": {"body": "pong"}}]
    weir = start_http(script, listener={"routes": routes})
    client = Client(weir.connect())
    client.send((request() + request(target="/ping")) * 50)
    assert [client.response().body for _ in range(100)] == [b"back", b"pong"] * 50


def test_many_pipelined_requests_are_not_taken_in_at_once(start_http, backend):
    """While one is served the others wait in the kernel, not in Weir."""
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request())
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    before = weir.memory_bytes("Rss")
    count = 500_000
    data = request(target="/more") * count
    thread = threading.Thread(target=send_until_it_breaks, args=[client, data], daemon=True)
    thread.start()
    wait_until_still(lambda: weir.memory_bytes("Rss") // 65536, "the memory of Weir")
    assert thread.is_alive()
    grown = weir.memory_bytes("Rss") - before
    assert grown < 4 << 20, f"{grown >> 20} MiB"


# -- Slow readers


def test_a_slow_reader_costs_its_queue_and_no_more(start_http, new_script, measured):
    size = 64 << 20
    data = content(MEBIBYTE)
    head = response(body=None, fields={"Content-Length": str(size)})
    script = new_script(lambda r: [head] + [data] * (size // MEBIBYTE))
    weir = start_http(script, listener={"relay": "copy"})

    def memory_with(count):
        clients = [Client(weir.connect(receive_buffer=65536)) for _ in range(count)]
        for client in clients:
            client.send(request())
            assert client.head().status == 200
        return clients[0], wait_until_still(lambda: weir.memory_bytes("Rss") // 65536 * 65536, "memory")

    # The first ones pay for what all share. A receive that is under way takes more than a queue holds before it is
    # stopped, and buffers are added in doubling steps; what is bounded is that no body is held.
    client, before = memory_with(16)
    each = (memory_with(16)[1] - before) / 16
    measured(f"{before >> 20} MiB with 16 slow readers, {each / 1024:.0f} KiB for each more")
    assert each < 4 << 20
    # They still get all of it.
    assert client.exactly(size) == data * (size // MEBIBYTE)


def test_a_slow_backend_slows_the_upload(start_http, backend):
    size = 64 << 20
    weir = start_http(backend)
    client = Client(weir.connect())
    before = weir.memory_bytes("Rss")
    data = content(MEBIBYTE)
    head = request("POST", fields={"Content-Length": str(size)})
    thread = send_in_background(client, head + data * 64)
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    wait_until_still(lambda: weir.memory_bytes("Rss") // 65536, "the memory of Weir")
    assert thread.is_alive()
    grown = weir.memory_bytes("Rss") - before
    assert grown < 4 << 20, f"{grown >> 20} MiB"
    assert server.exactly(size) == data * 64
    server.sock.sendall(response(body=b"thanks"))
    assert client.response().body == b"thanks"


# -- Answers before the request is over


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("relay", RELAYS)
def test_an_answer_to_an_upload_that_goes_on(start_http, backend, relay, closes):
    """413 reaches the client, also where the backend closes with the upload unread, which resets it."""
    weir = start_http(backend, listener={"relay": relay})
    for _ in range(3):
        client = Client(weir.connect())
        head = request("POST", fields={"Content-Length": str(64 << 20)})
        thread = threading.Thread(target=send_until_it_breaks, args=[client, head + content(8 << 20)], daemon=True)
        thread.start()
        connection, _ = backend.accept()
        server = Reader(weir.keep(connection))
        server.head()
        server.exactly(300_000)
        connection.sendall(response(413, b"too large", fields={"Connection": "close"}))
        if closes:
            connection.close()
        answer = client.response("POST")
        assert (answer.status, answer.body) == (413, b"too large")
        thread.join(30)
        assert not thread.is_alive()
        client.sock.close()
    for record in weir.wait_for_sessions(3):
        assert record["status"] == 413


def send_until_it_breaks(client, data):
    try:
        client.send(data)
    except OSError:  # Closed by either side.
        pass


def test_an_answer_that_begins_before_the_upload_ends(start_http, backend):
    """Both go on side by side, as an echo."""
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request("POST", fields={"Transfer-Encoding": "chunked"}))
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    server.sock.sendall(response(body=None, fields={"Transfer-Encoding": "chunked"}))
    answer = client.head()
    assert answer.status == 200
    for index in range(20):
        piece = b"piece %d" % index
        client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert server.until(piece + CRLF).endswith(piece + CRLF)
        server.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert client.until(piece + CRLF).endswith(piece + CRLF)
    client.send(b"0\r\n\r\n")
    assert server.until(b"0\r\n\r\n")
    server.sock.sendall(b"0\r\n\r\n")
    assert client.until(b"0\r\n\r\n")
    assert weir.wait_for_session()["reason"] == "ok"


# -- Streams of events


def test_an_event_arrives_before_the_next_is_sent(start_http, backend):
    weir = start_http(backend)
    client = Client(weir.connect())
    client.send(request(fields={"Accept": "text/event-stream"}))
    server = Reader(weir.keep(backend.accept()[0]))
    server.head()
    server.sock.sendall(response(body=None, fields={"Content-Type": "text/event-stream"}))
    assert client.head().get("transfer-encoding") == "chunked"
    for index in range(10):
        event = b"data: %d\n\n" % index
        server.sock.sendall(event)
        assert client.until(event + CRLF) == b"%x\r\n%s\r\n" % (len(event), event)
    server.sock.close()
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert client.is_silent(0.05)
