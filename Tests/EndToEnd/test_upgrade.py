"""SIGUSR2 and `weir upgrade`: the program is started anew and takes the sockets over; nobody is refused, nothing that
runs is cut, and where the new process fails the old one goes on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import handover
from addresses import free_port, listen, text_of
from admin_client import ask
from deadlines import wait_until
from http_peers import Client
from servers import echo, greet_with
from streams import Receiver, Sender, ending_of, exchange, finish, receive_to_end
from test_reload import changed, write
from test_signals import hand_over
from weir_process import BINARY, has_ended, run_weir

BLOCKS = 24


@pytest.fixture
def program(tmp_path):
    """A copy of the program, which a test may replace."""
    path = tmp_path / "program"
    path.mkdir()
    shutil.copy(BINARY, path / "weir")
    return path / "weir"


def replace(program, script):
    """As a package does it: another file takes the place."""
    fresh = program.with_suffix(".new")
    fresh.write_text(f"#!/bin/bash\n{script}\n")
    fresh.chmod(0o755)
    os.replace(fresh, program)


def replace_by_bad(program, manner, *arguments):
    """By one that takes the sockets and says that it is ready, and then is one of handover.MANNERS."""
    replace(program, " ".join(["exec", sys.executable, handover.__file__, manner, *arguments]))


def replace_by_good(program):
    shutil.copy(BINARY, program.with_suffix(".good"))
    os.replace(program.with_suffix(".good"), program)


def failed(weir, count=1):
    return weir.wait_for_event("upgrade_failed", count)["cause"]


def sleeps(process):
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def started(weir, process):
    """The `starting` event of a process."""
    (event,) = [e for e in weir.events("starting") if e["pid"] == process]
    return event


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("workers", [(1, 1), (2, 2), (1, 2), (2, 1), (3, 2)])
def test_the_new_process_serves_and_the_old_one_ends_with_its_sessions(
    start_weir, backend, short_folder, family, workers
):
    bind = f"unix:{short_folder}/front" if family == "unix" else f"127.0.0.1:{free_port()}"
    weir = start_weir(backend, listener={"bind": bind}, workers=workers[0])
    pairs = [weir.pair(backend) for _ in range(4)]
    for pair in pairs:
        exchange(*pair)
    old = weir.pid
    write(weir, changed(weir.configuration, lambda c: c.update(workers=workers[1])))
    event = weir.upgrade()
    assert (event["pid"], event["sessions"]) == (old, 4)
    beginning = started(weir, weir.pid)
    assert (beginning["in_place_of"], beginning["workers"]) == (old, workers[1])
    new_pairs = [weir.pair(backend) for _ in range(32)]
    for pair in pairs + new_pairs:
        exchange(*pair)
    assert not has_ended(old)
    for client, server in pairs:
        client.shutdown(socket.SHUT_WR)
        assert receive_to_end(server) == b""
        server.sendall(b"the end")
        server.close()
        assert receive_to_end(client) == b"the end"
    weir.process.wait(30)
    (stopped,) = weir.events("stopped")
    assert (stopped["pid"], stopped["accepted"], stopped["reasons"]) == (old, 4, {"ok": 4})
    # The path is the new process's, and so are all clients.
    for pair in new_pairs + [weir.pair(backend) for _ in range(8)]:
        exchange(*pair)
    new = weir.pid
    weir.stop()
    assert [e["accepted"] for e in weir.events("stopped") if e["pid"] == new] == [40]
    if family == "unix":
        assert not (short_folder / "front").exists()


def say_ping(client):
    client.sendall(b"ping")
    assert client.recv(4, socket.MSG_WAITALL) == b"ping"


class Visitors:
    """Two threads, each with one client after the other, of an echo server behind Weir. Each address has its turn."""

    def __init__(self, weir, *binds):
        self.failures, self._served, self._is_over = [], [0, 0], threading.Event()
        self._threads = [
            threading.Thread(target=self._come_and_go, args=[weir, binds, number], daemon=True) for number in (0, 1)]
        for thread in self._threads:
            thread.start()

    def _come_and_go(self, weir, binds, number):
        while not self._is_over.is_set():
            try:
                with weir.connect_to(binds[self._served[number] % len(binds)]) as client:
                    say_ping(client)
            except (OSError, AssertionError) as failure:
                self.failures.append(repr(failure))
                return
            self._served[number] += 1

    @property
    def served(self):
        return sum(self._served)

    def wait_for_more(self, count=50):
        before = self.served
        wait_until(lambda: self.served > before + count or self.failures, "clients to be served")

    def leave(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("workers", [1, 2])
def test_upgrades_while_clients_come_lose_none(start_weir, new_server, workers):
    weir = start_weir(new_server(echo), workers=workers)
    visitors = Visitors(weir, weir.configuration["listeners"]["front"]["bind"])
    for upgrades in range(4):
        visitors.wait_for_more()
        if upgrades == 3:
            # An old process without a session ends at once, but not before the new one has its word.
            visitors.leave()
        # More workers, fewer, as many.
        write(weir, changed(weir.configuration, lambda c: c.update(workers=[2, 1, 2, 2][upgrades])))
        weir.upgrade()
    assert visitors.failures == []
    with weir.connect() as client:
        say_ping(client)
    assert weir.stop()["sessions"] == visitors.served + 1


def test_running_streams_are_byte_exact(start_weir, backend):
    weir = start_weir(backend, workers=2)
    streams = []
    for stream in range(3):
        client, server = weir.pair(backend)
        sender, receiver = Sender(client, stream, BLOCKS), Receiver(server)
        sender.start()
        receiver.start()
        streams.append((sender, receiver, server))
    for _ in range(3):
        weir.upgrade()
    for sender, receiver, server in streams:
        finish(sender, receiver)
        assert sender.digest.digest() == receiver.digest.digest()
        server.close()
    # Each process has the sessions that it accepted: all are the first one's.
    weir.stop()
    accepted = {e["pid"]: e["accepted"] for e in weir.events("stopped")}
    assert accepted == {weir.process.pid: 3, **{successor: 0 for successor in weir.successors}}


def test_http_clients_of_the_old_process_get_their_answers(start_http, new_script):
    """One that has connected and asked nothing yet, one between two requests."""
    weir = start_http(new_script())
    fresh, kept = (Client(weir.connect()) for _ in range(2))
    assert kept.get().status == 200
    wait_until(lambda: weir.socket_count() >= 4, "both to be accepted")
    weir.upgrade()
    for client in (kept, fresh):
        answer = client.get()
        assert answer.status == 200 and answer.get("connection") == "close"
        assert client.ending() == "fin"
    new = Client(weir.connect())
    assert new.get().get("connection") != "close"
    weir.process.wait(30)
    assert weir.events("stopped")[0]["reasons"] == {"ok": 2}


def test_addresses_come_and_go_with_the_file(start_weir, backend, short_folder):
    old, kept, new = f"unix:{short_folder}/old", f"127.0.0.1:{free_port()}", f"unix:{short_folder}/new"
    weir = start_weir(backend, listener={"bind": [old, kept]}, workers=2)
    write(weir, changed(weir.configuration, lambda c: c["listeners"]["front"].update(bind=[kept, new])))
    weir.upgrade()
    for bind in (kept, new):
        client = weir.connect_to(bind)
        exchange(client, weir.keep(backend.accept()[0]))
    with pytest.raises(OSError):
        weir.connect_to(old)
    assert not (short_folder / "old").exists()
    weir.process.wait(30)
    assert (short_folder / "new").exists()


def test_sockets_of_systemd_are_handed_on(start_weir, backend, new_backend, short_folder):
    tcp, unix = new_backend(), new_backend(str(short_folder / "activated"))
    options, descriptors = hand_over(tcp, unix)
    binds = [text_of(tcp.getsockname()), text_of(unix.getsockname())]
    weir = start_weir(backend, workers=2, listener={"bind": binds}, **options)
    for descriptor in descriptors:
        os.close(descriptor)
    for _ in range(2):
        weir.upgrade()
        for bind in binds * 2:
            exchange(weir.connect_to(bind), weir.keep(backend.accept()[0]))
    weir.stop()
    assert (short_folder / "activated").exists(), "the path is systemd's"


# -- The new process fails


@pytest.mark.parametrize(
    "script, cause",
    [
        ("echo what is wrong >&2; exit 3", "it ended with status 3 before it was ready: what is wrong"),
        ("kill -9 $$", "it was ended by signal 9 before it was ready"),
        ("exec sleep 60", "it was not ready after 10 s, and was killed"),
        ("exec 3>&-; exec sleep 60", "it let go of the handover, and was killed"),
        (None, "cannot start"),
    ],
)
def test_a_program_that_fails_changes_nothing(start_weir, backend, program, script, cause):
    weir = start_weir(backend, program=str(program), workers=2)
    client, server = weir.pair(backend)
    if script is None:
        program.unlink()
    else:
        replace(program, script)
    descriptors = weir.descriptor_count()
    weir.signal(signal.SIGUSR2)
    assert cause in failed(weir)
    if script is not None:
        assert has_ended(weir.events("upgrading")[0]["successor"])
    exchange(client, server)
    for _ in range(8):
        exchange(*weir.pair(backend))
    assert weir.events("draining") == []
    # Another attempt, with a program that is well.
    replace_by_good(program)
    wait_until(lambda: weir.descriptor_count() <= descriptors + 4 * 8, "no descriptor to be left behind")
    weir.upgrade()
    exchange(client, server)
    exchange(*weir.pair(backend))


@pytest.mark.parametrize(
    "manner, cause",
    [
        ("die", "it was ended by signal 9 before it served: that was it"),
        ("end_after_go", "it ended with status 1 before it served: what is wrong"),
        ("die_after_go", "it was ended by signal 9 before it served: that was it"),
        ("be_silent_after_go", "it did not serve 10 s after it was ready, and was killed"),
        ("babble_after_go", "it says something else than that it serves, and was killed"),
    ],
)
def test_a_process_that_fails_when_it_is_to_serve_changes_nothing(
    start_weir, new_server, short_folder, program, manner, cause
):
    binds = [f"127.0.0.1:{free_port()}", f"unix:{short_folder}/front"]
    weir = start_weir(new_server(echo), program=str(program), workers=2, listener={"bind": binds})
    visitors = Visitors(weir, *binds)
    with weir.connect() as early:
        say_ping(early)
        replace_by_bad(program, manner)
        visitors.wait_for_more()
        weir.signal(signal.SIGUSR2)
        assert failed(weir) == cause
        assert has_ended(weir.events("upgrading")[0]["successor"])
        visitors.wait_for_more()
        assert weir.events("draining") == []
        replace_by_good(program)
        weir.upgrade()
        # Of those that failed nothing was told.
        assert f"MAINPID={weir.pid}".encode() in weir.notification().splitlines()
        visitors.wait_for_more()
        say_ping(early)
    visitors.leave()
    assert visitors.failures == []
    assert weir.stop()["sessions"] == visitors.served + 1


def test_a_client_whom_a_dead_process_was_woken_for_is_served(start_weir, new_server, program, tmp_path):
    # So few that clients are accepted one by one: who accepted one waits behind the other process for the next.
    weir = start_weir(new_server(echo), program=str(program), limits={"sessions": 1000})
    word = tmp_path / "word"
    replace_by_bad(program, "swallow_after_go", str(word))
    weir.signal(signal.SIGUSR2)
    successor = weir.wait_for_event("upgrading")["successor"]
    wait_until(lambda: word.exists() and sleeps(successor), "the new process to wait for clients")
    say_ping(weir.connect())
    with weir.connect() as second:
        second.sendall(b"ping")
        os.kill(successor, signal.SIGKILL)
        assert failed(weir) == "it was ended by signal 9 before it served"
        assert second.recv(4, socket.MSG_WAITALL) == b"ping"


def test_a_client_whom_the_old_process_was_woken_for_is_served(start_weir, new_server):
    """This test is the old process: it is woken first, and accepts nobody."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listen(("127.0.0.1", free_port())) as front, ours, theirs:
        front.setblocking(False)
        address, clients = text_of(front.getsockname()), []

        def hand_over():
            woken = threading.Thread(target=handover.hold_back_wakeups, args=[[front.fileno()]])
            woken.start()
            handover.send(ours, "weir-handover", handover.VERSION, str(os.getpid()), "1")
            handover.send(
                ours, "socket", "listener", address, address, "single", "none", descriptor=front.fileno())
            handover.send(ours, "end")
            assert handover.receive(ours)[0] == ["took", "0", address]
            assert handover.receive(ours)[0] == ["ready"]
            handover.send(ours, "go")
            assert handover.receive(ours)[0] == ["serving"]
            clients.append(socket.create_connection(front.getsockname()))
            woken.join(30)
            ours.close()

        old = threading.Thread(target=hand_over, daemon=True)
        old.start()
        weir = start_weir(
            new_server(echo), listener={"bind": address}, pass_fds=[theirs.fileno()],
            environment={"WEIR_HANDOVER": str(theirs.fileno())})
        old.join(30)
        (client,) = clients
        with client:
            say_ping(client)


