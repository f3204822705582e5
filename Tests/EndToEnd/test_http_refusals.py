"""Requests and responses that are refused: by which status, for which cause in the log, and that nothing of
them gets through."""

import pytest

from http_peers import CRLF, Client, chunked, request, response
from streams import ending_of

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

#: What is sent, the status, and the cause in the log.
HEADS = [
    # Two framings, or one that is not clear.
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "conflicting_length"),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "conflicting_length"),
    (POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + SECOND, 400, "conflicting_length"),
    (POST + b"transfer-encoding: CHUNKED\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400, "conflicting_length"),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding_in_http_1_0"),
    (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: \"chunked\"\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: chunked,\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding:\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: identity\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: chun\tked\r\n\r\n", 400, "bad_transfer_encoding"),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "unsupported_transfer_encoding"),
    (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501,
     "unsupported_transfer_encoding"),
    # Lengths.
    (POST + b"Content-Length:\r\n\r\n", 400, "bad_length"),
    (POST + b"Content-Length: +5\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: -5\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 1 0\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 0x5\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 5,5\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 5, 6\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 5.0\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 9223372036854775808\r\n\r\n", 400, "bad_length"),
    (POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400, "bad_length"),
    (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, "several_lengths"),
    (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "several_lengths"),
    # Line ends and other control octets.
    (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"),
    (GET + b"x: 1\nTransfer-Encoding: chunked\r\n\r\n", 400, "bare_lf"),
    (GET + b"x: 1\rTransfer-Encoding: chunked\r\n\r\n", 400, "bare_cr"),
    (b"GET / HTTP/1.1\rHost: a\r\r", 400, "bare_cr"),
    (GET + b"x: a\0b\r\n\r\n", 400, "control_octet"),
    (GET + b"x: a\x7fb\r\n\r\n", 400, "control_octet"),
    (GET + b"x: a\x0bb\r\n\r\n", 400, "control_octet"),
    # Field lines.
    (GET + b": empty\r\n\r\n", 400, "bad_field_name"),
    (GET + b"a b: 1\r\n\r\n", 400, "bad_field_name"),
    (GET + b"a(b: 1\r\n\r\n", 400, "bad_field_name"),
    (GET + b"caf\xc3\xa9: 1\r\n\r\n", 400, "bad_field_name"),
    (GET + b"no colon\r\n\r\n", 400, "bad_field_name"),
    (POST + b"Content-Length : 5\r\n\r\nhello", 400, "space_before_colon"),
    (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, "space_before_colon"),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded_field"),
    (GET + b"x: 1\r\n folded\r\n\r\n", 400, "folded_field"),
    (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "folded_field"),
    # Host.
    (b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    (GET + b"Host: a\r\n\r\n", 400, "several_hosts"),
    (GET + b"Host: b\r\n\r\n", 400, "several_hosts"),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "bad_host"),
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host_mismatch"),
    (b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host_mismatch"),
    # The request line.
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_octet"),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method"),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_method"),
    (b"GET /\r\nHost: a\r\n\r\n", 400, None),
    (b"GET /\r\n\r\n", 400, None),
    (b"\r\n\r\n\r\n", 400, None),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_version"),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, None),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, None),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method_not_allowed"),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
    # TLS on a plain listener.
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "control_octet"),
    # Limits: 16 KiB of head, 100 fields, 8 KiB of target.
    (GET + b"x: " + b"y" * 17000 + b"\r\n\r\n", 431, "head_too_large"),
    (GET + b"".join(b"x%d: 1\r\n" % n for n in range(100)) + CRLF, 431, "too_many_fields"),
    (GET + b"Connection: " + b"a, " * 40 + b"b\r\n\r\n", 431, "too_many_connection_options"),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
]


