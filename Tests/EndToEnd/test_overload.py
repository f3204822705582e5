"""Watermarks: accepting stops before something fails, clients wait meanwhile, and the log says so once a second."""

import select
import time

from deadlines import wait_until_still
from http_peers import Client, request
from servers import echo
from streams import exchange
from weir_process import run_weir


def test_accepting_stops_before_descriptors_run_out(start_weir, backend):
    """Enough for seven sessions, and 24 clients: nobody is turned away."""
    first = start_weir(backend, workers=2)
    own = wait_until_still(first.descriptor_count, "its descriptors")
    first.stop()
    count = own + 14
    weir = start_weir(backend, workers=2, prefix=["prlimit", f"--nofile={count}:{count}"])
    waiting = [weir.connect() for _ in range(24)]
    while waiting:
        server = weir.keep(backend.accept()[0])
        server.sendall(b"hello")
        (client,), _, _ = select.select(waiting, [], [], 10)
        assert client.recv(5) == b"hello"
        waiting.remove(client)
        client.close()
        server.close()
    assert weir.stop()["reasons"] == {"ok": 24}
    assert weir.events("accept_paused")[0]["cause"].startswith("few file descriptors left")


def test_short_memory_pauses_accepting(start_weir, new_server):
    weir = start_weir(new_server(echo), limits={"memory": "1MiB"})
    # The resident memory of any program is more.
    short = weir.wait_for_event("memory_short")
    assert short["used"] > short["limit"] == 1 << 20
    waiting = weir.connect()
    paused = weir.wait_for_event("accept_paused")
    assert paused["cause"].startswith("little memory left")
    # Who came before the pause is served, nobody else.
    others = [weir.connect() for _ in range(3)]
    for client in [waiting, *others]:
        client.close()
    assert weir.stop()["accepted"] <= 1


def test_enough_memory_is_not_noticed(start_weir, backend):
    weir = start_weir(backend, limits={"memory": "8GiB"})
    exchange(*weir.pair(backend))
    weir.stop()
    assert not weir.events("memory_short") and not weir.events("accept_paused")


def test_pauses_are_reported_once_a_second_by_all_workers(start_weir, new_server):
    weir = start_weir(new_server(echo), workers=2, limits={"sessions": 2})
    started = time.monotonic()
    for _ in range(300):
        with weir.connect() as client:
            client.sendall(b"x")
            client.recv(1)
        weir.sockets.clear()
    taken = time.monotonic() - started
    weir.stop()
    reports = weir.events("accept_paused")
    assert 1 <= len(reports) <= taken + 2
    assert len({record["time"][:19] for record in reports}) >= len(reports) - 1


def test_http_requests_are_not_accepted_for_want_of_buffers(start_http, backend):
    """16 buffers, and 15 clients that do not read what their backend sends: the next client waits rather than get
    503, and is served once buffers are back."""
    weir = start_http(backend, limits={"buffers": 16}, listener={"relay": "copy"})
    stuck = []
    for _ in range(15):
        client = Client(weir.connect(receive_buffer=4096))
        client.send(request())
        server = backend.accept()[0]
        server.settimeout(5)
        server.recv(4096)
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        server.setblocking(False)
        stuck.append((client, weir.keep(server)))
    still = 0
    while still < 20:
        moved = 0
        for _, server in stuck:
            try:
                moved += server.send(b"x" * 65536)
            except BlockingIOError:
                pass
        still = 0 if moved else still + 1
        time.sleep(0.01)
    # One more is accepted before Weir looks.
    weir.connect()
    last = Client(weir.connect())
    paused = weir.wait_for_event("accept_paused")
    assert paused["cause"].startswith("few receive buffers left") and paused["level"] == "warning"
    for client, server in stuck:
        client.sock.close()
        server.close()
    weir.wait_for_sessions(15)
    last.send(request())
    server = backend.accept()[0]
    server.recv(4096)
    server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert last.response().body == b"ok"


def test_check_shows_the_watermarks(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("""
limits: { memory: 100MiB }
listeners: { web: { bind: 127.0.0.1:1, mode: http, pool: p } }
pools: { p: { backends: [127.0.0.1:2] } }
""")
    shown = run_weir("check", str(file)).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("# accepting pauses: ")]
    assert "95.0 MiB of memory" in line and "7/8 of a worker's receive buffers" in line