def test_a_file_with_an_error_changes_nothing(start_weir, backend):
    weir = start_weir(backend)
    good = weir.configuration
    client, server = weir.pair(backend)
    write(weir, changed(good, lambda c: c["pools"]["back"].update(balance="nonsense")))
    weir.signal(signal.SIGUSR2)
    cause = failed(weir)
    assert "nonsense" in cause and "weir.yaml:" in cause
    # An address that is taken: the file is good, the start fails after the sockets were handed over.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        address = text_of(taken.getsockname())
        write(weir, changed(good, lambda c: c["listeners"].update(other={"bind": address, "pool": "back"})))
        weir.signal(signal.SIGUSR2)
        assert "another process has it" in failed(weir, 2)
    weir.configuration = good
    exchange(client, server)
    for _ in range(4):
        exchange(*weir.pair(backend))


def test_unix_sockets_outlive_an_upgrade_that_fails(start_weir, backend, short_folder):
    weir = start_weir(backend, listener={"bind": f"unix:{short_folder}/front"})
    good = weir.configuration
    write(weir, changed(good, lambda c: c["listeners"].update(z={"bind": "192.0.2.1:1", "pool": "back"})))
    weir.signal(signal.SIGUSR2)
    assert "no interface of this host has that address" in failed(weir)
    weir.configuration = good
    exchange(*weir.pair(backend))


