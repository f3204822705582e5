"""The load generator and its origin: they agree on what went between them, with and without Weir in the middle;
an open loop keeps its rate and hides no stall; what is wrong with an answer is told."""

import json
import re
import shlex
import signal
import socket
import subprocess

import pytest

from addresses import free_port, reset
from deadlines import PATIENCE_SECONDS, wait_until
from weir_bench import BENCH, ROOT, Origin, bench, load


@pytest.fixture
def new_origin(request):
    def new(*arguments, **options):
        origin = Origin(*arguments, **options)
        request.addfinalizer(origin.kill)
        return origin

    return new


def check_agreement(found, counts, requests=True):
    """Load and origin saw the same; every answer was good."""
    assert found["errors"] == {} and found["error_count"] == 0
    assert found["unfinished"] == 0 and counts["broken"] == 0 and counts["refused"] == 0
    assert found["answered"] > 0
    assert found["latency_us"]["count"] == found["answered"]
    assert sum(count for _, count in found["histogram_us"]) == found["answered"]
    if requests:
        assert found["answered"] == counts["requests"] == counts["responses"]


def check_bytes(found, counts):
    assert found["bytes_sent"] == counts["bytes_received"]
    assert found["bytes_received"] == counts["bytes_sent"]


# -- Load and origin

@pytest.mark.parametrize("arguments", [
    [], ["--connections", "1"], ["--connections", "300", "--threads", "3"], ["--fresh"], ["--rate", "500"],
    ["--rate", "300", "--fresh", "--threads", "2"], ["--size", "100KiB"], ["--mix", "0:50,128:40,64KiB:9,3MiB"],
    ["--fresh", "--mix", "128:9,1MiB"],
], ids=" ".join)
def test_load_and_origin_agree_over_http(new_origin, arguments):
    origin = new_origin()
    found = load(origin.address, *arguments)
    counts = origin.counts()
    check_agreement(found, counts)
    check_bytes(found, counts)
    if "--fresh" in arguments:
        assert found["connections_made"] == counts["connections"] == found["answered"]
    else:
        assert found["connections_made"] == counts["connections"] == found["connections"]


@pytest.mark.parametrize("arguments", [
    [], ["--connections", "1"], ["--connections", "200"], ["--fresh"], ["--rate", "2000"], ["--threads", "3"],
], ids=" ".join)
def test_a_load_ends_after_so_many_requests(new_origin, arguments):
    origin = new_origin()
    found = load(origin.address, "--requests", "100", "--duration", "60s", *arguments)
    counts = origin.counts()
    check_agreement(found, counts)
    assert found["answered"] == found["answered_in_time"] == 100
    assert found["seconds"] < 30


