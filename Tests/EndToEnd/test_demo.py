"""`weir demo`: everything that it prints to try works as the words beside it say, and its log can be read."""

import re
import selectors
import shlex
import signal
import subprocess
import time

import pytest

from deadlines import PATIENCE_SECONDS
from weir_process import BINARY, run_weir

TERMINAL_COLUMNS = 120


class Demo:
    def __init__(self):
        self.process = subprocess.Popen(
            [BINARY, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.text = ""

    def read_until(self, pattern):
        """What it prints, as far as the pattern."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (match := re.search(pattern, self.text, re.M)):
                assert time.monotonic() < deadline, f"no {pattern!r} in\n{self.text}"
                if selector.select(0.1):
                    chunk = self.process.stdout.read1(65536)
                    assert chunk, f"the demo ended:\n{self.text}"
                    self.text += chunk.decode()
        return match

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.text += rest.decode()
        return self.process.returncode


@pytest.fixture
def demo():
    demo = Demo()
    yield demo
    demo.process.kill()
    demo.process.wait()


def curl(words):
    done = subprocess.run(
        ["curl", "-s", *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done
    return done.stdout


def test_every_line_to_try_does_what_it_says(demo, tmp_path):
    demo.read_until(r"Ctrl-C drains")
    lines = re.findall(r"^    curl (.*?)(?:\s+#\s(.*))?$", demo.text, re.M)
    answers = {remark: curl(shlex.split(words)) for words, remark in lines}
    assert len(answers) == 7
    for remark, answer in answers.items():
        if "rewritten" in remark:
            assert "    GET /path?a=1 HTTP/1.1\n" in answer and "    x-env: demo\n" in answer
        elif "cedar" in remark:
            assert answer.startswith("hello from cedar, who got:\n")
        elif "redirected" in remark:
            assert "    GET /new HTTP/1.1\n" in answer
        elif "itself" in remark:
            assert answer == "pong\n"
        elif "refused" in remark:
            assert answer == "400 Bad Request\n"
        elif "take turns" in remark:
            assert "    X-Forwarded-For: 127.0.0.1\n" in answer
        else:
            assert "hello from" in answer and "X-Forwarded" not in answer, "tcp mode changes nothing"
    demo.read_until(r"bad_request: space_before_colon")
    # The file that it shows is good, and is what it runs on.
    file = re.search(r"^All this is the file\n\n(.*?)\n\n", demo.text, re.M | re.S)[1]
    path = tmp_path / "demo.yaml"
    path.write_text("\n".join(line[4:] for line in file.split("\n")))
    assert run_weir("check", str(path)).returncode == 0
    done = run_weir("explain", "-c", str(path), "http://a/x", "-H", "x-canary: 1")
    assert "choice    cedar\n" in done.stdout


def test_the_backends_take_turns_and_take_bodies(demo):
    url = demo.read_until(r"^    curl (http://127\.0\.0\.1:\d+/) +# again")[1]
    # Each worker takes turns by itself, so three requests need not meet all three.
    names = {curl([url]).split(",")[0] for _ in range(30)}
    assert names == {"hello from ash", "hello from birch", "hello from cedar"}
    body = "x" * 100_000
    for words in (["-d", body], ["-T", "-"], ["-H", "Transfer-Encoding: chunked", "-d", body]):
        done = subprocess.run(
            ["curl", "-s", *words, url], input=body, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.stdout.startswith("hello from "), done
    assert subprocess.run(["curl", "-sI", url], stdout=subprocess.PIPE).stdout.startswith(b"HTTP/1.1 200 OK")


def test_its_log_fits_a_terminal(demo):
    url = demo.read_until(r"^    curl (http://127\.0\.0\.1:\d+/) +# again")[1]
    curl([f"{url}some/path?with=query"])
    line = demo.read_until(r"^\d\d:\d\d:\d\d\.\d{3}  web   200  GET /some/path +(ash|birch|cedar) +\d+\.\d ms$")[0]
    assert len(line) < 80
    assert demo.stop() == 0
    log = demo.text.partition("Ctrl-C drains")[2]
    for event in ("starting", "listening", "draining", "stopped"):
        assert re.search(rf"^\d\d:\d\d:\d\d\.\d{{3}}  {event}  ", log, re.M)
    assert max(map(len, demo.text.splitlines())) <= TERMINAL_COLUMNS + 40
    assert "\x1b" not in demo.text


def test_its_dashboard_and_status_show_it(demo):
    url = demo.read_until(r"^    curl (http://127\.0\.0\.1:\d+/) +# again")[1]
    dashboard = demo.read_until(r"The dashboard, for a browser: (\S+)")[1]
    words = demo.read_until(r"The same in the terminal: weir (.*)")[1].split()
    assert "<title>Weir</title>" in curl([dashboard])
    curl([url])
    status = run_weir(*words).stdout
    for name in ("web", "tcp", "ash", "birch", "cedar"):
        assert re.search(rf"\b{name}\b", status)


def test_two_demos_find_ports_of_their_own(demo):
    first = demo.read_until(r"curl (http://127\.0\.0\.1:\d+/) +# again")[1]
    other = Demo()
    try:
        second = other.read_until(r"curl (http://127\.0\.0\.1:\d+/) +# again")[1]
        assert first != second and "hello from" in curl([second]) and "hello from" in curl([first])
        assert other.stop() == 0
    finally:
        other.process.kill()
        other.process.wait()
    assert demo.stop() == 0
