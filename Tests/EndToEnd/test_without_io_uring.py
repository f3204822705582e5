"""Weir where io_uring is forbidden, as in a container with a seccomp profile: it runs on epoll and says
why; only who demands io_uring is refused, and told what to do."""

import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("WEIR", ROOT / ".build/release/weir")).resolve()
FORBIDDEN = [str(ROOT / "Tests/without_io_uring.py"), str(PROGRAM)]
PATIENCE_SECONDS = 30


@pytest.fixture
def echo_port():
    """The port of a backend that sends back what it gets, and ends when its client does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE_SECONDS)


@pytest.fixture
def configuration(tmp_path, echo_port):
    """Writes a configuration with an `engine`; answers the file and the listener's path."""

    def write(engine):
        path = tmp_path / "front.sock"
        file = tmp_path / "weir.yaml"
        file.write_text(
            f"engine: {engine}\n"
            "logs: { access: off, events: stderr }\n"
            f'listeners: {{ front: {{ bind: "unix:{path}", pool: back }} }}\n'
            f'pools: {{ back: {{ backends: ["127.0.0.1:{echo_port}"] }} }}\n'
        )
        return str(file), str(path)

    return write


@pytest.fixture
def start_forbidden():
    """Starts Weir without io_uring, its two outputs in one."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            FORBIDDEN + list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        started.append(process)
        # Reading lines below ends when the process does, which is soon enough.
        timer = threading.Timer(PATIENCE_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def run_forbidden(*arguments):
    return subprocess.run(
        FORBIDDEN + list(arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def read_until(process, pattern):
    """The lines up to the first that matches, and the match."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := re.search(pattern, line):
            return "".join(seen), match
    raise AssertionError(f"no line matched {pattern!r}:\n{''.join(seen)}")


def stop(process, how):
    process.send_signal(how)
    rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return rest


def test_check_names_epoll_and_why(configuration):
    file, _ = configuration("auto")
    check = run_forbidden("check", file)
    assert check.returncode == 0, check.stderr
    assert re.search(r"^# engine: epoll \(.*io_uring is forbidden.*seccomp", check.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [("check",), ("run", "-c")])
def test_who_demands_io_uring_is_told_why_not_and_what_to_do(configuration, command):
    file, path = configuration("io_uring")
    refused = run_forbidden(*command, file)
    assert refused.returncode == 1
    assert "engine: io_uring does not work here" in refused.stderr
    assert "Operation not permitted" in refused.stderr
    assert "engine: auto" in refused.stderr
    assert not os.path.exists(path), "nothing is half started"


def test_the_first_line_of_the_log_names_the_engine_and_bytes_pass(configuration, start_forbidden):
    file, path = configuration("auto")
    weir = start_forbidden("run", "-c", file)
    first, _ = read_until(weir, "\n")
    assert '"engine":"epoll"' in first and "io_uring is forbidden" in first
    read_until(weir, '"event":"listening"')
    sent = os.urandom(1 << 20)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(path)

        def send():
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while data := client.recv(65536):
            received += data
        sender.join(PATIENCE_SECONDS)
    assert received == sent
    stop(weir, signal.SIGTERM)
    assert weir.returncode == 0


def test_the_demo_works(start_forbidden):
    demo = start_forbidden("demo")
    text, match = read_until(demo, r"curl (http://127\.0\.0\.1:\d+/)")
    answers = set()
    # Each worker takes turns by itself, so three requests need not meet all three.
    for _ in range(30):
        with urllib.request.urlopen(match[1], timeout=PATIENCE_SECONDS) as response:
            answers.add(response.read().decode())
    assert {answer.splitlines()[0] for answer in answers} == {
        f"hello from {name}, who got:" for name in ("ash", "birch", "cedar")}
    text += stop(demo, signal.SIGINT)
    assert demo.returncode == 0
    assert "engine=epoll" in text and "  stopped  " in text