def test_a_start_by_hand_with_the_handovers_variable_says_so(start_weir, backend):
    weir = start_weir(backend)
    path = str(weir.configuration_path)
    done = run_weir("run", "-c", path, env=dict(os.environ, WEIR_HANDOVER="77"))
    assert done.returncode == 1 and "WEIR_HANDOVER" in done.stderr
    # Open, but no end of a handover.
    done = run_weir("run", "-c", path, env=dict(os.environ, WEIR_HANDOVER="1"))
    assert done.returncode == 1 and "hands nothing over" in done.stderr


def test_another_versions_handover_is_refused(engine, start_weir, backend):
    weir = start_weir(backend)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        handover.send(ours, "weir-handover", handover.VERSION + "0", "1", "0")
        done = run_weir(
            "run", "-c", str(weir.configuration_path), pass_fds=[theirs.fileno()],
            env=dict(os.environ, WEIR_HANDOVER=str(theirs.fileno())))
    assert done.returncode == 1 and "another version" in done.stderr


# -- Meanwhile


def wait_for_word(program, word):
    """A program that becomes Weir when the file `word` is there."""
    replace(program, f'while [ ! -e {word} ]; do sleep 0.02; done; exec {BINARY} "$@"')


def test_a_second_request_is_refused_and_a_reload_comes_afterwards(start_weir, backend, program, tmp_path):
    weir = start_weir(backend, program=str(program))
    word = tmp_path / "word"
    wait_for_word(program, word)
    weir.signal(signal.SIGUSR2)
    weir.wait_for_event("upgrading")
    weir.signal(signal.SIGUSR2)
    assert weir.wait_for_event("upgrade_refused")["cause"] == "an upgrade is under way"
    weir.signal(signal.SIGHUP)
    exchange(*weir.pair(backend))
    assert weir.events("reloaded") == []
    weir.upgrade(word.touch)
    assert weir.wait_for_event("reloaded")["source"] == "sighup"
    exchange(*weir.pair(backend))
    # The old one drains, and can be asked for nothing else.
    weir.process.send_signal(signal.SIGUSR2)
    weir.wait_for_event("upgrade_refused", 2)
    exchange(*weir.pair(backend))


