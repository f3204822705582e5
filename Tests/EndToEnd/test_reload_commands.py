"""What the admin API and the commands change in a running Weir: reload, rollback, history; and who is refused."""

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import json_schema
from addresses import free_port, listen, text_of
from admin_client import ask, raw
from conftest import address_of
from deadlines import PATIENCE_SECONDS, wait_until
from servers import greet_with
from streams import receive_to_end
from test_admin import OPENAPI, check_answer, start_admin  # noqa: F401
from test_reload import changed, name_of, reload, write
from weir_process import run_weir

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
    assert order(weir, "/lb/reload").json() == {
        "number": 12, "restored": None, "differs_from_file": False, "changes": []}


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


# -- History and rollback


def history_of(weir):
    answer = ask(weir.admin_path, "/lb/history")
    check_answer("/lb/history", answer)
    return answer.json()


def served_name(weir):
    return name_of(weir.connect())


def test_history_has_who_asked_for_what_and_what_failed(start_commanded, tmp_path):
    weir = start_commanded()
    first = weir.configuration
    assert reload(weir, changed(first, use(weir.other)))["event"] == "reloaded"
    weir.configuration_path.write_text("nonsense: [\n")
    weir.signal(signal.SIGHUP)
    weir.wait_for_event("reload_failed")
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(changed(first, use(weir.one, weir.other))))
    assert order(weir, "/lb/reload", {"file": str(other)}).status == 200
    history = history_of(weir)
    entries = history["entries"]
    assert [(e["number"], e["source"]) for e in entries] == [
        (1, "start"), (2, "sighup"), (None, "sighup"), (3, "reload")]
    assert history["number"] == 3 and history["file"] == str(weir.configuration_path)
    assert entries[1]["changed"] == [
        f"backend site/{text_of(weir.one.listener.getsockname())} removed",
        f"backend site/{text_of(weir.other.listener.getsockname())} added"]
    assert entries[1]["changes"] == 2 and entries[1]["cause"] is None
    assert "weir.yaml:" in entries[2]["cause"] and "\n" not in entries[2]["cause"]
    assert entries[3]["file"] == str(other) and entries[0]["file"] is None
    assert history["differs_from_file"]
    assert order(weir, "/lb/rollback", {"to": 1}).status == 200
    write(weir, first)
    assert history_of(weir)["differs_from_file"]
    assert order(weir, "/lb/reload").status == 200
    assert not history_of(weir)["differs_from_file"]


def test_rolling_back_twice_goes_back_twice(start_commanded):
    weir = start_commanded()
    first = weir.configuration
    write(weir, changed(first, use(weir.other)))
    assert order(weir, "/lb/reload").status == 200
    write(weir, changed(first, use(weir.one, weir.other)))
    assert order(weir, "/lb/reload").status == 200
    back = order(weir, "/lb/rollback").json()
    assert (back["number"], back["restored"], back["differs_from_file"]) == (4, 2, True)
    assert served_name(weir) == "other"
    assert order(weir, "/lb/rollback").json()["restored"] == 1
    assert served_name(weir) == "one"
    answer = order(weir, "/lb/rollback")
    assert answer.status == 409 and "no configuration before" in answer.json()["error"]
    assert order(weir, "/lb/rollback?to=3").json()["restored"] == 3
    # What a rollback took from another one is that one.
    assert order(weir, "/lb/rollback", {"to": 4}).json()["restored"] == 4
    assert served_name(weir) == "other"
    assert order(weir, "/lb/rollback").json()["restored"] == 1
    assert [e["restored"] for e in history_of(weir)["entries"]] == [None, None, None, 2, 1, 3, 4, 1]


@pytest.mark.parametrize("to, status", [(1, 409), (7, 404), (0, 400), (-1, 400), ("x", 400), (1.5, 400), (10 ** 30, 400)])
def test_numbers_that_lead_nowhere_are_refused(start_commanded, to, status):
    weir = start_commanded()
    assert order(weir, "/lb/rollback", {"to": to}).status == status
    assert history_of(weir)["number"] == 1