def test_a_load_that_holds_says_when_it_begins_and_keeps_its_connections(new_origin):
    origin = new_origin()
    command = [BENCH, "load", "--target", origin.address, "--connections", "20", "--duration", "200ms", "--json", "--hold"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stderr.readline() == "running\n"
            found = json.loads(run.stdout.readline())
            assert found["connections_made"] == found["warmed_up"] == 20
            assert run.poll() is None
            run.stdin.close()
            assert run.wait(PATIENCE_SECONDS) == 0
            assert origin.counts()["requests"] == found["answered"] + found["warmed_up"]
        finally:
            run.kill()


@pytest.mark.parametrize("arguments", [
    [], ["--size", "1"], ["--size", "2MiB", "--connections", "4"], ["--fresh"], ["--mix", "1:5,1000:4,300KiB"],
    ["--rate", "500"],
], ids=" ".join)
def test_load_and_origin_agree_over_an_echo(new_origin, arguments):
    origin = new_origin("--mode", "tcp")
    found = load(origin.address, "--mode", "tcp", *arguments)
    counts = origin.counts()
    check_agreement(found, counts, requests=False)
    check_bytes(found, counts)
    assert found["bytes_sent"] == found["bytes_received"]


def test_a_tcp_origin_answers_each_message_with_a_fixed_size(new_origin):
    origin = new_origin("--mode", "tcp", "--message", "1000", "--size", "100KiB")
    found = load(origin.address, "--mode", "tcp", "--size", "1000", "--response", "100KiB")
    counts = origin.counts()
    check_agreement(found, counts)
    check_bytes(found, counts)
    assert found["bytes_received"] == found["answered"] * 100 * 1024


def test_both_speak_unix_sockets_and_ipv6(new_origin, short_folder):
    for listen in (f"unix:{short_folder}/origin", "[::1]:0"):
        origin = new_origin(listen=listen)
        found = load(origin.address, "--duration", "200ms")
        check_agreement(found, origin.counts())
    assert not (short_folder / "origin").exists()


# -- Weir in between

def test_they_agree_through_weir_over_tcp(new_origin, start_weir):
    origin = new_origin("--mode", "tcp")
    weir = start_weir(origin.address)
    found = load(weir.configuration["listeners"]["front"]["bind"], "--mode", "tcp", "--connections", "20")
    stopped = weir.stop()
    counts = origin.counts()
    check_agreement(found, counts, requests=False)
    check_bytes(found, counts)
    assert stopped["sessions"] == found["connections_made"] == counts["connections"] == 20
    assert stopped["bytes_in"] == found["bytes_sent"] and stopped["bytes_out"] == found["bytes_received"]


@pytest.mark.parametrize("arguments", [[], ["--fresh"], ["--size", "20KiB"]], ids=" ".join)
def test_they_agree_through_weir_over_http(new_origin, start_weir, arguments):
    origin = new_origin()
    weir = start_weir(origin.address, listener={"mode": "http"}, logs={"access": "/dev/null"})
    found = load(
        weir.configuration["listeners"]["front"]["bind"], "--connections", "20", "--response", "128", *arguments)
    weir.stop()
    check_agreement(found, origin.counts())


# -- The open loop

def test_an_open_loop_keeps_its_rate(new_origin):
    origin = new_origin()
    found = load(origin.address, "--rate", "400", "--duration", "2s")
    assert found["answered"] == pytest.approx(800, abs=1)
    assert found["requests_per_second"] == pytest.approx(400, rel=0.02)
    assert found["seconds"] == pytest.approx(2, rel=0.02)
    check_agreement(found, origin.counts())


def test_an_open_loop_shows_the_stalls_that_a_closed_one_hides(new_origin):
    """A server that stands still for 300 ms now and then (on its only connection): a closed loop asks it less
    often in the meantime, and so nearly all of its requests are fast."""
    delay = ["--delay", "300ms:0.3%"]
    closed = load(new_origin(*delay).address, "--connections", "1", "--duration", "3s")
    opened = load(new_origin(*delay).address, "--connections", "1", "--duration", "3s", "--rate", "500")
    for found in (closed, opened):
        assert found["latency_us"]["max"] >= 300_000
    assert closed["latency_us"]["p99"] < 100_000
    assert opened["latency_us"]["p99"] > 200_000


def test_what_never_gets_an_answer_is_told_and_its_waiting_counts(new_server):
    server = new_server(lambda connection: [None for _ in iter(lambda: connection.recv(4096), b"")])
    target = f"127.0.0.1:{server.listener.getsockname()[1]}"
    found = load(target, "--connections", "2", "--rate", "50", "--duration", "1s", code=1)
    assert found["answered"] == 0 and found["unfinished"] == found["latency_us"]["count"] == 50
    assert found["latency_us"]["p50"] > 2_000_000


# -- The origin by itself

def exchange(origin, text, ends=True):
    with socket.create_connection(("127.0.0.1", origin.port)) as client:
        client.sendall(text.encode())
        if ends:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def get(target, method="GET", more=""):
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n"


@pytest.mark.parametrize("delay", [[], ["--delay", "20ms:50%"]], ids=["at once", "some later"])
def test_pipelined_requests_are_answered_in_order(new_origin, delay):
    origin = new_origin("--name", "blue", *delay)
    sizes = [1, 5000, 3, 3, 3, 70, 0, 3] * 4
    answers = exchange(origin, "".join(get(f"/?size={size}") for size in sizes))
    assert [int(size) for size in re.findall(r"Content-Length: (\d+)", answers)] == sizes
    assert answers.count("o" * 5000) == 4 and answers.count("x-origin: blue\r\n") == len(sizes)
    assert origin.counts()["responses"] == len(sizes)


def test_head_has_no_body_and_close_closes(new_origin):
    origin = new_origin("--size", "300")
    answers = exchange(origin, get("/", "HEAD") + get("/", more="Connection: close\r\n"), ends=False)
    heads = answers.split("\r\n\r\n")
    assert len(heads) == 3 and heads[2] == "o" * 300
    assert all("Content-Length: 300" in head for head in heads[:2]) and "Connection: close" in heads[1]


def test_a_client_that_waits_for_continue_gets_it(new_origin):
    origin = new_origin()
    with socket.create_connection(("127.0.0.1", origin.port)) as client:
        client.sendall(get("/", "POST", "Expect: 100-continue\r\nContent-Length: 2\r\n").encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"ok")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_request_is_refused_and_counted(new_origin):
    origin = new_origin()
    assert exchange(origin, "hello\r\n\r\n").startswith("HTTP/1.1 400 ")
    assert exchange(origin, get("/?size=99999999999999999999999")).startswith("HTTP/1.1 400 ")
    assert exchange(origin, get("/?size=1KiB")).startswith("HTTP/1.1 400 ")
    exchange(origin, get("/") * 3)
    counts = origin.counts()
    assert counts["refused"] == 3 and counts["responses"] == 6


def test_a_delay_holds_up_its_own_answers_only(new_origin):
    origin = new_origin("--delay", "100ms")
    found = load(origin.address, "--connections", "50", "--duration", "1s")
    # 50 answers each 100 ms; one after the other they would be 10 in all.
    assert found["answered"] >= 200
    assert 100_000 <= found["latency_us"]["min"] and found["latency_us"]["p50"] < 200_000
    assert origin.counts()["delayed"] == found["answered"]


def test_an_echo_can_be_late_too(new_origin):
    found = load(new_origin("--mode", "tcp", "--delay", "50ms").address, "--mode", "tcp", "--duration", "500ms")
    assert found["errors"] == {} and 50_000 <= found["latency_us"]["min"]


# -- What is wrong with an answer

def answering(text, then=None):
    def serve(connection):
        while connection.recv(65536):
            connection.sendall(text)
            if then:
                then(connection)
                return

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("serve, arguments, error", [
    (answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), [], "status_5xx"),
    (answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), [], "status_4xx"),
    (answering(b"HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n"), [], "status_3xx"),
    (answering(b"nonsense\r\n\r\n"), [], "bad_response"),
    (answering(OK + b"too much"), [], "unexpected_bytes"),
    (answering(OK + b"ok"), ["--response", "3"], "wrong_length"),
    (answering(OK + b"o", socket.socket.close), [], "closed_early"),
    (answering(OK + b"o", reset), [], "reset"),
    (answering(b"m" * 129), ["--mode", "tcp"], "unexpected_bytes"),
    (answering(b"m", socket.socket.close), ["--mode", "tcp"], "closed_early"),
], ids=lambda value: value if isinstance(value, str) else " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_answer_is_counted_by_its_kind(new_server, serve, arguments, error):
    server = new_server(serve)
    target = f"127.0.0.1:{server.listener.getsockname()[1]}"
    found = load(target, "--connections", "3", "--duration", "200ms", *arguments, code=1)
    assert found["answered"] == 0 and found["latency_us"]["count"] == found["unfinished"]
    assert found["errors"][error] > 0 and set(found["errors"]) == {error}