def test_heads_that_are_refused(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    wrong = []
    for number, (sent, status, cause) in enumerate(HEADS):
        client = Client(weir.connect())
        client.send(sent)
        answer = client.response()
        record = weir.wait_for_sessions(number + 1)[-1]
        seen = (answer and answer.status, record.get("cause"), record["reason"], record["status"])
        if seen != (status, cause or record.get("cause"), "bad_request", status):
            wrong.append((sent[:120], seen, (status, cause)))
        elif answer.get("connection") != "close" or client.ending() != "fin":
            wrong.append((sent[:120], "the connection goes on"))
        client.sock.close()
    assert wrong == []
    assert script.requests == [] and script.connections == 0


def test_a_head_that_comes_in_pieces_is_refused_all_the_same(start_http, new_script):
    """Also where the fault and the end of the stream come together."""
    script = new_script()
    weir = start_http(script)
    wrong = []
    for sent, status, _ in HEADS:
        if len(sent) > 400:
            continue
        client = Client(weir.connect())
        for index in range(len(sent)):
            try:
                client.send(sent[index:index + 1])
            except (BrokenPipeError, ConnectionResetError):
                break
        try:
            answer = client.response()
        except ConnectionResetError:
            answer = None
        if answer is None or answer.status != status:
            wrong.append((sent, answer and answer.status, status))
        client.sock.close()
    assert wrong == []
    assert script.connections == 0


def test_an_answer_to_a_refused_request_is_not_lost_to_a_half_close(start_http, new_script):
    weir = start_http(new_script())
    for sent, status, _ in HEADS:
        client = Client(weir.connect())
        client.send(sent)
        client.end()
        assert client.response().status == status, sent
        assert client.ending() == "fin", sent
        client.sock.close()
    records = weir.wait_for_sessions(len(HEADS))
    assert {record["reason"] for record in records} == {"bad_request"}


def test_an_answer_to_a_refused_request_is_not_lost_to_what_follows(start_http, new_script):
    """A client that goes on sending must not be reset before it has read the answer."""
    weir = start_http(new_script())
    for _ in range(20):
        client = Client(weir.connect())
        client.send(GET + b"Bad Field: 1\r\n\r\n" + b"x" * 300_000)
        assert client.response().status == 400
        client.sock.close()


#: Behind a chunked request's head; the cause. What came before the fault was good, and a backend has it.
CHUNKS = [
    (b"\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b"+5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b"-5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b"0x5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b" 5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b"5x\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
    (b"g\r\n", "bad_chunk_size"),
    (b"00000000000005\r\nhello\r\n0\r\n\r\n", "chunk_size_too_long"),
    (b"ffffffffffffffff\r\n", "chunk_size_too_long"),
    (b"5\nhello\r\n0\r\n\r\n", "bare_lf"),
    (b"5;a=b\nhello\r\n0\r\n\r\n", "bare_lf"),
    (b"5\rhello\r\n0\r\n\r\n", "bare_cr"),
    (b"5\r\nhello\n0\r\n\r\n", "bad_chunk_end"),
    (b"5\r\nhelloX\r\n0\r\n\r\n", "bad_chunk_end"),
    (b"5\r\nhello0\r\n\r\n", "bad_chunk_end"),
    (b"5\r\nhello\rX0\r\n\r\n", "bare_cr"),
    (b"5;" + b"e" * 5000 + b"\r\nhello\r\n0\r\n\r\n", "chunk_extensions_too_long"),
    (b"1;eeeeeeee\r\nx\r\n" * 600 + b"0\r\n\r\n", "chunk_extensions_too_long"),
    (b"5;a\0b\r\nhello\r\n0\r\n\r\n", None),
    (b"0\r\nx: 1\n\r\n", "bare_lf"),
    (b"0\r\n\n", "bare_lf"),
    (b"0\r\nx: " + b"y" * 5000 + b"\r\n\r\n", "trailers_too_long"),
]


@pytest.mark.parametrize("is_at_once", [True, False], ids=["at once", "behind the head"])
def test_chunked_bodies_that_are_refused(start_http, new_script, is_at_once):
    script = new_script()
    weir = start_http(script)
    wrong = []
    for number, (body, cause) in enumerate(CHUNKS):
        client = Client(weir.connect())
        if is_at_once:
            client.send(CHUNKED + body)
        else:
            client.send(CHUNKED)
            client.send(body)
        try:
            answer = client.response()
        except ConnectionResetError:
            answer = None
        record = weir.wait_for_sessions(number + 1)[-1]
        seen = (answer and answer.status, record["reason"], record.get("cause"), record["status"])
        if seen != (400, "bad_request", cause or record.get("cause"), 400) or client.ending() != "fin":
            wrong.append((body[:60], seen, cause))
        client.sock.close()
    assert wrong == []
    # The backend saw heads perhaps, and no whole request.
    assert script.requests == [r for r in script.requests if not r.is_whole]


@pytest.mark.parametrize("target", ["/", "http://site.test/x"])
def test_what_a_backend_gets_is_one_request(start_http, new_script, target):
    """Requests that two readers might tell apart differently: what goes on is written anew, and is one."""
    script = new_script()
    weir = start_http(script)
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    client = Client(weir.connect())
    answer = client.ask(request("POST", target, fields={"X-A": "1"}, body=hidden))
    assert answer.status == 200
    answer = client.ask(
        request("POST", target, fields={"Transfer-Encoding": "chunked"})
        + chunked(hidden, extension=";a=\"b\"", trailers="X-T: 1\r\nContent-Length: 3\r\n"))
    assert answer.status == 200
    # A tab and spaces around a value are no part of it.
    answer = client.ask(request("POST", target, fields={"Transfer-Encoding": " \tchunked \t"}) + chunked(hidden))
    assert answer.status == 200
    assert [r.method for r in script.requests] == ["POST"] * 3
    for message in script.requests:
        assert message.body == hidden
        assert message.all("transfer-encoding") + message.all("content-length") in ([str(len(hidden))], ["chunked"])
        assert b";" not in b"".join(message.chunk_lines) and message.trailers == []


def test_a_body_without_a_framing_is_the_next_request(start_http, new_script):
    """A GET without Content-Length has no body (RFC 9112, section 6.3)."""
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    client.send(request(target="/1") + request(target="/2"))
    assert [client.response().status for _ in range(2)] == [200, 200]
    assert script.targets == ["/1", "/2"]


def test_one_empty_line_before_a_request_is_passed_over(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(3):
        assert client.ask(CRLF + request("POST", body=b"x")).status == 200
    assert len(script.requests) == 3


#: What a backend answers, and the cause.
RESPONSES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "conflicting_length"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding_in_http_1_0"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "bad_transfer_encoding"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unsupported_transfer_encoding"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "several_lengths"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "bad_length"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_length"),
    (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "bare_lf"),
    (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "bare_cr"),
    (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "control_octet"),
    (b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", "space_before_colon"),
    (b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n", "folded_field"),
    (b"HTTP/1.1 200 OK\r\n X: 1\r\n\r\n", "folded_field"),
    (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "bad_field_name"),
    (b"HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"),
    (b"HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"),
    (b"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
    (b"<html>not http</html>\r\n\r\n", None),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", None),
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", None),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "unexpected_upgrade"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 17000 + b"\r\n\r\n", "head_too_large"),
    (b"HTTP/1.1 200 OK\r\n" + b"x: 1\r\n" * 101 + b"\r\n", "too_many_fields"),
    (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad_length"),
]


def test_responses_that_are_refused(start_http, new_script):
    answers = {f"/{number}": answer for number, (answer, _) in enumerate(RESPONSES)}
    script = new_script(lambda r: answers.get(r.target) or response(body=b"good"))
    weir = start_http(script)
    wrong = []
    client = Client(weir.connect())
    for number, (sent, cause) in enumerate(RESPONSES):
        before = script.connections
        answer = client.get(f"/{number}")
        record = weir.wait_for_sessions(2 * number + 1)[-1]
        seen = (answer.status, record["reason"], record.get("cause"), record["status"])
        if seen != (502, "bad_response", cause or record.get("cause"), 502):
            wrong.append((sent[:90], seen, cause))
        # The backend's connection is not used again; the client's goes on.
        answer = client.get("/good")
        if answer.body != b"good" or script.requests[-1].connection == script.requests[-2].connection:
            wrong.append((sent[:90], "the backend's connection is used again"))
        weir.wait_for_sessions(2 * number + 2)
    assert wrong == []


@pytest.mark.parametrize("answer, reason", [
    (b"", "backend_closed"),
    (b"HTTP/1.1 200 OK\r\nContent-", "backend_closed"),
    (b"HTTP/1.1 103 Hints\r\n\r\n", "backend_closed"),
], ids=["nothing", "half a head", "an interim response"])
def test_a_backend_that_closes_inside_the_head(start_http, new_script, answer, reason):
    script = new_script(lambda r: [answer, None])
    weir = start_http(script)
    client = Client(weir.connect())
    assert client.get().status == 502
    record = weir.wait_for_session()
    assert (record["reason"], record["status"]) == (reason, 502)
    # It is the backend's fault, and the client's connection goes on.
    assert client.get().status == 502


@pytest.mark.parametrize("body", [
    b"x\r\n", b"5\r\nhelloX\r\n", b"5\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n",
], ids=repr)
def test_a_response_whose_chunks_are_broken_does_not_look_whole(start_http, new_script, body):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n"
    script = new_script(lambda r: head + body)
    weir = start_http(script)
    client = Client(weir.connect())
    try:
        answer = client.get()
        assert answer is None or not answer.is_whole or answer.status == 502
    except ConnectionResetError:
        pass
    assert weir.wait_for_session()["reason"] == "bad_response"


@pytest.mark.parametrize("trailers", [b"no colon\r\n", b" folded: 1\r\n", b"a b: 1\r\n", b": 1\r\n"], ids=repr)
def test_trailers_that_would_be_passed_on_are_refused(start_http, new_script, trailers):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = new_script(lambda r: head + b"4\r\ngood\r\n0\r\n" + trailers + CRLF)
    weir = start_http(script)
    client = Client(weir.connect())
    try:
        answer = client.get(TE="trailers", Connection="te")
        assert answer is None or not answer.is_whole
    except ConnectionResetError:
        pass
    assert weir.wait_for_session()["cause"] == "bad_trailer"


def test_answers_of_weir_say_no_more_than_the_status(start_http, new_script):
    weir = start_http(new_script())
    client = Client(weir.connect())
    answer = client.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert answer.body == b"400 Bad Request\n" and answer.get("content-type").startswith("text/plain")
    assert answer.get("server") is None
    assert ending_of(client.sock) == "fin"

