"""What the pages say to type gives what they say that it gives."""

import json
import re
import shlex
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from addresses import free_port
from deadlines import wait_until
from servers import Server
from weir_process import BINARY, ROOT, run_weir

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """(place, text) of the code blocks of a language."""
    text = (ROOT / page).read_text()
    return [(m.start(), m[1]) for m in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")])
def test_commands_print_what_the_page_shows(page, tmp_path):
    """With the yaml block before them as weir.yaml."""
    for place, text in blocks(page, "console"):
        file = [yaml for at, yaml in blocks(page, "yaml") if at < place][-1]
        (tmp_path / "weir.yaml").write_text(file)
        for command, shown in re.findall(r"^\$ weir (.*)\n((?:(?!\$ ).*\n)*)", text, re.M):
            done = run_weir(*shlex.split(command), cwd=tmp_path)
            assert done.stdout + done.stderr == shown, command


def test_the_first_example_of_the_readme_can_be_run_looked_at_and_followed(tmp_path):
    place, text = blocks("README.md", "yaml")[0]
    commands = next(commands for at, commands in blocks("README.md", "sh") if at > place)
    assert re.findall(r"^weir (\w+)", commands, re.M) == ["check", "run", "status", "sessions", "top", "tail"]
    ports = {port: free_port() for port in re.findall(r"127\.0\.0\.1:(\d+)", text)}
    for shown, port in ports.items():
        text = text.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
    (tmp_path / "weir.yaml").write_text(text)
    front = ("127.0.0.1", int(re.search(r"bind: 127\.0\.0\.1:(\d+)\n", text)[1]))
    assert run_weir("check", "weir.yaml", cwd=tmp_path).returncode == 0
    weir = subprocess.Popen([BINARY, "run", "-c", "weir.yaml"], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        def is_closed_at_once():
            try:
                with socket.create_connection(front) as client:
                    return client.recv(1) == b""
            except ConnectionResetError:
                return True
            except ConnectionRefusedError:
                return False

        wait_until(is_closed_at_once, "Weir listens, and finds no backend")
        assert "cache" in run_weir("status", cwd=tmp_path).stdout
        assert run_weir("sessions", cwd=tmp_path).returncode == 0
        follow = ["tail", "access.log", "--no-follow"]
        wait_until(lambda: "no_backend" in run_weir(*follow, cwd=tmp_path).stdout, "tail shows the session")
    finally:
        weir.send_signal(signal.SIGTERM)
        events = weir.communicate(timeout=30)[1]
    assert weir.returncode == 0, events


def test_the_http_example_of_the_readme_serves(tmp_path):
    (text,) = [yaml for _, yaml in blocks("README.md", "yaml") if "mode: http" in yaml]
    ports = {port: free_port() for port in re.findall(r"127\.0\.0\.1:(\d+)", text)}
    for shown, port in ports.items():
        text = text.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
    front = int(re.search(r"bind: 127\.0\.0\.1:(\d+)", text)[1])
    (tmp_path / "weir.yaml").write_text(text)
    servers = [
        Server(("127.0.0.1", port), answer_with(shown)) for shown, port in ports.items() if port != front]
    weir = subprocess.Popen([BINARY, "run"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        answers = {path: wait_until(lambda: fetch(front, path), path) for path in ("/", "/api/x", "/api", "/old")}
        assert answers["/api/x"] == answers["/api"] == (200, "9003")
        assert {fetch(front, "/")[1] for _ in range(16)} == {"9001", "9002"}
        assert answers["/old"][0] == 200, "redirected to /new, which is the site's"
    finally:
        weir.send_signal(signal.SIGTERM)
        records, events = weir.communicate(timeout=30)
        for server in servers:
            server.close()
    assert weir.returncode == 0, events
    assert {308, 200} == {json.loads(line)["status"] for line in records.splitlines()}


def answer_with(text):
    def serve(connection):
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode()))

    return serve


def fetch(port, path):
    """(status, body); None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return None


def documented_keys():
    """The keys of the access log, in the order of the page."""
    section = (ROOT / "docs/logs.md").read_text().partition("## The access log")[2].partition("| `reason` | mode")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.M)


def is_subsequence(some, of):
    rest = iter(of)
    return all(element in rest for element in some)


def test_examples_of_records_have_the_documented_keys_in_order():
    keys = documented_keys()
    for page in ("docs/logs.md", "docs/http.md"):
        for _, text in blocks(page, "json"):
            for line in text.splitlines():
                assert is_subsequence(json.loads(line), keys), line


def test_records_of_requests_have_the_documented_keys_in_order(start_weir, new_server, refusing):
    listener = {
        "bind": f"127.0.0.1:{free_port()}", "mode": "http",
        "routes": [{"match": {"path": "/refused"}, "pool": "none"}, {"match": {"path": "/ok"}, "pool": "back"}],
    }
    server = new_server(answer_with("ok"))
    weir = start_weir(configuration={
        "workers": 1, "listeners": {"front": listener},
        "pools": {"back": {"backends": ["%s:%d" % server.listener.getsockname()]},
                  "none": {"backends": [refusing()]}}})
    weir.owns_access_log = False
    port = int(listener["bind"].rpartition(":")[2])
    assert [fetch(port, path)[0] for path in ("/ok?secret=1", "/refused", "/none")] == [200, 503, 404]
    records = weir.wait_for_sessions(3)
    keys = documented_keys()
    for record in records[:3]:
        assert is_subsequence(record, keys), record
        assert record["mode"] == "http" and {"method", "host", "path", "status", "user_agent"} <= set(record)
        assert "secret" not in json.dumps(record)
    ok, refused, none = records[:3]
    assert (ok["path"], ok["route"], ok["pool"], ok["reason"]) == ("/ok", 2, "back", "ok")
    assert (refused["route"], refused["reason"], refused["cause"]) == (1, "no_backend", "connect_refused")
    assert none["reason"] == "no_route" and not {"route", "pool", "backend", "attempts"} & set(none)