def test_a_response_may_end_with_its_connection(new_server):
    server = new_server(answering(b"HTTP/1.1 200 OK\r\n\r\nall of it", socket.socket.close))
    target = f"127.0.0.1:{server.listener.getsockname()[1]}"
    found = load(target, "--connections", "3", "--duration", "200ms", "--response", "9")
    assert found["errors"] == {} and found["answered"] > 0


def test_connections_that_are_closed_between_requests_are_made_again(new_server):
    server = new_server(answering(OK + b"ok", socket.socket.close))
    target = f"127.0.0.1:{server.listener.getsockname()[1]}"
    found = load(target, "--connections", "2", "--rate", "20", "--duration", "500ms")
    assert found["answered"] + found["error_count"] == 10 and found["answered"] >= 5
    assert found["connections_made"] >= found["answered"]


def test_slow_readers_hold_up_nobody_else(new_origin):
    origin = new_origin()
    found = load(origin.address, "--slow-readers", "10", "--connections", "10", "--path", "/?size=102400")
    assert found["answered"] > 50 and found["errors"] == {} and found["slow_answered"] == 0
    counts = origin.counts()
    assert counts["connections"] == 20 and counts["requests"] == found["answered"] + 10


# -- The command line

def test_help_fits_a_screen():
    run = bench("--help")
    assert run.returncode == 0 and run.stderr == ""
    lines = run.stdout.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 105