def test_what_cannot_be_bound_any_more_is_not_gone_back_to(start_commanded):
    weir = start_commanded()
    first = weir.configuration
    taken = f"127.0.0.1:{free_port()}"
    second = changed(first, lambda c: c["listeners"].update(more={"bind": taken, "pool": "site"}))
    for configuration in (second, first):
        write(weir, configuration)
        assert order(weir, "/lb/reload").status == 200
    weir.keep(listen(("127.0.0.1", int(taken.rpartition(":")[2]))))
    answer = order(weir, "/lb/rollback")
    assert answer.status == 422 and "another process has it" in answer.json()["error"]
    assert served_name(weir) == "one" and history_of(weir)["number"] == 3


def test_a_watched_file_does_not_undo_a_rollback_until_it_changes(start_commanded):
    weir = start_commanded(watch=True)
    first = weir.configuration
    write(weir, changed(first, use(weir.other)))
    assert weir.wait_for_event("reloaded")["source"] == "watch"
    assert order(weir, "/lb/rollback").status == 200
    # Three looks at the file.
    looked_until = time.monotonic() + 1.6
    while time.monotonic() < looked_until:
        assert served_name(weir) == "one"
    assert [e["source"] for e in weir.events("reloaded")] == ["watch", "rollback"]
    write(weir, changed(first, use(weir.other)))
    weir.wait_for_event("reloaded", count=3)
    assert served_name(weir) == "other" and not history_of(weir)["differs_from_file"]


def test_history_is_bounded(start_commanded):
    weir = start_commanded()
    first = weir.configuration
    for number in range(40):
        write(weir, changed(first, use(weir.other if number % 2 else weir.one)))
        assert order(weir, "/lb/reload").status == 200
        weir.configuration_path.write_text(f"{number}")
        assert order(weir, "/lb/reload").status == 422
    entries = history_of(weir)["entries"]
    assert [e["number"] for e in entries if e["number"]] == list(range(26, 42))
    assert sum(e["number"] is None for e in entries) == 16
    assert order(weir, "/lb/rollback?to=1").status == 404
    assert order(weir, "/lb/rollback?to=26").status == 200


# -- Rolling back by itself


def ask_often(weir, count):
    web = weir.configuration["listeners"]["web"]["bind"]
    for _ in range(count):
        ask(web, "/")


def failing_configuration(weir, change, **reload):
    def with_rollback(c):
        c["reload"] = {"rollback_above": "20%", "within": "60s", "minimum": 10, **reload}
        change(c)

    return changed(weir.configuration, with_rollback)


def fail_at_once(c):
    c["listeners"]["web"]["routes"] = [{"match": {"path": "/"}, "respond": {"status": 503}}]


@pytest.mark.parametrize("cause", ["answers", "backends"])
def test_too_many_failures_after_a_reload_take_it_back(start_admin, new_script, refusing, cause):
    weir = start_admin(address_of(new_script()))
    first = weir.configuration
    dead = refusing()

    def use_nobody(c):
        c["pools"]["site"]["backends"] = [dead]

    assert order_reload(weir, failing_configuration(weir, fail_at_once if cause == "answers" else use_nobody)) == 2
    ask_often(weir, 30)
    event = weir.wait_for_event("rolled_back")
    assert (event["from"], event["to"], event["number"]) == (2, 1, 3)
    total = event.get("requests") or event["tries"]
    assert total >= 10 and event["failed"] * 100 > 20 * total
    last = wait_until(lambda: [e for e in weir.events("reloaded") if e["number"] == 3], "the old one")[0]
    assert (last["source"], last["restored"]) == ("automatic_rollback", 1)
    assert ask(first["listeners"]["web"]["bind"], "/").status == 200
    assert history_of(weir)["differs_from_file"]
    assert history_of(weir)["entries"][-1]["source"] == "automatic_rollback"
    assert len(weir.events("rolled_back")) == 1


def order_reload(weir, configuration):
    write(weir, configuration)
    answer = order(weir, "/lb/reload")
    assert answer.status == 200, answer.text
    return answer.json()["number"]


