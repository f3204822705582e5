"""Single sessions while they go on: GET /lb/sessions and `weir sessions`."""

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest

import json_schema
from addresses import free_port, text_of
from admin_client import ask
from deadlines import wait_until
from http_peers import Client, Reader, request, response
from test_admin import OPENAPI
from weir_process import BINARY, run_weir

SCHEMA = OPENAPI["paths"]["/lb/sessions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.fixture
def start_listed(start_weir, short_folder):
    """Weir with a tcp listener `raw` in front of pool `db`, and an http listener `web` in front of pool `site`."""

    def start(db="127.0.0.1:1", site="127.0.0.1:1", workers=1, pool=None, **extra):
        path = f"unix:{short_folder}/admin.sock"
        weir = start_weir(
            configuration={
                "workers": workers,
                "admin": {"bind": path},
                "listeners": {
                    "raw": {"bind": f"127.0.0.1:{free_port()}", "pool": "db"},
                    "web": {"bind": f"127.0.0.1:{free_port()}", "pool": "site", "mode": "http"},
                },
                "pools": {
                    "db": {"backends": [{"name": "db-1", "address": db}]},
                    "site": {"backends": [{"name": "site-1", "address": site, **(pool or {})}]},
                },
                **extra,
            })
        weir.admin = path
        return weir

    return start


def found(weir, query=""):
    """The whole answer, which is as documented."""
    answer = ask(weir.admin, f"/lb/sessions?{query}" if query else "/lb/sessions")
    assert answer.status == 200, answer.text
    answer = answer.json()
    json_schema.check(answer, SCHEMA, OPENAPI)
    return answer


def listed(weir, query=""):
    return found(weir, query)["list"]


def one_in_state(weir, state, query=""):
    """The only session there is, once it is in a state."""

    def look():
        sessions = listed(weir, query)
        return len(sessions) == 1 and sessions[0]["state"] == state and sessions[0]

    return wait_until(look, f"one session, {state}")


def address_of(listener):
    return text_of(listener.getsockname())


def test_a_tcp_session_is_listed_with_its_bytes_until_it_ends(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(db=address_of(backend))
    client, server = weir.pair(backend)
    client.sendall(b"x" * 1000)
    server.sendall(b"y" * 300)
    wait_until(lambda: [(s["bytes_in"], s["bytes_out"]) for s in listed(weir)] == [(1000, 300)], "the bytes")
    session = one_in_state(weir, "relaying")
    assert (session["listener"], session["mode"], session["worker"]) == ("raw", "tcp", 0)
    assert session["client"] == text_of(client.getsockname())
    assert (session["pool"], session["backend"], session["address"]) == ("db", "db-1", address_of(backend))
    assert session["age_us"] >= session["idle_us"] > 0
    assert "requests" not in session and "request" not in session
    older = one_in_state(weir, "relaying")
    assert older["id"] == session["id"] and older["age_us"] > session["age_us"]
    client.close()
    server.close()
    record = weir.wait_for_session()
    assert record["id"] == session["id"]
    assert listed(weir) == [] and found(weir)["matched"] == 0


def test_a_kept_http_client_is_listed_between_its_requests(start_listed, new_script):
    weir = start_listed(site=address_of(new_script().server.listener))
    client = Client(weir.connect("web"))
    session = one_in_state(weir, "awaiting_request")
    assert session["requests"] == 0 and session["bytes_in"] == 0
    for _ in range(3):
        assert client.get("/x").status == 200
    session = one_in_state(weir, "awaiting_request")
    assert session["requests"] == 3 and session["bytes_in"] > 0 and session["bytes_out"] > 0
    assert session["mode"] == "http"
    # It is for nobody now.
    assert not {"pool", "backend", "address", "request"} & session.keys()
    # A request's head has come in part: still none is under way.
    client.send(b"GET /secret HT")
    assert one_in_state(weir, "awaiting_request")["requests"] == 3
    assert listed(weir, "backend=site-1") == [] and listed(weir, "pool=site") == []


def test_a_request_at_a_slow_backend_is_shown_without_its_query(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(site=address_of(backend))
    client = Client(weir.connect("web"))
    client.send(
        request(
            "POST", "/order/7?token=hunter2", fields={"Authorization": "Bearer hunter2", "Cookie": "hunter2"},
            body=b"hunter2"))
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    session = one_in_state(weir, "awaiting_answer")
    shown = session["request"]
    assert (shown["method"], shown["host"], shown["path"]) == ("POST", "site.test", "/order/7")
    assert session["requests"] == 1 and session["age_us"] >= shown["age_us"] > 0
    assert (session["pool"], session["backend"], session["address"]) == ("site", "site-1", address_of(backend))
    table = run_weir("sessions", "--admin", weir.admin)
    assert table.returncode == 0 and "POST site.test/order/7" in table.stdout
    assert "hunter2" not in json.dumps(session) + table.stdout
    # The answer's head is out, its body is not.
    server.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    assert one_in_state(weir, "relaying")["request"]["id"] == shown["id"]
    server.sock.sendall(b"67890")
    assert client.response().body == b"1234567890"
    assert "request" not in one_in_state(weir, "awaiting_request")
    assert weir.wait_for_session()["id"] == shown["id"]


def test_text_of_clients_is_escaped(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(site=address_of(backend))
    client = Client(weir.connect("web"))
    client.send(request("GET", '/a"b\\c' + "%" * 990 + '"' * 40))
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    assert one_in_state(weir, "awaiting_answer")["request"]["path"].startswith('/a"b\\c%%')


def test_who_waits_for_a_place_is_pending(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(site=address_of(backend), pool={"max_sessions": 1})
    first, second = Client(weir.connect("web")), Client(weir.connect("web"))
    first.send(request(target="/first"))
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    second.send(request(target="/second"))
    wait_until(lambda: found(weir)["pending"] == 1, "one to wait")
    sessions = {session["state"]: session for session in listed(weir)}
    assert sessions.keys() == {"awaiting_answer", "pending"}
    waiting = sessions["pending"]
    assert waiting["request"]["path"] == "/second" and waiting["pool"] == "site"
    assert "backend" not in waiting and "address" not in waiting
    assert [s["request"]["path"] for s in listed(weir, "backend=site-1")] == ["/first"]
    server.sock.sendall(response())
    assert first.response().status == 200
    assert server.request().target == "/second"


def test_a_connect_under_way(start_listed, unanswering):
    address = unanswering()
    weir = start_listed(db=address)
    weir.connect()
    session = one_in_state(weir, "connecting")
    assert (session["pool"], session["backend"], session["address"]) == ("db", "db-1", address)


def test_a_tunnel_keeps_its_request(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(site=address_of(backend))
    client = Client(weir.connect("web"))
    client.send(request(target="/socket?x=1", fields={"Connection": "Upgrade", "Upgrade": "websocket"}))
    server = Reader(weir.keep(backend.accept()[0]))
    server.request()
    server.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert client.head().status == 101
    client.send(b"ping")
    assert server.exactly(4) == b"ping"
    session = one_in_state(weir, "relaying")
    assert session["mode"] == "http" and session["request"]["path"] == "/socket"


def test_filters_must_all_hold(start_listed, new_backend, new_script):
    backend = new_backend()
    weir = start_listed(db=address_of(backend), site=address_of(new_script().server.listener))
    for source in ("127.0.0.1", "127.1.2.3", "127.1.9.9"):
        weir.pair(backend, source=source)
    web = Client(weir.connect("web"))
    assert web.get().status == 200

    def count(query):
        sessions = found(weir, query)
        assert sessions["matched"] == len(sessions["list"])
        return sessions["matched"]

    wait_until(lambda: count("pool=db") == 3, "three sessions with a backend")
    assert count("") == 4 and count("listener=raw") == 3 and count("listener=web") == 1
    assert count("backend=db-1") == 3 and count("pool=site") == 0
    assert count("client=127.1.0.0/16") == 2 and count("client=127.1.2.3") == 1
    assert count("client=127.1.2.3/8") == 4 and count("client=0.0.0.0/0") == 4
    assert count("client=::ffff:127.1.2.3") == 1 and count("client=::/0") == 0
    assert count("listener=raw&pool=db&backend=db-1&client=127.1.9.9") == 1
    assert count("listener=web&client=127.1.9.9") == 0
    assert count("pool=db&backend=site-1") == 0
    assert {s["client"].split(":")[0] for s in listed(weir, "client=127.1.0.0%2F16")} == {"127.1.2.3", "127.1.9.9"}


def test_the_list_is_cut_at_the_limit_and_says_how_many_there_are(start_listed, new_server):
    weir = start_listed(db=address_of(new_server(lambda connection: connection.recv(1)).listener), workers=2)
    clients = [weir.connect() for _ in range(250)]
    wait_until(lambda: found(weir, "limit=1")["matched"] == 250, "all of them")
    answer = found(weir)
    assert answer["sessions"] == answer["matched"] == 250 and len(answer["list"]) == 100
    assert len(listed(weir, "limit=7")) == 7
    # More than one look at a worker's table can write down.
    everybody = listed(weir, "limit=1000")
    assert {s["client"] for s in everybody} == {text_of(client.getsockname()) for client in clients}
    assert len({s["id"] for s in everybody}) == 250
    assert {s["worker"] for s in everybody} == {0, 1}
    ages = [s["age_us"] for s in everybody]
    # Each worker has a clock of its own, read once a turn.
    assert all(later < earlier + 1_000_000 for earlier, later in zip(ages, ages[1:]))


def test_a_large_table_is_looked_at_part_by_part(start_listed, new_server):
    """5,000 slots were used; those that are left stand anywhere among them."""
    weir = start_listed(db=address_of(new_server(lambda connection: connection.recv(1)).listener))
    clients = []
    for _ in range(5000):
        clients.append(weir.connect())
    wait_until(lambda: found(weir, "limit=1")["matched"] == 5000, "all of them")
    assert len(listed(weir, "limit=1000")) == 1000
    for client in clients[:4990]:
        client.close()
    left = {text_of(client.getsockname()) for client in clients[4990:]}
    wait_until(lambda: {s["client"] for s in listed(weir)} == left, "those that are left")


def test_several_ask_at_once_and_get_each_their_own(start_listed, new_backend, new_script):
    backend = new_backend()
    weir = start_listed(
        db=address_of(backend), site=address_of(new_script().server.listener), workers=2)
    weir.pair(backend)
    Client(weir.connect("web")).get()
    wait_until(lambda: found(weir)["matched"] == 2, "two sessions")
    wrong = []

    def look(listener):
        for _ in range(50):
            answer = ask(weir.admin, f"/lb/sessions?listener={listener}")
            if [s["listener"] for s in answer.json()["list"]] != [listener]:
                wrong.append(answer.text)

    threads = [threading.Thread(target=look, args=(name,)) for name in ("raw", "web") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    head = ask(weir.admin, "/lb/sessions", "HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 100


@contextlib.contextmanager
def halted(thread):
    """A thread of a process that this one has started stands still (ptrace(2))."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    seize, interrupt, detach, all_children = 0x4206, 0x4207, 17, 0x40000000
    if ptrace(seize, thread, None, None) != 0:
        pytest.skip(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
    assert ptrace(interrupt, thread, None, None) == 0
    os.waitpid(thread, all_children)
    try:
        yield
    finally:
        ptrace(detach, thread, None, None)


def test_a_worker_that_stands_still_holds_up_nobody_else(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(db=address_of(backend))
    weir.pair(backend)
    one_in_state(weir, "relaying")
    # Threads start in this order: control, the worker, admin.
    worker = sorted(map(int, os.listdir(f"/proc/{weir.pid}/task")))[1]
    answers = []

    def look():
        answers.append(ask(weir.admin, "/lb/sessions?client=192.0.2.1"))

    with halted(worker):
        askers = [threading.Thread(target=look) for _ in range(9)]
        for asker in askers:
            asker.start()
        wait_until(lambda: answers, "one to be sent away")
        # More than eight do not wait, and others are answered meanwhile.
        assert "others wait" in answers[0].json()["error"] and len(answers) == 1
        assert ask(weir.admin, "/lb/stats").status == 200
        wait_until(lambda: len(answers) == 2, "the first to have waited long enough")
        assert "within two seconds" in answers[1].json()["error"]
    for asker in askers:
        asker.join()
    assert [a.status for a in answers] == [503, 503] + [200] * 7
    assert all(a.headers["Retry-After"] == "1" for a in answers[:2])
    assert all(a.json()["list"] == [] for a in answers[2:])
    # What it answered too late, to another question, is not taken for the answer to this one.
    assert len(listed(weir)) == 1


def test_a_drain_is_watched(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(db=address_of(backend), workers=2)
    client, server = weir.pair(backend)
    one_in_state(weir, "relaying")
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    wait_until(lambda: [w["state"] for w in ask(weir.admin, "/lb/stats").json()["workers"]].count("ended") == 1,
               "the worker without a session to end")
    session = one_in_state(weir, "relaying", "backend=db-1")
    assert session["client"] == text_of(client.getsockname())
    client.close()
    server.close()
    assert weir.wait_for_end()["accepted"] == 1


def test_sessions_of_what_a_reload_removed_are_found(start_listed, new_backend):
    backend, other = new_backend(), new_backend()
    weir = start_listed(db=address_of(backend))
    client, server = weir.pair(backend)
    one_in_state(weir, "relaying")
    assert ask(weir.admin, "/lb/sessions?backend=db-2").status == 404
    pool = weir.configuration["pools"]["db"]
    pool["backends"] = [{"name": "db-2", "address": address_of(other)}]
    pool["on_remove"] = "keep"
    weir.configuration_path.write_text(json.dumps(weir.configuration))
    assert ask(weir.admin, "/lb/reload", "POST").status == 200
    assert listed(weir, "backend=db-2") == []
    session = one_in_state(weir, "relaying", "backend=db-1")
    assert session["address"] == address_of(backend)
    client.close()
    server.close()
    wait_until(lambda: ask(weir.admin, "/lb/sessions?backend=db-1").status == 404, "the name to be nobody's")


@pytest.mark.parametrize(
    "query, status, words",
    [
        ("limit=0", 400, "`limit` must be a whole number from 1 to 1000"),
        ("limit=1001", 400, "`limit` must be a whole number from 1 to 1000"),
        ("limit=ten", 400, "`limit` must be a whole number from 1 to 1000"),
        ("limit=5&limit=6", 400, "`limit` comes twice"),
        ("client=10.0.0.0/33", 400, "`client` must be an address or a block"),
        ("client=somebody", 400, "`client` must be an address or a block"),
        ("client=", 400, "`client` must be an address or a block"),
        ("clients=10.0.0.1", 400, "`clients` is not known here; did you mean `client`?"),
        ("listener=row", 404, "there is no listener `row`; did you mean `raw`?"),
        ("pool=sites", 404, "there is no pool `sites`; did you mean `site`?"),
        ("backend=" + "n" * 300, 404, "there is no backend `nnn"),
        ("backend=", 404, "there is no backend ``"),
        ("backend=%00", 404, "there is no backend"),
        ("listener", 400, "is no `name=value`"),
    ],
)
def test_what_is_wrong_is_said(start_listed, query, status, words):
    weir = start_listed()
    answer = ask(weir.admin, "/lb/sessions?" + query)
    assert answer.status == status and words in answer.json()["error"]
    json_schema.check(answer.json(), OPENAPI["components"]["schemas"]["Error"], OPENAPI)


def test_the_command_prints_a_table(start_listed, new_backend, new_script):
    backend = new_backend()
    weir = start_listed(db=address_of(backend), site=address_of(new_script().server.listener))
    client, server = weir.pair(backend)
    client.sendall(b"x" * 2048)
    web = Client(weir.connect("web"))
    assert web.get().status == 200
    wait_until(lambda: sorted(s["bytes_in"] > 0 for s in listed(weir)) == [True, True], "bytes")
    done = run_weir("sessions", "-c", str(weir.configuration_path))
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"sessions 2 of [\d,]+  pending 0", lines[0])
    rows = {line.split()[0]: re.split(r"  +", line) for line in lines[2:]}
    assert rows["LISTENER"] == [
        "LISTENER", "CLIENT", "STATE", "AGE", "IDLE", "IN", "OUT", "BACKEND", "REQUEST"]
    assert rows["raw"][1:3] == [text_of(client.getsockname()), "relaying"]
    assert rows["raw"][5:] == ["2.0KiB", "0B", "db/db-1", "-"]
    assert rows["web"][2] == "awaiting request" and rows["web"][-2:] == ["-", "1 so far"]
    assert max(map(len, lines)) <= 100
    one = run_weir("sessions", "--admin", weir.admin, "--limit=1", "--client", "127.0.0.0/8")
    assert "1 of 2 that match are listed" in one.stdout
    raw = run_weir("sessions", "--admin", weir.admin, "--json", "--listener", "raw", "--pool", "db", "--backend", "db-1")
    assert [s["listener"] for s in json.loads(raw.stdout)["list"]] == ["raw"]
    none = run_weir("sessions", "--admin", weir.admin, "--client", "192.0.2.1")
    assert none.returncode == 0 and none.stdout.splitlines()[-1] == "none matches"


def on_terminal(columns, *arguments):
    """The lines that a command writes to a terminal so wide, without colours."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
        process = subprocess.Popen([BINARY, *arguments], stdout=terminal, env=environment)
        os.close(terminal)
        text = b""
        try:
            while piece := os.read(master, 65536):
                text += piece
        except OSError:
            pass  # Nobody writes any more (EIO).
        assert process.wait() == 0
    finally:
        os.close(master)
    return text.decode().splitlines()


def test_a_narrow_terminal_shows_the_request_rather_than_bytes(start_listed, new_backend):
    backend = new_backend()
    weir = start_listed(site=address_of(backend))
    Client(weir.connect("web")).send(request(target="/" + "long" * 30))
    Reader(weir.keep(backend.accept()[0])).request()
    one_in_state(weir, "awaiting_answer")

    def headings(columns):
        lines = on_terminal(columns, "sessions", "--admin", weir.admin)
        assert max(map(len, lines)) <= columns and "GET site.test/longlong" in lines[-1]
        return lines[2].split()

    everything = "LISTENER CLIENT STATE AGE IDLE IN OUT BACKEND REQUEST".split()
    assert headings(200) == everything
    assert headings(100) == [name for name in everything if name not in ("IN", "OUT")]
    assert headings(78) == "CLIENT STATE AGE BACKEND REQUEST".split()


def test_the_command_says_what_is_wrong(start_listed):
    weir = start_listed()
    for arguments, words in (
        (["--listener", "wob"], "there is no listener `wob`; did you mean `web`?"),
        (["--client", "me"], "`client` must be an address or a block"),
        (["--limit", "5000"], "--limit wants a number from 1 to 1000"),
    ):
        failed = run_weir("sessions", "--admin", weir.admin, *arguments)
        assert failed.returncode == 1 and words in failed.stderr and failed.stdout == ""
