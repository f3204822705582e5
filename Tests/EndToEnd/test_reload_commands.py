"""What the admin API and the commands change in a running Weir: reload, rollback, history; and who is refused."""

import json
import socket

import pytest

from addresses import text_of
from admin_client import ask, raw
from servers import greet_with
from streams import receive_to_end
from test_admin import check_answer, start_admin  # noqa: F401
from test_reload import changed, name_of, set_backends, write

TOKEN = "0123456789abcdef-Token"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def start_commanded(start_admin, new_server):
    """Weir in tcp mode in front of two backends that say who they are, of which it has the first."""

    def start(**options):
        one, other = new_server(greet_with("one")), new_server(greet_with("other"))
        weir = start_admin(text_of(one.listener.getsockname()), http=False, **options)
        weir.one, weir.other = one, other
        weir.token = options.get("token")
        return weir

    return start


def order(weir, path, body=None, headers=None, address=None, method="POST"):
    """A command, through the unix socket unless told otherwise; its answer is a documented one."""
    text = None if body is None else json.dumps(body)
    headers = {**(JSON if body is not None else {}), **(headers or {})}
    answer = ask(address or weir.admin_path, path, method, headers, text)
    check_answer(path.partition("?")[0], answer, method.lower())
    return answer


def use(*backends):
    """A change of the configuration: the pool has these backends."""

    def change(configuration):
        configuration["pools"]["site"]["backends"] = [text_of(b.listener.getsockname()) for b in backends]

    return change


def test_a_reload_is_over_when_it_is_answered(start_commanded):
    weir = start_commanded()
    before = weir.configuration
    for number in range(2, 12):
        server, name = (weir.other, "other") if number % 2 == 0 else (weir.one, "one")
        write(weir, changed(before, use(server)))
        answer = order(weir, "/lb/reload")
        assert answer.status == 200 and answer.json()["number"] == number
        assert [c["kind"] for c in answer.json()["changes"]] == ["removed", "added"]
        assert name_of(weir.connect()) == name
    assert order(weir, "/lb/reload").json() == {"number": 12, "changes": []}


def test_a_file_with_errors_is_refused_with_all_of_them(start_commanded):
    weir = start_commanded()
    good = weir.configuration
    weir.configuration_path.write_text("wokers: 1\nlisteners: []\n")
    answer = order(weir, "/lb/reload")
    assert answer.status == 422 and answer.json()["number"] == 1
    assert "weir.yaml:1:1" in answer.json()["error"] and "weir.yaml:2:" in answer.json()["error"]
    assert weir.wait_for_event("reload_failed")["cause"] == answer.json()["error"]
    assert name_of(weir.connect()) == "one"
    write(weir, good)


def test_another_file_is_for_the_owner_through_the_unix_socket(start_commanded, tmp_path):
    weir = start_commanded(token=TOKEN)
    path = tmp_path / "other.yaml"
    path.write_text(json.dumps(changed(weir.configuration, use(weir.other))))
    token = {"Authorization": f"Bearer {TOKEN}"}
    body = {"file": str(path)}
    assert order(weir, "/lb/reload", body, token, weir.admin).status == 403
    own = {"file": str(weir.configuration_path)}
    assert order(weir, "/lb/reload", own, token, weir.admin).status == 200
    assert name_of(weir.connect()) == "one"
    assert order(weir, "/lb/reload", {"file": "other.yaml"}).status == 400
    assert order(weir, f"/lb/reload?file={path}").status == 200
    assert name_of(weir.connect()) == "other"


# -- Who may, and what is no command


def test_commands_want_the_token(start_commanded):
    weir = start_commanded(token=TOKEN)
    for value in (None, f"Bearer {TOKEN}x", TOKEN):
        headers = {"Authorization": value} if value else {}
        assert order(weir, "/lb/reload", headers=headers, address=weir.admin).status == 401
        assert order(weir, "/lb/reload", {"file": "/x"}, headers, weir.admin).status == 401
    assert len(weir.events("reloaded")) == 0