def test_few_failures_late_failures_and_those_that_nobody_minds_take_nothing_back(start_admin, new_script):
    weir = start_admin(address_of(new_script()))
    first = weir.configuration

    def nothing_happens(configuration, requests):
        order_reload(weir, configuration)
        ask_often(weir, requests)
        # It is looked ten times a second.
        looked_until = time.monotonic() + 0.5
        while time.monotonic() < looked_until:
            assert weir.events("rolled_back") == []

    nothing_happens(failing_configuration(weir, fail_at_once, minimum=1000), 30)
    weir.configuration = first
    nothing_happens(changed(first, fail_at_once), 30)
    weir.configuration = first
    order_reload(weir, failing_configuration(weir, fail_at_once, within="1s"))
    over = time.monotonic() + 1.5
    while time.monotonic() < over:
        assert weir.events("rolled_back") == []
    ask_often(weir, 30)
    weir.configuration = first

    def one_in_ten(c):
        c["listeners"]["web"]["routes"] = [{"match": {"path": "/bad"}, "respond": {"status": 503}}]

    order_reload(weir, failing_configuration(weir, one_in_ten))
    web = first["listeners"]["web"]["bind"]
    for number in range(50):
        ask(web, "/bad" if number % 10 == 9 else "/")
    assert weir.events("rolled_back") == []


# -- The commands


def live(weir, *words):
    return run_weir(*words, "-c", str(weir.configuration_path))


def test_commands_print_what_changed_and_which_is_in_force(start_commanded, tmp_path):
    weir = start_commanded()
    first = weir.configuration
    write(weir, changed(first, lambda c: (use(weir.other)(c), c["pools"]["site"].update(balance="random"))))
    done = live(weir, "reload")
    assert done.returncode == 0 and done.stderr == ""
    one, other = (text_of(s.listener.getsockname()) for s in (weir.one, weir.other))
    assert done.stdout.splitlines() == [
        "configuration 2 is in force", "pool site changed", "    balance: round_robin -> random",
        f"backend site/{one} removed", f"backend site/{other} added", f"    {other}"]
    done = live(weir, "rollback")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "configuration 3 is in force, the same as 1"
    assert done.stdout.splitlines()[-1] == "it is not what the file of `weir run` says"
    assert served_name(weir) == "one"
    lines = live(weir, "status").stdout.splitlines()
    assert "configuration 3, of rollback: not what the file says (weir history)" in lines
    path = tmp_path / "third.yaml"
    path.write_text(json.dumps(changed(first, lambda c: c.update(workers=7))))
    done = run_weir("reload", path.name, "-c", str(weir.configuration_path), cwd=tmp_path)
    assert done.returncode == 0 and "    # left as they are; restart to apply them" in done.stdout.splitlines()
    lines = live(weir, "history").stdout.splitlines()
    columns = [line.split()[:1] + line.split()[2:3] for line in lines[1:5]]
    assert lines[0].split() == ["NUMBER", "TIME", "FROM", "WHAT"]
    assert columns == [["1", "start"], ["2", "reload"], ["3", "rollback"], ["*"] + [lines[4].split()[2]]]
    assert f"reload {path}" in lines[4] and "rollback to 1" in lines[3]
    assert lines[-1].startswith("in force: 4, which is not what ")
    schema = OPENAPI["components"]["schemas"]["History"]
    json_schema.check(json.loads(live(weir, "history", "--json").stdout), schema, OPENAPI)


def test_commands_say_why_and_exit_with_1(start_commanded):
    weir = start_commanded()
    good = weir.configuration
    write(weir, changed(good, lambda c: c["listeners"]["web"].update(pool="sight")))
    done = run_weir("reload", "--admin", weir.admin_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"{weir.configuration_path}:") and "expected `site`" in done.stderr
    for words in (["rollback"], ["rollback", "9"], ["rollback", "x"], ["reload", "nowhere.yaml"], ["reload", "--now"]):
        done = run_weir(*words, "--admin", weir.admin_path)
        assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith("weir: "), words
    write(weir, good)


def test_status_shows_how_far_a_drain_is(start_admin, new_backend):
    backend = new_backend()
    weir = start_admin(address_of(backend), http=False)
    assert ask(weir.admin_path, "/lb/health").json()["draining"] is None
    weir.pair(backend)
    weir.pair(backend)
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    for path in ("/lb/health", "/lb/stats"):
        answer = ask(weir.admin_path, path)
        check_answer(path, answer)
        draining = answer.json()["draining"]
        assert draining["sessions"] == 2 and draining["left_s"] + draining["lasted_s"] in (29, 30, 31)
    assert order(weir, "/lb/reload").status == 503
    shown = run_weir("status", "--admin", weir.admin_path).stdout
    assert re.search(r"^draining for \d+s: 2 sessions left, cut in \d+s$", shown, re.M), shown


# -- Who may, and what is no command