@pytest.mark.parametrize("arguments, message", [
    ([], "origin, load, choices or limiter?"),
    (["lode"], "no command `lode`"),
    (["load"], "--target is missing"),
    (["load", "--target", "nonsense"], "is no address"),
    (["load", "--target", "127.0.0.1:1", "--rate", "0"], "--rate wants"),
    (["load", "--target", "127.0.0.1:1", "--conections", "3"], "no option `--conections`"),
    (["load", "--target", "127.0.0.1:1", "--mode", "udp"], "http or tcp"),
    (["load", "--target", "127.0.0.1:1", "--size", "1kb"], "is no size"),
    (["load", "--target", "127.0.0.1:1", "--connections", "1", "--threads", "2"], "at least 2 connections"),
    (["load", "--target", "127.0.0.1:1", "--mode", "tcp", "--path", "/x"], "for --mode http"),
    (["load", "--target", "127.0.0.1:1", "--path", "x"], "--path begins with /"),
    (["load", "--target", "127.0.0.1:1", "--header", "x"], "--header wants"),
    (["load", "--target", "127.0.0.1:1", "--duration", "0"], "--duration is longer than 0"),
    (["load", "--target", "127.0.0.1:1", "--mix", "/no/such/file"], "cannot read /no/such/file"),
    (["load", "--target", "unix:/no/such/socket"], "there is no socket"),
    (["origin"], "--listen is missing"),
    (["choices", "--policy", "consistent_hash"], "--policy is one of round_robin, "),
    (["choices", "--svg", "/no/such/folder"], "cannot write /no/such/folder/round_robin.svg"),
    (["choices", "--backends", "0"], "a number from 1 to 65535"),
    (["origin", "--listen", "127.0.0.1:0", "--delay", "20ms:5"], "is no share"),
    (["origin", "--listen", "203.0.113.1:80"], "cannot listen on 203.0.113.1:80"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_command_line_is_told(arguments, message):
    run = bench(*arguments)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("weir-bench: ") and message in run.stderr and run.stderr.count("\n") == 1


def test_a_target_that_refuses_is_told(refusing):
    target = refusing()
    for more in ([], ["--fresh"], ["--rate", "10"]):
        run = bench("load", "--target", target, *more)
        assert run.returncode == 2 and run.stderr == f"weir-bench: {target} refuses connections: nothing listens there\n"


def test_a_target_that_goes_away_is_counted(new_origin):
    origin = new_origin()
    process = subprocess.Popen(
        [BENCH, "load", "--target", origin.address, "--duration", "2s", "--json"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(sockets_of(process.pid)) >= 64, "the load has connected")
    origin.kill()
    found = json.loads(process.communicate(timeout=PATIENCE_SECONDS)[0])
    assert found["errors"]["connect_refused"] > 0
    # Each connection tries again a hundred times a second, not in a spin.
    assert found["errors"]["connect_refused"] < 64 * 300


def sockets_of(pid):
    text = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True).stdout
    return re.findall("socket:", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_prints_what_it_has(new_server, number):
    seen = []

    def serve(connection):
        while chunk := connection.recv(65536):
            connection.sendall(chunk)
            seen.append(len(chunk))

    server = new_server(serve)
    target = f"127.0.0.1:{server.listener.getsockname()[1]}"
    process = subprocess.Popen(
        [BENCH, "load", "--target", target, "--mode", "tcp", "--duration", "5m", "--json"],
        stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(seen) > 300, "the load is under way")
    process.send_signal(number)
    found = json.loads(process.communicate(timeout=PATIENCE_SECONDS)[0])
    assert process.returncode == 0 and found["interrupted"] and found["answered"] > 100 and found["seconds"] < 60


def test_the_text_names_what_was_measured(new_origin):
    run = bench("load", "--target", new_origin().address, "--duration", "200ms", "--rate", "100")
    for text in ("open loop, 100.0 a second", "20 answered", "errors      none", "p99.9", "received", "connections"):
        assert text in run.stdout


# -- Policies by themselves

def test_choices_are_measured_for_each_policy_and_number_of_backends():
    run = bench("choices", "--backends", 3, "--backends", 50, "--duration", "1us", "--json")
    found = json.loads(run.stdout)
    names = {"round_robin", "least_connections", "random", "power_of_two", "ip_hash", "ketama", "maglev", "peak_ewma",
             "adaptive", "prequal"}
    assert {(row["policy"], row["weights"]) for row in found["choices"]} == {
        (name, weights) for name in names for weights in ("equal", "unequal")}
    for row in found["choices"]:
        assert set(row["choice_ns"]) == {"3", "50"} and all(time > 0 for time in row["choice_ns"].values())
    assert {build["policy"] for build in found["builds"]} == {"ketama", "maglev"}
    assert all(build["backends"] == 50 and build["ms"] > 0 for build in found["builds"])


# -- The documentation

def test_the_pictures_of_policies_are_what_the_policies_do(tmp_path):
    run = bench("choices", "--svg", tmp_path)
    assert run.returncode == 0, run.stderr
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    page = (ROOT / "docs/balancing.md").read_text()
    assert len(drawn) == 10
    for name, text in drawn.items():
        assert (ROOT / "docs/pictures" / name).read_text() == text, f"{name}: weir-bench choices --svg docs/pictures"
        assert f"](pictures/{name})" in page


def test_the_examples_of_the_documentation_work(new_origin):
    """Each line in the page's shell blocks, with free ports and less time. Those that end in `&` are origins."""
    page = (ROOT / "docs/weir-bench.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.S) for line in block.splitlines()]
    ports, loads = {}, 0
    for line in lines:
        line = re.sub(r"(127\.0\.0\.1:)(\d+)", lambda m: m[1] + str(ports.setdefault(m[2], free_port())), line)
        line = re.sub(r"--duration \S+", "", line)
        program, command, *words = shlex.split(line.removesuffix(" &"))
        assert program == "weir-bench"
        if line.endswith(" &"):
            assert command == "origin" and words[0] == "--listen"
            new_origin(*words[2:], listen=words[1])
        elif command == "choices":
            run = bench(command, *words, "--duration", "1us")
            assert run.returncode == 0 and "maglev" in run.stdout, f"{line}\n{run.stdout}{run.stderr}"
        elif command == "limiter":
            run = bench(command, *words, "--keys", "200000")
            assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
            # What the keys at their limit got is what it leaves, to the percent.
            got, expected = re.search(r"got (\d+) of (\d+)", run.stdout).groups()
            assert abs(int(got) / int(expected) - 1) < 0.01
        else:
            run = bench(command, *words, "--duration", "300ms")
            assert run.returncode == 0 and "errors      none" in run.stdout, f"{line}\n{run.stdout}{run.stderr}"
            loads += 1
    assert loads >= 8