@pytest.mark.parametrize("headers, body, status", [
    ({"Origin": "http://evil.example"}, None, 403),
    ({"Origin": "null"}, None, 403),
    ({"Origin": "http://127.0.0.1:1"}, None, 403),
    ({"Host": "evil.example", "Origin": "http://evil.example"}, None, 403),
    ({"Content-Type": "application/x-www-form-urlencoded"}, None, 415),
    ({"Content-Type": "text/plain"}, '{"file": "/x"}', 415),
    ({"Content-Type": "multipart/form-data; boundary=x"}, "--x--", 415),
    ({}, '{"file": "/x"}', 415),
    ({"Content-Type": "application/jsonx"}, "{}", 415),
])
def test_no_page_in_a_browser_of_this_host_can_command(start_commanded, headers, body, status):
    weir = start_commanded()
    answer = ask(weir.admin, "/lb/reload", "POST", headers, body)
    check_answer("/lb/reload", answer, "post")
    assert answer.status == status
    own = {"Origin": f"http://{weir.admin}", **JSON}
    assert ask(weir.admin, "/lb/reload", "POST", own, "{}").status == 200


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"7", b'{"file": }', b'{"file": "a"} x', b'{"file": "\xff"}', b'{"file": ["a"]}',
    b'{"file": {"a": 1}}', b'{"file": 7}', b'{"file": "a", "file": "b"}', b'{"fiel": "a"}', b"[" * 10_000,
    b'{"a":' * 2000, b"\x00" * 100,
])
def test_malformed_bodies_are_refused(start_commanded, body):
    weir = start_commanded()
    answer = ask(weir.admin, "/lb/reload", "POST", JSON, body)
    check_answer("/lb/reload", answer, "post")
    # No body is nothing to object to.
    assert answer.status == (200 if body == b"" else 400), answer.text


@pytest.mark.parametrize("query", ["file", "file=%", "file=%zz", "file=%ff", "file=a&file=b", "x=1", "file=%2"])
def test_malformed_queries_are_refused(start_commanded, query):
    weir = start_commanded()
    assert order(weir, f"/lb/reload?{query}").status == 400


def test_large_bodies_are_refused_however_they_come(start_commanded):
    weir = start_commanded()
    fits = b'{"file": "/' + b"x" * (16 * 1024 - 13) + b'"}'
    assert len(fits) == 16 * 1024
    # It is taken, and there is no such file.
    assert ask(weir.admin_path, "/lb/reload", "POST", JSON, fits).status == 422
    head = "POST /lb/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    too_long = raw(weir.admin, f"{head}Content-Length: 16385\r\n\r\n".encode() + b"x" * 16385)
    assert too_long.startswith(b"HTTP/1.1 413 ")
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
    answer = raw(weir.admin, head.encode() + chunks + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 4)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_may_come_in_chunks_and_pieces(start_commanded):
    weir = start_commanded()
    body = json.dumps({"file": str(weir.configuration_path)}).encode()
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % octet for octet in body) + b"0\r\nA: b\r\n\r\n"
    host, _, port = weir.admin.rpartition(":")
    for framing, octets in (
        (b"Transfer-Encoding: chunked", chunks), (b"Content-Length: %d" % len(body), body),
    ):
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(
                b"POST /lb/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Expect: 100-continue\r\n" + framing + b"\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            for index in range(0, len(octets), 7):
                client.sendall(octets[index:index + 7])
            assert receive_to_end(client).startswith(b"HTTP/1.1 200 ")


def test_each_path_says_which_methods_it_has(start_commanded):
    weir = start_commanded()
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        answer = ask(weir.admin, "/lb/reload", method)
        assert answer.status == 405 and answer.headers["Allow"] == "POST"
    assert ask(weir.admin, "/lb/stats", "POST").headers["Allow"] == "GET, HEAD"
    assert weir.events("reloaded") == []