def test_sigterm_during_an_upgrade_ends_both(start_weir, backend, program):
    weir = start_weir(backend, program=str(program))
    client, server = weir.pair(backend)
    replace(program, "exec sleep 60")
    weir.signal(signal.SIGUSR2)
    new = weir.wait_for_event("upgrading")["successor"]
    weir.signal(signal.SIGTERM)
    wait_until(lambda: has_ended(new), "the new process to end", seconds=5)
    assert failed(weir) == "this process was asked to end"
    exchange(client, server)
    weir.stop()


def test_sigterm_ends_the_sessions_of_the_old_process(start_weir, backend):
    weir = start_weir(backend)
    client, server = weir.pair(backend)
    exchange(client, server)
    weir.upgrade()
    exchange(client, server)
    weir.process.send_signal(signal.SIGTERM)
    assert ending_of(client) in ("fin", "reset")
    weir.process.wait(30)
    exchange(*weir.pair(backend))


def test_the_old_process_has_its_own_drain_timeout(start_weir, backend):
    weir = start_weir(backend, arguments=["--upgrade-drain-timeout", "1", "--drain-timeout", "3600"])
    client, server = weir.pair(backend)
    exchange(client, server)
    weir.upgrade()
    assert weir.events("draining")[0]["timeout_s"] == 1
    assert ending_of(client) in ("fin", "reset")
    weir.process.wait(30)
    assert weir.events("stopping")[0]["cause"] == "the drain timeout"
    exchange(*weir.pair(backend))


