"""SIGTERM, once and twice; what the service manager is told and what it hands over."""

import errno
import fcntl
import os
import select
import signal
import socket
import subprocess

import pytest

from addresses import free_port, listen, text_of
from deadlines import wait_until
from streams import ending_of, exchange, receive_to_end
from weir_process import Weir


def is_refused(weir):
    try:
        weir.connect().close()
        return False
    except OSError as failure:
        assert failure.errno in (errno.ECONNREFUSED, errno.ENOENT)
        return True


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_running_sessions_end_and_takes_no_new_one(
    start_weir, backend, short_folder, family, workers
):
    bind = {"bind": f"unix:{short_folder}/front"} if family == "unix" else {}
    weir = start_weir(backend, listener=bind, workers=workers)
    client, server = weir.pair(backend)
    exchange(client, server)
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    draining = weir.events("draining")[0]
    assert (draining["sessions"], draining["timeout_s"]) == (1, 30)
    wait_until(lambda: is_refused(weir), "new connections to be refused", seconds=10)

    def end_attempts():
        # Those that came before the worker heard of it are served.
        while select.select([backend], [], [], 0)[0]:
            backend.accept()[0].close()

    if family == "unix":
        # One descriptor for all workers, closed when the last of them has let go of it.
        wait_until(lambda: end_attempts() or weir.socket_count() == 2, "the shared socket to be closed")
    end_attempts()
    for _ in range(10):
        exchange(client, server)
    client.shutdown(socket.SHUT_WR)
    assert receive_to_end(server) == b""
    server.sendall(b"the end")
    server.close()
    assert receive_to_end(client) == b"the end"
    stopped = weir.wait_for_end()
    assert stopped["reasons"].keys() <= {"ok", "client_reset"}
    assert stopped["bytes_in"] == 4 * 11 and stopped["bytes_out"] == 4 * 11 + 7
    assert weir.events()[-1] == stopped
    assert is_refused(weir)


def test_sigint_drains_as_well(start_weir, backend):
    weir = start_weir(backend)
    weir.signal(signal.SIGINT)
    assert weir.wait_for_end()["sessions"] == 0


def test_the_drain_timeout_ends_what_is_left(start_weir, backend):
    weir = start_weir(backend, arguments=["--drain-timeout", "1"])
    client, server = weir.pair(backend)
    exchange(client, server)
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    exchange(client, server)
    assert ending_of(client) in ("fin", "reset")
    assert ending_of(server) in ("fin", "reset")
    assert weir.wait_for_end()["reasons"] == {"shutdown": 1}
    assert weir.events("stopping")[0]["cause"] == "the drain timeout"


def test_a_second_sigterm_stops_now(start_weir, backend):
    weir = start_weir(backend, arguments=["--drain-timeout", "3600"], workers=2)
    pairs = [weir.pair(backend) for _ in range(20)]
    weir.signal(signal.SIGTERM)
    weir.wait_for_event("draining")
    for client, server in pairs:
        exchange(client, server)
    weir.signal(signal.SIGTERM)
    for pair in pairs:
        for sock in pair:
            assert ending_of(sock) in ("fin", "reset")
    assert weir.wait_for_end()["reasons"] == {"shutdown": 20}
    assert weir.events("stopping")[0]["cause"] == "a second signal"


def test_sigterm_while_a_backend_is_sought(start_weir):
    """The connect in progress is given its time, and the drain its own."""
    with listen(("127.0.0.1", free_port()), backlog=0) as silent:
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
            fillers.append(filler)
        weir = start_weir(silent, arguments=["--drain-timeout", "1"])
        client = weir.connect()
        # The one that listens, the client's, the backend's.
        wait_until(lambda: weir.socket_count() == 3, "the connect to be in progress")
        weir.signal(signal.SIGTERM)
        assert ending_of(client) in ("fin", "reset")
        assert weir.wait_for_end()["reasons"] == {"shutdown": 1}
        for filler in fillers:
            filler.close()


# -- systemd


def test_the_service_manager_is_told_of_ready_and_stopping(start_weir, backend):
    """By a socket in the abstract namespace; the constructor has waited for READY=1."""
    weir = start_weir(backend)
    weir.signal(signal.SIGTERM)
    assert b"STOPPING=1" in weir.notification().splitlines()
    weir.wait_for_end()


def test_the_service_manager_is_told_by_a_path_as_well(start_weir, backend, short_folder):
    weir = start_weir(backend)
    weir.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{short_folder}/notify")
        process = subprocess.Popen(
            weir.process.args, env=dict(os.environ, NOTIFY_SOCKET=f"{short_folder}/notify"))
        assert b"READY=1" in manager.recv(4096).splitlines()
        process.terminate()
        assert b"STOPPING=1" in manager.recv(4096).splitlines()
        assert process.wait(30) == 0


def hand_over(*listeners):
    """The arguments that start Weir with these sockets as its descriptors 3, 4, ..."""
    high = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for listener in listeners]
    for descriptor in high:
        os.set_inheritable(descriptor, True)
    moves = " ".join(f"{3 + index}<&{descriptor}" for index, descriptor in enumerate(high))
    closes = " ".join(f"{descriptor}<&-" for descriptor in high)
    script = f'exec {moves} {closes}; LISTEN_FDS={len(high)} LISTEN_PID=$$ exec "$@"'
    return {"prefix": ["bash", "-c", script, "sh"], "pass_fds": high}, high


@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_that_systemd_hands_over_are_served(
    start_weir, backend, new_backend, short_folder, workers
):
    tcp, unix = new_backend(), new_backend(str(short_folder / "activated"))
    options, descriptors = hand_over(tcp, unix)
    other = f"127.0.0.1:{free_port()}"
    weir = start_weir(
        backend, workers=workers,
        listener={"bind": [text_of(tcp.getsockname()), text_of(unix.getsockname()), other]}, **options)
    for descriptor in descriptors:
        os.close(descriptor)
    for bind in [text_of(tcp.getsockname()), text_of(unix.getsockname()), other] * 3:
        client = weir.connect_to(bind)
        exchange(client, weir.keep(backend.accept()[0]))
    weir.stop()
    assert (short_folder / "activated").exists(), "the path is systemd's"


def test_a_client_that_came_before_weir_did_is_served(start_weir, backend, new_backend):
    """What socket activation is for."""
    front = new_backend()
    early = socket.create_connection(front.getsockname())
    early.sendall(b"early")
    options, descriptors = hand_over(front)
    weir = start_weir(backend, listener={"bind": text_of(front.getsockname())}, **options)
    weir.keep(early)
    server = weir.keep(backend.accept()[0])
    assert server.recv(10) == b"early"
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_socket_that_no_listener_binds_is_an_error(engine, backend, new_backend, tmp_path):
    options, descriptors = hand_over(new_backend())
    configuration = {
        "engine": engine,
        "listeners": {"front": {"bind": f"127.0.0.1:{free_port()}", "pool": "back"}},
        "pools": {"back": {"backends": [text_of(backend.getsockname())]}},
    }
    with pytest.raises(AssertionError, match="no listener binds"):
        Weir(tmp_path, configuration, **options)
    for descriptor in descriptors:
        os.close(descriptor)
