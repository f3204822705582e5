"""The admin API: what it answers is what docs/openapi.json says and what happened; who is refused and how; that
nobody holds anybody up."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import json_schema
from addresses import free_port
from admin_client import ask, raw
from deadlines import PATIENCE_SECONDS, wait_until
from weir_process import ROOT, run_weir

TOKEN = "0123456789abcdef-Token"
OPENAPI = json.loads((ROOT / "docs/openapi.json").read_text())
#: What is looked at; all else changes something.
SHOWN = [path for path, methods in OPENAPI["paths"].items() if "get" in methods]


@pytest.fixture
def start_admin(start_weir, short_folder):
    """Weir with an admin API on a unix socket and on loopback."""

    def start(*backends, token=None, bind=None, http=True, **extra):
        path = f"unix:{short_folder}/admin.sock"
        address = f"127.0.0.1:{free_port()}"
        admin = {"bind": bind or [path, address]}
        if token:
            admin["token"] = token
        configuration = {
            "workers": 2,
            "admin": admin,
            "listeners": {
                "web": {"bind": f"127.0.0.1:{free_port()}", "pool": "site", "mode": "http" if http else "tcp"}
            },
            "pools": {"site": {"backends": list(backends) or ["127.0.0.1:1"]}},
            **extra,
        }
        weir = start_weir(configuration=configuration)
        weir.admin, weir.admin_path = address, path
        return weir

    return start


def response_of(path, status, method="get"):
    response = OPENAPI["paths"][path][method]["responses"][str(status)]
    return json_schema.resolve(response["$ref"], OPENAPI) if "$ref" in response else response


def check_answer(path, answer, method="get"):
    """It is one that the document has for the path."""
    content = response_of(path, answer.status, method)["content"]
    kind = answer.headers["Content-Type"]
    assert kind in content
    if kind == "application/json":
        json_schema.check(answer.json(), content[kind]["schema"], OPENAPI)


def test_every_documented_path_answers_as_documented_and_there_is_no_other(start_admin):
    weir = start_admin()
    assert ask(weir.admin, "/nothing").json()["paths"] == list(OPENAPI["paths"])
    for path in SHOWN:
        for address in (weir.admin, weir.admin_path):
            answer = ask(address, path)
            assert answer.status == 200
            check_answer(path, answer)
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        head = ask(weir.admin, path, "HEAD")
        # What is counted may have another digit by now.
        assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 0
        for status, options in (
            (405, {"method": "POST"}),
            (413, {"body": "x" * 10, "method": "GET"}),
            (403, {"headers": {"Host": "weir.example"}}),
            (431, {"headers": {"X-Long": "x" * 20_000}}),
            (400, {"headers": {"Content-Length": "-1"}}),
        ):
            answer = ask(weir.admin, path, **options)
            assert answer.status == status
            check_answer(path, answer)
    assert ask(weir.admin, "/lb/stats", "DELETE").headers["Allow"] == "GET, HEAD"


def test_the_schemas_of_the_document_are_used_and_whole():
    text = json.dumps(OPENAPI)
    for kind in ("schemas", "responses"):
        for name in OPENAPI["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text
    with pytest.raises(AssertionError):
        json_schema.check({"error": 5}, OPENAPI["components"]["schemas"]["Error"], OPENAPI)
    with pytest.raises(AssertionError):
        json_schema.check({"error": "x", "more": 5}, OPENAPI["components"]["schemas"]["Error"], OPENAPI)


def by_name(elements):
    return {element["name"]: element for element in elements}


def test_requests_are_counted_where_they_went(start_admin, new_script, refusing):
    good = new_script()
    dead = refusing()
    address = good.server.listener.getsockname()
    weir = start_admin(
        {"name": "good", "address": f"{address[0]}:{address[1]}"}, {"name": "dead", "address": dead})
    web = weir.configuration["listeners"]["web"]["bind"]
    for _ in range(20):
        assert ask(web, "/").status == 200
    assert ask(web, "/", headers={"Content-Length": "-1"}).status == 400
    stats = wait_until(
        lambda: (s := ask(weir.admin, "/lb/stats").json())["totals"]["requests"] == 21 and s, "21 requests")
    (listener,) = stats["listeners"]
    assert listener["requests"] == 21 == sum(listener["durations"]["counts"])
    assert listener["responses"] == {"1xx": 0, "2xx": 20, "3xx": 0, "4xx": 1, "5xx": 0}
    assert listener["failed"] == 1 and listener["accepted"] == 21
    assert len(listener["durations"]["counts"]) == len(listener["durations"]["bounds_us"]) + 1
    backends = by_name(stats["pools"][0]["backends"])
    assert backends["good"]["answers"] == 20 and backends["good"]["failures"] == 0
    assert backends["good"]["answer_us"] > 0 and backends["good"]["bytes_out"] > 0
    assert backends["dead"]["answers"] == 0
    assert backends["dead"]["connect_failures"] == backends["dead"]["failures"] == backends["dead"]["tries"] > 0
    assert backends["good"]["tries"] == 20 and backends["good"]["state"] == "healthy"
    assert stats["totals"]["accepted"] == sum(worker["accepted"] for worker in stats["workers"])
    weir.stop()


def test_an_ejected_backend_is_shown_as_such(start_admin, new_script, refusing):
    address = new_script().server.listener.getsockname()
    weir = start_admin(
        {"name": "good", "address": f"{address[0]}:{address[1]}"}, {"name": "dead", "address": refusing()})
    web = weir.configuration["listeners"]["web"]["bind"]

    def state():
        ask(web, "/")
        pool = ask(weir.admin, "/lb/backends").json()["pools"][0]
        return by_name(pool["backends"])["dead"]["state"] == "ejected" and pool

    backend = by_name(wait_until(state, "an ejection")["backends"])["dead"]
    assert backend["share_percent"] == 0
    assert 'weir_backend_state_info{pool="site",backend="dead",state="ejected"} 1' in ask(weir.admin, "/metrics").text


def test_open_sessions_are_shown(start_admin, new_backend):
    backend = new_backend()
    address = backend.getsockname()
    weir = start_admin(f"{address[0]}:{address[1]}", http=False)
    weir.pair(backend)
    weir.pair(backend)
    wait_until(lambda: ask(weir.admin, "/lb/sessions").json()["sessions"] == 2, "two sessions")
    (listener,) = ask(weir.admin, "/lb/sessions").json()["listeners"]
    assert listener == {"name": "web", "sessions": 2, "session_limit": None}

    def counts():
        (backend,) = ask(weir.admin, "/lb/backends").json()["pools"][0]["backends"]
        return [backend[name] for name in ("active", "tries", "answers")]

    # The backend may know of a connection before Weir does.
    wait_until(lambda: counts() == [2, 2, 2], "both to have a backend")


def test_the_configuration_is_shown_without_the_token(start_admin, tmp_path):
    weir = start_admin(token=TOKEN)
    text = ask(weir.admin_path, "/lb/config").text
    assert TOKEN not in text and "token: \"(hidden)\"" in text
    checked = run_weir("check", str(weir.configuration_path))
    assert checked.returncode == 0 and TOKEN not in checked.stdout + checked.stderr
    # But for the token it is the file that is served.
    path = tmp_path / "shown.yaml"
    path.write_text(text.replace("(hidden)", TOKEN))
    assert run_weir("check", str(path)).returncode == 0


def test_health_says_that_weir_is_about_to_end(start_admin, new_backend):
    backend = new_backend()
    address = backend.getsockname()
    weir = start_admin(f"{address[0]}:{address[1]}", http=False)
    weir.pair(backend)
    weir.signal(15)
    weir.wait_for_event("draining")
    answer = ask(weir.admin_path, "/lb/health")
    assert answer.status == 503 and answer.json()["status"] == "draining"
    check_answer("/lb/health", answer)
    assert "weir_serving 0\n" in ask(weir.admin_path, "/metrics").text


# -- Who may look


def test_without_admin_nobody_listens(start_weir, backend):
    weir = start_weir(backend)
    assert weir.events("admin_listening") == []
    listening = subprocess.run(["ss", "-Hltnxp"], capture_output=True, text=True).stdout
    # What tells the service manager that Weir is ready may still be there, and listens to nobody.
    assert sum("LISTEN" in line and f"pid={weir.pid}," in line for line in listening.splitlines()) == 1


def test_over_tcp_the_token_is_wanted_and_over_the_unix_socket_it_is_not(start_admin):
    weir = start_admin(token=TOKEN)
    assert ask(weir.admin_path, "/lb/stats").status == 200
    wrong = [
        None, TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Bearer x{TOKEN}", "Bearer",
        "Bearer ", f"Bearer {TOKEN.swapcase()}", f"Bearer {TOKEN} {TOKEN}", "x" * 5000,
    ]
    for value in wrong:
        for path in SHOWN:
            answer = ask(weir.admin, path, headers={"Authorization": value} if value else {})
            # The page itself shows nothing.
            assert answer.status == (200 if path == "/" else 401)
            check_answer(path, answer)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="weir"'
    twice = raw(
        weir.admin,
        f"GET /lb/stats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nAuthorization: Bearer x\r\n\r\n"
        .encode())
    assert twice.startswith(b"HTTP/1.1 401 ")
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = ask(weir.admin, "/lb/stats", headers={"Authorization": f"{scheme} {TOKEN}", "Host": "any.example"})
        assert answer.status == 200


def test_without_a_token_only_names_of_this_host_are_answered(start_admin):
    weir = start_admin()
    port = weir.admin.rpartition(":")[2]
    for host in ("127.0.0.1", f"127.0.0.1:{port}", "localhost", f"localhost:{port}", "[::1]:80", "10.0.0.1"):
        assert ask(weir.admin, "/lb/stats", headers={"Host": host}).status == 200
    for host in ("rebound.example", "127.0.0.1.rebound.example", "localhost.example", "1.2.3.256"):
        assert ask(weir.admin, "/lb/stats", headers={"Host": host}).status == 403


ASK_AS_SOMEBODY_ELSE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import admin_client, http.client, socket
os.setgid(65534); os.setuid(65534)
answer = admin_client.ask(sys.argv[2], "/lb/stats")
print(answer.status, answer.text)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_unix_socket_is_for_its_owner(start_admin, short_folder):
    weir = start_admin(token=TOKEN)
    path = weir.admin_path.removeprefix("unix:")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    def ask_as_somebody_else():
        return subprocess.run(
            [sys.executable, "-c", ASK_AS_SOMEBODY_ELSE, str(Path(__file__).parent), weir.admin_path],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    os.chmod(short_folder, 0o711)
    assert "PermissionError" in ask_as_somebody_else().stderr
    # Whatever somebody makes of the file's permissions, the kernel says who connects.
    os.chmod(path, 0o666)
    assert ask_as_somebody_else().stdout.startswith("403 ")
    assert ask(weir.admin_path, "/lb/stats").status == 200


# -- Bad manners


@pytest.mark.parametrize("octets, status", [
    (b"GET / HTTP/1.1\n\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /lb/stats HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    (b"GET /lb/stats HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 100_000, 413),
    (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\na: " + b"x" * 1_000_000, 431),
    (b"GET /lb/../lb/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
], ids=[
    "bare line feeds", "no host", "another version", "TLS", "a control octet", "chunks", "a body", "a long target",
    "many fields", "a long field", "another path",
])
def test_bad_requests_are_answered_and_closed(start_admin, octets, status):
    weir = start_admin()
    answer = raw(weir.admin, octets)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert ask(weir.admin, "/lb/health").status == 200


def test_who_says_nothing_and_who_reads_nothing_hold_up_nobody(start_admin):
    weir = start_admin()
    before = weir.descriptor_count()
    host, _, port = weir.admin.rpartition(":")
    idle = [weir.keep(socket.create_connection((host, int(port)))) for _ in range(100)]
    for number, client in enumerate(idle):
        if number % 2:
            client.sendall(b"GET /lb/stats HTTP/1.1\r\nHost: ")
    assert ask(weir.admin, "/lb/health").status == 200
    assert weir.descriptor_count() <= before + 32
    assert ask(weir.admin_path, "/metrics").status == 200
    # Their time comes to an end without anybody else coming.
    wait_until(lambda: weir.descriptor_count() <= before, "the connections are closed")


def test_many_at_once_are_all_answered(start_admin):
    weir = start_admin()
    statuses = []

    def one():
        for _ in range(20):
            statuses.append(ask(weir.admin, "/lb/stats").status)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 160


# -- Start and end


def test_the_socket_goes_with_the_process_but_not_its_successors(start_admin):
    weir = start_admin()
    path = weir.admin_path.removeprefix("unix:")
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        weir.stop()
        assert os.path.exists(path)


def test_a_socket_that_a_crash_left_is_replaced(start_admin, start_weir):
    weir = start_admin()
    weir.kill()
    assert os.path.exists(weir.admin_path.removeprefix("unix:"))
    # The kernel may still be taking the ring of the one that is gone apart, and its listeners with it.
    listeners = {"web": {**weir.configuration["listeners"]["web"], "bind": f"127.0.0.1:{free_port()}"}}
    again = start_weir(configuration={**weir.configuration, "listeners": listeners})
    assert ask(weir.admin_path, "/lb/health").status == 200
    again.stop()
    assert not os.path.exists(weir.admin_path.removeprefix("unix:"))


def test_an_address_that_is_taken_stops_the_start(start_admin, tmp_path):
    weir = start_admin()
    for bind in (weir.admin, weir.admin_path):
        path = tmp_path / "other.yaml"
        path.write_text(json.dumps({
            "admin": {"bind": bind},
            "listeners": {"web": {"bind": f"127.0.0.1:{free_port()}", "pool": "site"}},
            "pools": {"site": {"backends": ["127.0.0.1:1"]}},
        }))
        failed = run_weir("run", "-c", str(path))
        assert failed.returncode == 1 and failed.stderr.splitlines()[-1].startswith("weir: admin: ")
    assert ask(weir.admin_path, "/lb/health").status == 200
