"""The systemd unit: systemd understands it, and Weir needs no system call that it forbids."""

import re
import shutil
import signal
import subprocess
import sys

import pytest

from addresses import free_port
from deadlines import wait_until
from streams import Receiver, Sender, exchange, finish
from weir_process import BINARY, ROOT, run_weir

UNIT = ROOT / "configs/weir.service"
AS_THE_UNIT_ALLOWS = [sys.executable, str(ROOT / "Tests/as_the_unit_allows.py"), str(UNIT)]

if not shutil.which("systemd-analyze"):
    pytest.skip("there is no systemd", allow_module_level=True)


def test_systemd_understands_every_line(tmp_path):
    unit = tmp_path / "weir.service"
    # The manual page is installed elsewhere.
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/weir", BINARY).replace("Documentation=man:", "#"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_leaves_little_to_attack(tmp_path):
    unit = tmp_path / "weir.service"
    unit.write_text(UNIT.read_text())
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "security", "--offline=true", "--threshold=20", unit], capture_output=True,
        text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^CapabilityBoundingSet=CAP_NET_BIND_SERVICE$", UNIT.read_text(), re.M)


def test_a_call_that_the_unit_forbids_is_seen():
    done = subprocess.run([*AS_THE_UNIT_ALLOWS, sys.executable, "-c", "import os; os.chown('/', 0, 0)"])
    assert done.returncode == -signal.SIGSYS
    assert run_weir("--version", prefix=AS_THE_UNIT_ALLOWS).returncode == 0


def test_an_upgrade_needs_no_more(start_weir, backend):
    weir = start_weir(backend, prefix=AS_THE_UNIT_ALLOWS)
    before, old = weir.pair(backend), weir.pid
    weir.upgrade()
    assert weir.pid != old
    for pair in (before, weir.pair(backend)):
        exchange(*pair)
    weir.stop()


def test_weir_serves_checks_alerts_reloads_and_stops_with_what_the_unit_allows(
    start_weir, backend, new_script, new_server, refusing, tmp_path
):
    (tmp_path / "page").write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    (tmp_path / "page").chmod(0o755)
    site = new_script()
    weir = start_weir(prefix=AS_THE_UNIT_ALLOWS, configuration={
        "workers": 2,
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "alerts": {"command": [str(tmp_path / "page")]},
        "listeners": {
            "copied": {"bind": f"127.0.0.1:{free_port()}", "pool": "back", "relay": "copy"},
            "spliced": {"bind": f"127.0.0.1:{free_port()}", "pool": "back", "relay": "splice"},
            "web": {"bind": f"127.0.0.1:{free_port()}", "mode": "http", "pool": "site"},
            "none": {"bind": f"127.0.0.1:{free_port()}", "mode": "http", "pool": "dead"},
        },
        "pools": {
            "back": {"backends": ["localhost:%d" % backend.getsockname()[1]]},
            "site": {"backends": ["%s:%d" % site.server.listener.getsockname()],
                     "health": {"active": {"http": {"path": "/"}, "interval": "100ms", "timeout": "100ms"}}},
            "dead": {"backends": [refusing()],
                     "health": {"active": {"tcp": {}, "interval": "100ms", "timeout": "100ms"}}},
        }})
    for listener in ("copied", "spliced"):
        client, server = weir.pair(backend, listener=listener)
        exchange(client, server)
        sender, receiver = Sender(client, 1, 4), Receiver(server)
        sender.start(), receiver.start()
        finish(sender, receiver)
    for listener in ("web", "none"):
        client = weir.connect(listener)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 " + (b"200" if listener == "web" else b"503")), answer
    wait_until(lambda: (tmp_path / "paged").exists(), "the alert's command ran")
    status = run_weir("status", "--admin", weir.configuration["admin"]["bind"])
    assert status.returncode == 0 and "web" in status.stdout, status.stderr
    weir.signal(signal.SIGHUP)
    weir.wait_for_event("reloaded")
    weir.signal(signal.SIGUSR1)
    weir.wait_for_event("logs_reopened")
    # The books are for one mode; here are both.
    weir.owns_access_log = False
    weir.stop()
    assert sorted(record["mode"] for record in weir.sessions()) == ["http", "http", "tcp", "tcp"]
