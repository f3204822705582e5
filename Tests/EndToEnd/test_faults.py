"""What runs out or gets stuck: descriptors, the log's disk, the log's reader. The process stays up, and
no running session loses a byte."""

import itertools
import os
import resource
import select
import signal
import subprocess
import threading

import pytest

from deadlines import wait_until, wait_until_still
from servers import greet_with
from streams import Receiver, Sender, ending_of, exchange, finish, receive_exactly, receive_to_end
from weir_process import json_lines


def run_sessions(weir, count, expected=b"a"):
    """Sessions from beginning to end, one after another."""
    for _ in range(count):
        with weir.connect() as client:
            assert receive_to_end(client) == expected
        weir.sockets.pop()


@pytest.mark.parametrize("relay", ["copy", "auto"])
def test_a_full_table_of_descriptors_pauses_accept_and_harms_no_session(start_weir, backend, relay):
    weir = start_weir(
        backend, listener={"relay": relay}, prefix=["prlimit", "--nofile=64:64"],
        limits={"sessions": 1000})
    assert weir.events("sessions_limited"), "said at start"
    running = weir.pair(backend)
    exchange(*running)
    # The others take what is left, and more.
    clients = [weir.connect() for _ in range(60)]
    weir.wait_for_event("accept_paused")
    served = [weir.keep(backend.accept()[0])]
    while select.select([backend], [], [], 0.3)[0]:
        served.append(weir.keep(backend.accept()[0]))
    assert len(served) < 60
    # Bulk both ways on the session that was there before.
    client, server = running
    threads = [Sender(client, 1, 16), Sender(server, 2, 16), Receiver(client), Receiver(server)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert threads[0].digest.digest() == threads[3].digest.digest()
    assert threads[1].digest.digest() == threads[2].digest.digest()
    # They give back what they had: those who waited are served.
    for sock in [*running, *served, *clients]:
        sock.close()
    wait_until(lambda: drained(backend) and weir.socket_count() <= 3, "recovery")
    for _ in range(20):
        client, server = weir.pair(backend)
        exchange(client, server)
        client.close()
        server.close()


def drained(backend):
    """Closes what comes late from clients that are gone."""
    while select.select([backend], [], [], 0.05)[0]:
        backend.accept()[0].close()
    return True


def test_no_descriptor_left_pauses_accept_without_a_spin_and_recovers(start_weir, backend):
    """Fewer descriptors than the least that Weir reckons with."""
    weir = with_descriptors_for_sessions(start_weir, backend, 20)
    first = weir.pair(backend)
    clients = [weir.connect() for _ in range(40)]
    paused = weir.wait_for_event("accept_paused")
    # Before anything fails.
    assert paused["level"] == "warning" and "LimitNOFILE" in paused["cause"]
    exchange(*first)
    served = []
    while select.select([backend], [], [], 0.2)[0]:
        served.append(weir.keep(backend.accept()[0]))
    busy, events = weir.cpu_seconds(), len(weir.events())
    assert not select.select([backend], [], [], 1)[0]
    # Waiting for a descriptor is no spin, and no flood of events.
    assert weir.cpu_seconds() - busy < 0.2
    assert len(weir.events()) - events <= 2
    exchange(*first)
    for sock in [*first, *served, *clients]:
        sock.close()
    wait_until(lambda: drained(backend) and weir.socket_count() <= 3, "recovery")
    for _ in range(20):
        client, server = weir.pair(backend)
        exchange(client, server)
        client.close()
        server.close()


def test_an_odd_descriptor_left_costs_no_client_that_could_wait(start_weir, backend):
    weir = with_descriptors_for_sessions(start_weir, backend, 21)
    for _ in range(40):
        weir.connect()
    served = 0
    while select.select([backend], [], [], 0.3)[0]:
        weir.keep(backend.accept()[0])
        served += 1
    assert served == 10
    cut = [session for session in weir.sessions() if session["reason"] == "out_of_descriptors"]
    assert len(cut) <= 5


def test_a_client_that_waits_for_a_descriptor_comes_before_those_who_were_not_accepted(
    start_weir, backend
):
    weir = with_descriptors_for_sessions(start_weir, backend, 21)
    clients = [weir.connect() for _ in range(20)]
    for index, client in enumerate(clients):
        client.sendall(b"%02d" % index)
    serving = []
    while select.select([backend], [], [], 0.3)[0]:
        serving.append(weir.keep(backend.accept()[0]))
    assert [int(receive_exactly(server, 2)) for server in serving] == list(range(10))
    # The eleventh client was accepted, and there is no descriptor for its backend. Each session that ends gives
    # back two, and the next client in the queue must not have them.
    for index in range(5):
        serving[index].close()
        clients[index].close()
        server = weir.keep(backend.accept()[0])
        assert int(receive_exactly(server, 2)) == 10 + index


def with_descriptors_for_sessions(start_weir, backend, count):
    """A Weir that may open `count` descriptors more than it has when it is idle."""
    first = start_weir(backend)
    own = wait_until_still(first.descriptor_count, "its descriptors")
    first.stop()
    return start_weir(backend, prefix=["prlimit", f"--nofile={own + count}:{own + count}"])


def test_one_descriptor_short_of_a_session_ends_it_with_that_reason(start_weir, backend):
    """Enough for the client's socket and not for the backend's: the client waits for the connect timeout."""
    weir = start_weir(backend, listener={"timeouts": {"connect": "300ms"}})
    pair = weir.pair(backend)
    # The socket that told the service manager may not be closed yet.
    wait_until_still(weir.descriptor_count, "its descriptors")
    soft, hard = resource.prlimit(weir.pid, resource.RLIMIT_NOFILE)
    # The limit is on numbers: just above the lowest one that is free.
    taken = weir.descriptors()
    lowest = next(number for number in itertools.count() if number not in taken)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (lowest + 1, hard))
    assert ending_of(weir.connect()) in ("fin", "reset")
    (session,) = weir.wait_for_sessions(1)
    assert session["reason"] == "out_of_descriptors"
    exchange(*pair)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (soft, hard))
    exchange(*weir.pair(backend))


