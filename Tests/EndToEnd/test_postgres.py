"""PostgreSQL behind Weir: pgbench's own load, and what it says about it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from glob import glob

import pytest

from addresses import free_port
from deadlines import wait_until


def as_postgres(command):
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else command


@pytest.fixture(scope="module")
def postgres_port():
    """A PostgreSQL server, of this module only."""
    programs = sorted(glob("/usr/lib/postgresql/*/bin"))[-1]
    folder = tempfile.mkdtemp(prefix="weirpg")
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    data, port = f"{folder}/data", free_port()
    try:
        subprocess.run(
            as_postgres([f"{programs}/initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]),
            check=True, capture_output=True, timeout=120, cwd=folder)
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen(
                as_postgres(
                    [f"{programs}/postgres", "-D", data, "-p", str(port), "-k", folder,
                     "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]),
                stdout=log, stderr=log, cwd=folder)
        try:
            is_ready = [f"{programs}/pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
            wait_until(lambda: subprocess.run(is_ready).returncode == 0, "PostgreSQL is ready")
            yield port
        finally:
            stop = [f"{programs}/pg_ctl", "-D", data, "-m", "immediate", "stop"]
            subprocess.run(as_postgres(stop), capture_output=True, cwd=folder, timeout=60)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("relay", ["auto", "splice"])
def test_pgbench_through_weir_completes_every_transaction(start_weir, postgres_port, relay):
    weir = start_weir(f"127.0.0.1:{postgres_port}", listener={"relay": relay})
    port = weir.configuration["listeners"]["front"]["bind"].rpartition(":")[2]

    def pgbench(*words):
        done = subprocess.run(
            ["pgbench", "-h", "127.0.0.1", "-p", port, "-U", "postgres", *words, "postgres"],
            capture_output=True, text=True, timeout=90, env=dict(os.environ, PGSSLMODE="disable"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    pgbench("-i", "-s", "1", "-q")
    assert "transactions actually processed: 1600/1600" in pgbench("-c", "8", "-t", "200", "-n")
    # With a connection for each transaction.
    assert "transactions actually processed: 160/160" in pgbench("-c", "8", "-t", "20", "-n", "-C", "-S")
    weir.stop()
    sessions = weir.sessions()
    assert len(sessions) >= 1 + 8 + 160
    assert {session["reason"] for session in sessions} == {"ok"}


def test_a_server_that_speaks_first_is_heard_at_once(start_weir, backend):
    weir = start_weir(backend)
    client, server = weir.pair(backend)
    server.sendall(b"220 ready\r\n")
    assert client.recv(100) == b"220 ready\r\n"
    client.sendall(b"QUIT\r\n")
    assert server.recv(100) == b"QUIT\r\n"
    server.close()
    assert client.recv(100) == b""
    client.close()
    session = weir.wait_for_session()
    assert (session["bytes_in"], session["bytes_out"]) == (6, 11)
    assert 0 <= session["first_byte_us"] <= session["total_us"]