def test_the_service_manager_learns_who_is_the_main_process(start_weir, backend):
    weir = start_weir(backend)
    weir.upgrade()
    told = weir.notification().splitlines()
    assert f"MAINPID={weir.pid}".encode() in told and b"READY=1" in told
    # Then the new one speaks for itself.
    assert b"READY=1" in weir.notification().splitlines()
    weir.process.wait(30)
    weir.signal(signal.SIGTERM)
    assert b"STOPPING=1" in weir.notification().splitlines()


def test_a_backend_that_was_out_stays_out(start_weir, new_server, refusing):
    good = new_server(greet_with("good"))
    weir = start_weir(
        good, refusing(),
        pool={"health": {"passive": {"consecutive_failures": 1, "eject_for": "5m", "max_ejected": "100%"}}})

    def ejections():
        return [e for e in weir.events("health") if e["to"] == "ejected"]

    wait_until(lambda: weir.connect().recv(4) and ejections(), "the other one to be ejected")
    weir.upgrade()
    assert ejections()[1]["cause"].startswith("as the process before left it")
    before = len(weir.sessions())
    for _ in range(8):
        client = weir.connect()
        assert client.recv(4) == b"good"
        client.close()
    records = weir.wait_for_sessions(before + 8)
    assert all(r["attempts"] == 1 for r in records[-8:])


# -- The command