# -- The log's disk


def test_a_log_on_a_full_device_drops_records_says_so_and_harms_nobody(start_weir, new_server):
    weir = start_weir(new_server(greet_with("a")), logs={"access": "/dev/full"})
    run_sessions(weir, 50)
    dropped = weir.wait_for_event("log_dropped")
    assert dropped["level"] == "error" and dropped["cause"] == "no space left on the log's disk"
    run_sessions(weir, 50)
    stopped = weir.stop()
    assert stopped["reasons"] == {"ok": 100}
    assert stopped["log_records_dropped"] == 100


def test_an_event_log_on_a_full_device_harms_nobody(start_weir, new_server):
    weir = start_weir(new_server(greet_with("a")), logs={"events": "/dev/full"})
    run_sessions(weir, 50)
    weir.stop()
    assert len(weir.sessions()) == 50


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "weir-e2e", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_and_empties_again_costs_only_the_records_between(
    start_weir, new_server, small_disk
):
    log = small_disk / "access.log"
    weir = start_weir(new_server(greet_with("a")), logs={"access": str(log)})
    weir.owns_access_log = False
    run_sessions(weir, 10)
    weir.wait_for_sessions(10)
    ballast = open(small_disk / "ballast", "wb")
    with pytest.raises(OSError):
        while True:
            os.write(ballast.fileno(), bytes(4096))
    # The page that the log's end is on has some room left; then there is none.
    run_sessions(weir, 200)
    dropped = weir.wait_for_event("log_dropped")
    assert dropped["cause"] == "no space left on the log's disk"
    run_sessions(weir, 20)
    os.ftruncate(ballast.fileno(), 0)
    ballast.close()
    before = len(log.read_bytes().splitlines())
    run_sessions(weir, 10)
    # What is written after the gap is whole again, and so is what was written before it.
    wait_until(lambda: len(log.read_bytes().splitlines()) >= before + 10, "records again")
    stopped = weir.stop()
    sessions = weir.sessions()
    assert stopped["reasons"] == {"ok": 240}
    assert len(sessions) + stopped["log_records_dropped"] == 240


# -- The log's reader


@pytest.mark.parametrize("ends", ["reader_reads_on", "reader_never_reads"])
def test_a_log_reader_that_stands_still_holds_up_nobody(start_weir, new_server, ends):
    weir = start_weir(
        new_server(greet_with("a")), logs={"access": "stdout"}, stdout=subprocess.PIPE)
    count = 4500
    run_sessions(weir, count)
    dropped = weir.wait_for_event("log_dropped")
    assert dropped["cause"] == "the reader of the log is too slow"
    if ends == "reader_reads_on":
        collected = Collector(weir.process.stdout)
        collected.start()
        run_sessions(weir, 10)
        stopped = weir.stop()
        collected.join(30)
        lines = collected.data.splitlines()
        assert len(lines) + stopped["log_records_dropped"] == count + 10
        for line in lines:
            assert line.startswith(b'{"time":"') and line.endswith(b"}")
    else:
        # Nobody to write to is no reason to stay.
        stopped = weir.stop(20)
        assert stopped["reasons"] == {"ok": count}
    weir.process.stdout.close()


def test_a_log_reader_that_is_gone_harms_nobody(start_weir, new_server):
    weir = start_weir(
        new_server(greet_with("a")), logs={"access": "stdout"}, stdout=subprocess.PIPE)
    weir.process.stdout.close()
    run_sessions(weir, 50)
    assert weir.wait_for_event("log_dropped")["cause"] == "the reader of the log is gone"
    assert weir.stop()["log_records_dropped"] == 50


def test_sigusr1_opens_logs_anew_after_they_were_renamed(start_weir, new_server):
    weir = start_weir(new_server(greet_with("a")), workers=2)
    weir.owns_access_log = False
    run_sessions(weir, 20)
    weir.wait_for_sessions(20)
    for name in ("access.log", "events.log"):
        os.rename(weir.folder / name, weir.folder / f"{name}.1")
    run_sessions(weir, 5)
    wait_until(lambda: len(json_lines(weir.folder / "access.log.1")) == 25, "the old file to go on")
    weir.signal(signal.SIGUSR1)
    weir.wait_for_event("logs_reopened")
    run_sessions(weir, 7)
    stopped = weir.stop()
    assert stopped["sessions"] == 32
    assert len(json_lines(weir.folder / "access.log.1")) == 25
    assert len(weir.sessions()) == 7
    assert [event["event"] for event in json_lines(weir.folder / "events.log.1")][0] == "starting"


def test_a_log_that_cannot_be_opened_anew_goes_on_in_the_old_file(start_weir, new_server, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    weir = start_weir(new_server(greet_with("a")), logs={"access": str(folder / "access.log")})
    weir.owns_access_log = False
    run_sessions(weir, 3)
    folder.rename(tmp_path / "moved")
    weir.signal(signal.SIGUSR1)
    assert str(folder / "access.log") in weir.wait_for_event("logs_not_reopened")["cause"]
    run_sessions(weir, 3)
    weir.stop()
    assert len(json_lines(tmp_path / "moved/access.log")) == 6


class Collector(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.data = pipe, b""

    def run(self):
        self.data = self.pipe.read()