def test_commands_want_the_token(start_commanded):
    weir = start_commanded(token=TOKEN)
    for value in (None, f"Bearer {TOKEN}x", TOKEN):
        headers = {"Authorization": value} if value else {}
        assert order(weir, "/lb/reload", headers=headers, address=weir.admin).status == 401
        assert order(weir, "/lb/reload", {"file": "/x"}, headers, weir.admin).status == 401
    assert len(weir.events("reloaded")) == 0


COMMAND_AS_SOMEBODY_ELSE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import admin_client, http.client, socket
os.setgid(65534); os.setuid(65534)
print(admin_client.ask(sys.argv[2], "/lb/reload", "POST").status)
print(admin_client.ask(sys.argv[2], "/lb/rollback?to=1", "POST").status)
print(admin_client.ask(sys.argv[2], "/lb/history").status)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_commands_through_the_unix_socket_are_for_its_owner(start_commanded, short_folder):
    weir = start_commanded()
    os.chmod(short_folder, 0o711)
    os.chmod(weir.admin_path.removeprefix("unix:"), 0o666)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND_AS_SOMEBODY_ELSE, str(Path(__file__).parent), weir.admin_path],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stdout.split() == ["403", "403", "403"], done.stderr
    assert weir.events("reloaded") == []


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


def test_commands_that_come_at_once_are_all_answered_and_few_wait(start_commanded):
    weir = start_commanded()
    statuses, retries = [], []

    def one():
        answer = ask(weir.admin_path, "/lb/reload", "POST")
        check_answer("/lb/reload", answer, "post")
        statuses.append(answer.status)
        if answer.status == 503:
            retries.append(answer.headers["Retry-After"])

    threads = [threading.Thread(target=one) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503} and len(statuses) == 24 and statuses.count(200) >= 8
    assert set(retries) <= {"1"}
    assert history_of(weir)["number"] == 1 + statuses.count(200)


def test_who_leaves_before_the_answer_holds_up_nobody(start_commanded):
    weir = start_commanded()
    before = weir.descriptor_count()
    host, _, port = weir.admin.rpartition(":")
    for _ in range(50):
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"POST /lb/reload HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert order(weir, "/lb/reload").status in (200, 503)
    wait_until(lambda: weir.descriptor_count() <= before, "the connections to be closed")
    # What they asked for is done all the same, and may still wait.
    wait_until(lambda: order(weir, "/lb/reload").status == 200, "room for another command")


# -- Whatever comes


SEEDS = [
    b"POST /lb/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n"
    b'{"file": "/none"}',
    b"POST /lb/rollback?to=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /lb/rollback HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n9\r\n{\"to\": 1}\r\n0\r\n\r\n",
    b"GET /lb/history HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n",
    b"DELETE /lb/backends/x/remove?pool=%73ite HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n\r\n",
]


def mutated(chance):
    """A request with a few octets changed, doubled, left out or put in; or octets of no meaning at all."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(1, 300))
    octets = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(octets))
        piece = octets[place:place + chance.randrange(1, 20)]
        kind = chance.randrange(5)
        if kind == 0:
            octets[place] = chance.randrange(256)
        elif kind == 1:
            del octets[place:place + len(piece)]
        elif kind == 2:
            octets[place:place] = piece * chance.randrange(1, 50)
        elif kind == 3:
            octets[place:place] = chance.choice([b'"', b"{", b"[" * 40, b"\r\n", b"%", b"\xff", b"9" * 30, b"&to=1", b"\\u0"])
        else:
            other = chance.choice(SEEDS)
            octets[place:] = other[chance.randrange(len(other)):]
        octets = octets or bytearray(b"x")
    return bytes(octets)


def test_whatever_comes_is_answered_or_closed_and_weir_serves_on(start_commanded):
    weir = start_commanded()
    chance = random.Random(7)
    host, _, port = weir.admin.rpartition(":")
    seen = set()
    for _ in range(1500):
        octets = mutated(chance)
        with socket.create_connection((host, int(port)), timeout=20) as client:
            try:
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
                answer = receive_to_end(client)
            except ConnectionError:
                continue
        if not answer:
            continue
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])
        seen.add(status)
        # Beside 503 these are of HTTP itself: another version, another transfer coding.
        assert status < 500 or status in (501, 503, 505), octets
        if b"application/json" in head and body:
            json.loads(body)
    assert {200, 400, 403, 404, 405, 409} <= seen, seen
    assert ask(weir.admin, "/lb/health").status == 200
    assert served_name(weir) == "one"
