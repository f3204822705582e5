"""`weir tail` follows logs, through rotation and truncation, shows what the filters want, and lets nothing
in a log steer a terminal."""

import json
import os
import re
import select
import signal
import subprocess
import unicodedata

import pytest

from deadlines import PATIENCE_SECONDS, wait_until
from servers import greet_with
from streams import receive_to_end
from tail_process import ESCAPES, Tail, TailOnTerminal
from test_recent_log import find, request, start_web, wait_for  # noqa: F401, a fixture
from weir_process import BINARY, ROOT, json_lines, run_weir


def tcp(number=0, **changes):
    record = {
        "time": f"2026-01-31T12:00:{number % 60:02}.123456Z", "id": f"{number:016x}", "listener": "cache",
        "mode": "tcp", "client": "10.1.2.3:40000", "pool": "redis", "backend": "127.0.0.1:6379", "attempts": 1,
        "pick": {"policy": "round_robin", "candidates": 2}, "reason": "ok", "bytes_in": 78, "bytes_out": 82,
        "total_us": 326,
    }
    return {**record, **changes}


def http(number=0, **changes):
    record = {
        **tcp(number), "listener": "web", "mode": "http", "client": "[2001:db8::7]:40000", "route": "0",
        "pool": "api", "backend": "a", "method": "GET", "host": "shop.example", "path": "/items", "status": 200,
        "protocol": "HTTP/1.1", "user_agent": "curl/8", "request_id": "r", "traceparent": "t",
    }
    return {**record, **changes}


EVENT = {"time": "2026-01-31T12:00:00.123456Z", "level": "warning", "event": "accept_paused", "listener": "web"}


def text_of(*records):
    return "".join(r if isinstance(r, str) else json.dumps(r, separators=(",", ":")) + "\n" for r in records)


@pytest.fixture
def log(tmp_path):
    """A log of the given records, to which more can be appended."""
    path = tmp_path / "made.log"

    def write(*records, mode="a", to=path):
        with open(to, mode) as file:
            file.write(text_of(*records))
        return to

    return write


@pytest.fixture
def tail(request):
    def start(*arguments, kind=Tail, **options):
        tail = kind(*arguments, **options)
        request.addfinalizer(tail.close)
        return tail

    return start


def identifiers(lines):
    return [int(json.loads(line)["id"], 16) for line in lines]


# -- Filters

MADE = [
    tcp(0), tcp(1, reason="no_backend", cause="connect_refused", client="192.0.2.1:1", total_us=5_000_000),
    http(2), http(3, status=503, backend="b", total_us=200_000), http(4, status=404, client="[2001:db9::1]:5"),
    http(5, status=502, pool="shadow", reason="backend_reset"), tcp(6, client="unix", total_us=199_999),
]


@pytest.mark.parametrize(
    "arguments, wanted",
    [
        ([], [0, 1, 2, 3, 4, 5, 6]), (["--status", "5xx"], [3, 5]), (["--status=503"], [3]),
        (["--status", "400-502"], [4, 5]), (["--status", "404", "--status", "2xx"], [2, 4]),
        (["--listener", "cache"], [0, 1, 6]), (["--pool", "api", "--backend", "a"], [2, 4]),
        (["--reason", "connect_refused"], [1]), (["--reason", "ok", "--status", "5xx"], [3]),
        (["--slow", "200ms"], [1, 3]), (["--slow", "5s"], [1]), (["--slow", "199999us"], [1, 3, 6]),
        (["--client", "10.0.0.0/8"], [0]), (["--client", "2001:db8::/32"], [2, 3, 5]),
        (["--client", "192.0.2.1", "--client", "2001:db9::1"], [1, 4]), (["--pool", "none"], []),
    ])
def test_filters_pick_records(log, arguments, wanted):
    path = log(*MADE, EVENT)
    done = run_weir("tail", "--no-follow", "--json", str(path), *arguments)
    assert done.returncode == 0 and done.stderr == ""
    shown = done.stdout.splitlines()
    if not arguments:
        assert json.loads(shown.pop()) == EVENT
    assert identifiers(shown) == wanted
    lines = text_of(*MADE).splitlines()
    assert shown == [lines[index] for index in wanted], "as they are, byte for byte"


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--status", "6"], "--status"), (["--client", "10.0.0.0/99"], "10.0.0.0/99"),
        (["--slow", "200"], "200ms"), (["--pols", "api"], "did you mean `--pool`?"), (["-n", "x"], "all"),
        (["--json", "--stats"], "--stats"), (["--status"], "value"), (["a-second-file"], "a-second-file"),
    ])