@pytest.fixture
def start_admin(start_weir, backend, short_folder):
    def start(**options):
        weir = start_weir(configuration={
            "workers": 1,
            "admin": {"bind": f"unix:{short_folder}/admin"},
            "listeners": {"front": {"bind": f"127.0.0.1:{free_port()}", "pool": "back"}},
            "pools": {"back": {"backends": [text_of(backend.getsockname())]}},
        }, **options)
        weir.admin = f"unix:{short_folder}/admin"
        return weir

    return start


def test_the_admin_socket_is_handed_over_and_the_old_process_is_reached_beside_it(start_admin, backend):
    weir = start_admin()
    client, server = weir.pair(backend)
    exchange(client, server)
    old = weir.pid
    answers = []
    weir.upgrade(lambda: answers.append(ask(weir.admin, "/lb/upgrade", "POST")))
    (answer,) = answers
    aside = f"{weir.admin}.{old}"
    assert answer.status == 200
    assert answer.json() == {
        "pid": weir.pid, "predecessor": old, "predecessor_admin": aside, "sessions": 1}
    assert ask(weir.admin, "/lb/health").json()["status"] == "serving"
    assert ask(weir.admin, "/lb/sessions").json()["sessions"] == 0
    assert ask(aside, "/lb/health").json()["status"] == "draining"
    assert ask(aside, "/lb/sessions").json()["sessions"] == 1
    assert ask(aside, "/lb/upgrade", "POST").status == 503
    client.close()
    server.close()
    weir.process.wait(30)
    assert not os.path.exists(aside[len("unix:"):])
    assert ask(weir.admin, "/lb/health").json()["status"] == "serving"
    weir.stop()
    assert not os.path.exists(weir.admin[len("unix:"):])


def test_the_command_follows_the_old_process_to_its_end(start_admin, backend):
    weir = start_admin()
    client, server = weir.pair(backend)
    exchange(client, server)
    old = weir.pid
    command = subprocess.Popen(
        [BINARY, "upgrade", "-c", str(weir.configuration_path)], stdout=subprocess.PIPE, text=True)
    try:
        first = []
        weir.upgrade(lambda: first.append(command.stdout.readline()))
        assert first == [f"process {weir.pid} serves in the place of {old}\n"]
        assert command.stdout.readline() == f"{old} drains: 1 session left\n"
        exchange(client, server)
        client.close()
        server.close()
        assert command.wait(30) == 0
        assert command.stdout.read().splitlines()[-1] == f"{old} has ended"
    finally:
        command.kill()


def test_the_command_need_not_wait(start_admin, backend):
    weir = start_admin()
    client, server = weir.pair(backend)
    old = weir.pid
    done = []
    weir.upgrade(lambda: done.append(
        run_weir("upgrade", "--no-wait", "-c", str(weir.configuration_path))))
    assert done[0].returncode == 0, done
    assert done[0].stdout == f"process {weir.pid} serves in the place of {old}\n"
    exchange(client, server)


def test_the_command_says_why_it_failed(start_admin, backend):
    weir = start_admin()
    good = weir.configuration
    write(weir, changed(good, lambda c: c["pools"]["back"].update(balance="nonsense")))
    done = run_weir("upgrade", "--admin", weir.admin)
    assert done.returncode == 1 and done.stdout == ""
    assert "the old one goes on" in done.stderr and "nonsense" in done.stderr
    weir.configuration = good
    exchange(*weir.pair(backend))


def test_a_loopback_admin_address_is_handed_over_too(start_admin, backend):
    weir = start_admin()
    write(weir, changed(weir.configuration, lambda c: c.update(
        admin={"bind": [f"127.0.0.1:{free_port()}"]})))
    weir.upgrade()
    admin = weir.configuration["admin"]["bind"][0]
    client, server = weir.pair(backend)
    old = weir.pid
    answers = []
    weir.upgrade(lambda: answers.append(ask(admin, "/lb/upgrade", "POST")))
    assert answers[0].json()["predecessor_admin"] == ""
    assert ask(admin, "/lb/sessions").json()["sessions"] == 0
    exchange(client, server)
    client.close()
    server.close()
    wait_until(lambda: has_ended(old), "the old process to end")