def test_wrong_arguments_are_refused(log, arguments, part):
    done = run_weir("tail", "--no-follow", str(log(tcp())), *arguments)
    assert done.returncode != 0 and done.stdout == "" and part in done.stderr, done.stderr


def test_a_log_that_is_not_there_is_named(tmp_path):
    for path, part in [(tmp_path / "none.log", "No such file"), (tmp_path, "directory")]:
        done = run_weir("tail", str(path))
        assert done.returncode == 1 and str(path) in done.stderr and part in done.stderr


def test_the_documented_examples_run(log):
    """But for those that follow, which end here, and the pipe, which has a test of its own."""
    path = log(*MADE)
    text = (ROOT / "docs/logs.md").read_text()
    examples = re.findall(r"^weir tail (.*?) *#", text, re.M)
    assert len(examples) >= 5
    for example in examples:
        words = [str(path) if word == "access.log" else word for word in example.split()]
        done = run_weir("tail", "--no-follow", *words)
        assert done.returncode == 0 and done.stdout and done.stderr == "", example


def test_the_documented_lines_are_what_is_shown(log, tail):
    text = (ROOT / "docs/logs.md").read_text()
    record = re.search(r"^\{.*\}$", text, re.M)[0]
    failed = tcp(0, time="2026-01-31T12:00:00.987654Z", client="127.0.0.1:60944", backend="127.0.0.1:6479",
                 attempts=2, reason="no_backend", cause="connect_refused", bytes_in=0, bytes_out=0, total_us=5004)
    screen = tail("-n", "all", log(record + "\n", failed), kind=TailOnTerminal, columns=160,
                  environment={"NO_COLOR": "1"})
    for line in screen.wait_for_lines(2):
        assert line in text.splitlines()


# -- Where it begins and ends

@pytest.mark.parametrize(
    "arguments, first", [([], 0), (["-n", "3"], 1997), (["-n", "0"], 2000), (["-n", "all"], 0),
                         (["--lines", "1999"], 1), (["-n", "1000000"], 0), (["-n", "700"], 1300)])
def test_it_begins_lines_before_the_end(log, arguments, first):
    # More than a chunk of reading.
    path = log(*(tcp(number) for number in range(2000)))
    done = run_weir("tail", "--no-follow", "--json", *arguments, str(path))
    assert identifiers(done.stdout.splitlines()) == list(range(first, 2000))


def test_a_last_line_without_its_end_counts(log):
    path = log(tcp(0), tcp(1), text_of(tcp(2)).rstrip("\n"))
    for count, wanted in [("2", [1, 2]), ("1", [2]), ("all", [0, 1, 2])]:
        done = run_weir("tail", "--no-follow", "--json", "-n", count, str(path))
        assert identifiers(done.stdout.splitlines()) == wanted


def test_following_begins_with_the_last_ten_and_goes_on(log, tail):
    path = log(*(tcp(number) for number in range(15)))
    following = tail("--json", path)
    assert identifiers(following.wait_for_lines(10)) == list(range(5, 15))
    half = text_of(tcp(15))
    log(half[:50])
    log(half[50:], tcp(16))
    assert identifiers(following.wait_for_lines(12))[10:] == [15, 16]
    following.interrupt()
    assert len(following.wait_for_end()) == 12


def test_standard_input_is_read_to_its_end(log):
    text = text_of(*MADE).encode()
    for arguments in (["-"], []):
        done = subprocess.run(
            [BINARY, "tail", "--json", *arguments], input=text, capture_output=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0 and done.stdout == text and done.stderr == b""


def test_a_fifo_is_read_until_its_writer_leaves(tmp_path, tail):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = tail("--json", path)
    with open(path, "wb") as writer:
        writer.write(text_of(tcp(1)).encode())
        writer.flush()
        assert identifiers(reading.wait_for_lines(1)) == [1]
    reading.wait_for_end()


def test_it_ends_when_its_reader_is_gone(log):
    path = log(tcp(0))
    process = subprocess.Popen([BINARY, "tail", "--json", str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.stdout.close()
    process.wait(PATIENCE_SECONDS)


# -- Rotation and truncation

def test_a_rename_loses_no_line_of_either_file(log, tail, tmp_path):
    path = log(tcp(0))
    following = tail("--json", path)
    following.wait_for_lines(1)
    old = tmp_path / "made.log.1"
    path.rename(old)
    log(tcp(1), to=old)
    following.wait_for_lines(2)
    log(tcp(2))
    following.wait_for_lines(3)
    # Its writer has not opened the new file yet.
    log(tcp(3), to=old)
    following.wait_for_lines(4)
    log(tcp(4))
    assert identifiers(following.wait_for_lines(5)) == [0, 1, 2, 3, 4]
    # And once more, by putting another file in its place.
    replacement = log(tcp(5), tcp(6), to=tmp_path / "replacement")
    replacement.rename(path)
    assert identifiers(following.wait_for_lines(7))[5:] == [5, 6]


def test_a_truncated_file_is_read_from_its_start(log, tail):
    path = log(*(tcp(number) for number in range(5)))
    following = tail("--json", path)
    following.wait_for_lines(5)
    os.truncate(path, 0)
    log(tcp(7))
    assert identifiers(following.wait_for_lines(6))[5:] == [7]


def run_sessions(weir, count):
    for _ in range(count):
        with weir.connect() as client:
            receive_to_end(client)
        weir.sockets.pop()


def test_it_follows_a_running_weir_through_its_rotation(start_weir, new_server, refusing, tail):
    weir = start_weir(new_server(greet_with("a")), refusing())
    weir.owns_access_log = False
    everything = tail("--json", "-n", "all", weir.access_path)
    failed = tail("--json", "-n", "all", "--slow", "0s", "--listener", "front", "--reason", "connect_refused",
                  weir.access_path)
    run_sessions(weir, 20)
    everything.wait_for_lines(20)
    rotated = weir.access_path + ".1"
    os.rename(weir.access_path, rotated)
    run_sessions(weir, 5)
    weir.signal(signal.SIGUSR1)
    weir.wait_for_event("logs_reopened")
    run_sessions(weir, 5)
    everything.wait_for_lines(30)
    weir.stop()
    records = json_lines(rotated) + json_lines(weir.access_path)
    assert sorted(everything.lines()) == sorted(json.dumps(r, separators=(",", ":")) for r in records)
    refused = [r["id"] for r in records if r.get("cause") == "connect_refused"]
    assert refused, "every other session tries the address that refuses first"
    assert [json.loads(line)["id"] for line in failed.wait_for_lines(len(refused))] == refused


def test_it_reads_what_weir_writes_to_a_pipe(start_weir, new_server, tail):
    reading, writing = os.pipe()
    columns = tail("-", stdin=reading)
    os.close(reading)
    weir = start_weir(new_server(greet_with("a")), logs={"access": "stdout"}, stdout=writing)
    os.close(writing)
    run_sessions(weir, 10)
    columns.wait_for_lines(10)
    weir.stop()
    for line in columns.wait_for_end():
        words = line.split()
        assert words[1] == "ok" and words[3] == "front" and words[-4:] == ["in", "0B,", "out", "1B"], line


# -- What is shown

#: Every way to steer a terminal, none of which may arrive.
HOSTILE = [
    http(1, path="/\x1b]0;title\x07", host="\x9b2J", user_agent="\x1b[2J"), http(2, method="G\rE\nT", backend="\x7f\x08"),
    tcp(3, listener="\u202egpj.exe", client="\x1b[1m"), tcp(4, reason="\x00\x1bc"), {"event": "\x1b[H", "\x1b[2J": 1},
    {"x\x1b": ["\x1b[31m"]}, "\x1b[31mno json\x07\n",
]


def raw_text(*records):
    """With the characters themselves wherever JSON allows them."""
    return "".join(
        r if isinstance(r, str) else json.dumps(r, separators=(",", ":"), ensure_ascii=False) + "\n" for r in records)


@pytest.mark.parametrize("arguments", [[], ["--stats"], ["--json"]])
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_nothing_in_a_log_steers_the_terminal(log, tail, arguments, environment):
    path = log(raw_text(*HOSTILE))
    screen = tail("-n", "all", "--no-follow", path, *arguments, kind=TailOnTerminal, environment=environment)
    screen.process.wait(PATIENCE_SECONDS)
    screen.wait_for("2xx" if "--stats" in arguments else "\\u001b")
    shown = screen.data.decode()
    if environment and "--stats" not in arguments:
        assert "\x1b" not in shown
    rest = ESCAPES.sub("", shown).replace("\r\n", "\n").replace("\r", "")
    for character in rest:
        assert character == "\n" or unicodedata.category(character)[0] not in "C", repr(rest)
    if arguments == ["--json"]:
        lines = [line for line in rest.splitlines() if line.startswith("{")]
        assert [json.loads(line) for line in lines] == HOSTILE[:-1], "escaped, it is the same JSON"


def test_lines_without_a_record_are_shown_or_counted(log):
    path = log(tcp(0), "no json\n", '{"broken":\n', "\n", "[1]\n", "x" * 200_000 + "\n", tcp(1))
    shown = run_weir("tail", "--no-follow", str(path))
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0 and len(lines) == 6 and lines[1:4] == ["no json", '{"broken":', "[1]"]
    assert lines[4] == "x" * 65_536, "a line is cut at 64 KiB"
    assert shown.stderr == ""
    for arguments in (["--json"], ["--pool", "redis"]):
        some = run_weir("tail", "--no-follow", str(path), *arguments)
        assert len(some.stdout.splitlines()) == 2 and "4 lines that are no records were left out" in some.stderr
    assert "unreadable 4" in run_weir("tail", "--no-follow", "--stats", str(path)).stdout


def test_random_bytes_are_no_trouble(tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(os.urandom(1 << 20) + b"\n" + b'{"a":' * 100_000)
    for arguments in ([], ["--json"], ["--stats"]):
        done = subprocess.run(
            [BINARY, "tail", "--no-follow", *arguments, str(path)], capture_output=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0
        done.stdout.decode()


def test_a_pipe_gets_whole_lines_without_colours(log):
    path = "/" + "long/" * 100
    done = run_weir("tail", "--no-follow", str(log(http(1, path=path, status=503))), env={"TERM": "xterm"})
    assert done.stdout.endswith("shop.example" + path + "\n") and "\x1b" not in done.stdout
    assert done.stdout.startswith("2026-01-31T12:00:01.123456Z  503 ")


# -- On a terminal

@pytest.mark.parametrize("columns", [20, 50, 80, 132])
def test_lines_on_a_terminal_have_colours_and_are_cut_to_its_width(log, tail, columns):
    path = log(*MADE, EVENT, http(8, path="/日本" * 50), "no json " * 50 + "\n")
    screen = tail("-n", "all", path, kind=TailOnTerminal, columns=columns)
    lines = screen.wait_for_lines(len(MADE) + 3)
    for line in lines:
        text = ESCAPES.sub("", line)
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
        assert width <= columns, line
    assert lines[0].startswith("\x1b[2m12:00:00.123\x1b[0m  \x1b[32mok")
    if columns >= 50:
        assert "\x1b[31m503" in lines[3] and "\x1b[33m404" in lines[4] and "\x1b[33maccept_paused" in lines[7]
    if columns >= 80:
        assert "api/b" in lines[3] and "GET shop.example/items" in lines[3]


def test_without_colours_lines_are_cut_all_the_same(log, tail):
    path = log(http(1, path="/x" * 200))
    screen = tail(path, kind=TailOnTerminal, columns=70, environment={"NO_COLOR": "1"})
    (line,) = screen.wait_for_lines(1)
    assert "\x1b" not in line and len(line) == 70 and line.endswith("…")


@pytest.mark.parametrize("keys", [b"q", b"\x03"])
@pytest.mark.parametrize("arguments", [[], ["--stats"]])
def test_q_and_ctrl_c_end_it_and_give_the_terminal_back(log, tail, keys, arguments):
    path = log(tcp(0))
    screen = tail(path, *arguments, kind=TailOnTerminal)
    screen.wait_for_keyboard()
    screen.wait_for("ok")
    screen.type(keys)
    screen.wait_for_end()


def test_at_a_keyboard_it_asks_for_a_file_where_no_weir_runs(tail, tmp_path, monkeypatch):
    path = tmp_path / "weir.yaml"
    path.write_text(
        f'{{"admin": {{"bind": "unix:{tmp_path}/none"}}, "listeners": {{"a": {{"bind": "127.0.0.1:1", "pool": "p"}}}},'
        ' "pools": {"p": {"backends": ["127.0.0.1:2"]}}}')
    monkeypatch.chdir(tmp_path)
    screen = tail(kind=TailOnTerminal)
    assert screen.process.wait(PATIENCE_SECONDS) != 0
    screen.wait_for("FILE is missing")


# -- Figures

def test_figures_come_once_at_the_end_of_a_file(log):
    done = run_weir("tail", "--no-follow", "--stats", str(log(*MADE, EVENT)))
    assert done.returncode == 0 and "\x1b" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == "records 7 rate 1.2/s over 6.0s errors 42.9% events 1".split()
    # Percentiles are the upper ends of their buckets.
    assert lines[1] == "p50 327us p95 5.0s p99 5.0s max 5.0s".split()
    assert ["5xx", "2", "28.6%"] in lines and ["ok", "2", "28.6%"] in lines and ["no_backend", "1", "14.3%"] in lines
    assert ["redis/127.0.0.1:6379", "3", "33.3%", "200ms", "5.0s"] in lines


def test_figures_come_when_interrupted(log, tail):
    path = log(*MADE)
    following = tail("--stats", path)
    folder = f"/proc/{following.process.pid}/fd"

    def watches():
        try:
            return "anon_inode:inotify" in [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
        except FileNotFoundError:
            return False  # It closed one meanwhile.

    wait_until(watches, "it to follow")
    assert following.data == b""
    following.interrupt()
    assert following.wait_for_end()[0].startswith("records 7 ")


def test_figures_on_a_terminal_are_drawn_in_place(log, tail):
    path = log(*MADE)
    screen = tail("--stats", path, kind=TailOnTerminal, rows=12)
    screen.wait_for("records 7 ")
    log(*MADE)
    screen.wait_for("records 14 ")
    frames = screen.data.decode().split("\x1b[J")[:-1]
    assert len(frames) >= 2 and all(frame.count("\n") == 11 for frame in frames), "what there is room for"
    assert all(frame.startswith("\x1b[11A\r") for frame in frames[1:])
    screen.wait_for_keyboard()
    screen.type(b"q")
    screen.wait_for_end()


# -- The running Weir

def numbers_of(lines):
    return [json.loads(line)["path"] for line in lines]


def test_a_running_weir_is_followed(start_web, tail):
    weir = start_web()
    for number in range(15):
        request(weir, f"/first{number}")
    wait_for(weir, 15)
    following = tail("--admin", weir.admin, "--json")
    lines = following.wait_for_lines(10)
    assert all(json.loads(line)["path"].startswith("/first") for line in lines)
    for number in range(5):
        request(weir, f"/then{number}")
    shown = following.wait_for_lines(15)[10:]
    assert sorted(numbers_of(shown)) == [f"/then{number}" for number in range(5)]
    wait_until(
        lambda: set(shown) <= set(open(weir.access_path).read().splitlines()), "them in the log, byte for byte")
    following.interrupt()
    following.wait_for_end()


def test_what_a_running_weir_has_is_shown_and_filtered(start_web):
    weir = start_web()
    for path in ("/ping", "/ill", "/lost"):
        request(weir, path)
    wait_for(weir, 3)

    def shown(*arguments):
        done = run_weir("tail", "--no-follow", "--json", *arguments, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.splitlines()

    assert sorted(numbers_of(shown("--admin", weir.admin))) == ["/ill", "/lost", "/ping"]
    assert sorted(numbers_of(shown("-c", str(weir.configuration_path), "--status", "5xx"))) == ["/ill", "/lost"]
    assert len(shown("--admin", weir.admin, "-n", "2")) == 2 and shown("--admin", weir.admin, "-n", "0") == []
    events = [json.loads(line)["event"] for line in shown("--admin", weir.admin, "--events")]
    assert events[0] == "starting" and "admin_listening" in events
    done = run_weir("tail", "--no-follow", "--stats", "--admin", weir.admin)
    assert done.stdout.startswith("records 3 ")


def test_the_successor_of_a_running_weir_is_followed(start_web, start_weir, tail):
    weir = start_web()
    following = tail("--admin", weir.admin, "--json")
    request(weir, "/before")
    assert numbers_of(following.wait_for_lines(1)) == ["/before"]
    weir.stop()
    wait_until(lambda: select.select([following.process.stderr], [], [], 0)[0], "it to say that nobody answers")
    again = find(start_weir(configuration={**weir.configuration, "logs": {}}), weir.admin)
    request(again, "/after")
    assert numbers_of(following.wait_for_lines(2)) == ["/before", "/after"]


def test_what_has_no_records_is_refused(start_web, tmp_path):
    weir = start_web(access="off")
    assert "is off" in run_weir("tail", "--admin", weir.admin).stderr
    for arguments in (["file", "--admin", weir.admin], ["-", "--events"], ["--admin", f"unix:{tmp_path}/none"]):
        done = run_weir("tail", *arguments)
        assert done.returncode == 1 and done.stdout == "" and done.stderr


def test_at_a_keyboard_nothing_named_means_the_running_weir(start_web, tail, monkeypatch):
    weir = start_web()
    request(weir, "/here")
    wait_for(weir, 1)
    monkeypatch.chdir(weir.configuration_path.parent)
    screen = tail(kind=TailOnTerminal, columns=200)
    screen.wait_for("/here")
    screen.wait_for_keyboard()
    screen.type(b"q")
    screen.wait_for_end()
