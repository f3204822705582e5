"""Weir asks its backends whether they are well."""

import os
import re
import signal
import subprocess
import time

import pytest

from addresses import free_port
from deadlines import wait_until
from http_peers import response
from test_health import changes, get, new_process, wait_for_change
from test_redis import redis_cli
from weir_bench import Origin

FAST = {"interval": "100ms", "timeout": "100ms", "fall": 2, "rise": 2, "jitter": "10%"}


def checked(entries, check, panic_below="0%", **health):
    return {"backends": entries,
            "health": {"active": {**FAST, **check}, "panic_below": panic_below, "passive": "off", **health}}


class Answers:
    """A backend whose checks are answered as the test says; everybody else gets 200."""

    def __init__(self, new_script):
        self.status = 200
        self.checks = []
        self.server = new_script(self._answer)

    def _answer(self, request):
        if request.target != "/healthz":
            return response(body=b"served")
        self.checks.append(request)
        status = self.status(len(self.checks)) if callable(self.status) else self.status
        return [response(status, body=b"all is well"), None]


def address(script):
    return "%s:%d" % script.server.listener.getsockname()


def test_the_status_decides_and_what_is_sent_is_as_configured(start_http, new_script):
    answers = Answers(new_script)
    weir = start_http(pool=checked(
        [address(answers.server)],
        {"http": {"path": "/healthz", "expect": "200-299", "headers": {"x-check": "1"}, "body": "is well"}}))
    wait_until(lambda: len(answers.checks) >= 3, "three checks")
    assert changes(weir) == [] and get(weir)[0] == 200
    check = answers.checks[0]
    assert (check.method, check.get("host"), check.get("x-check")) == ("GET", address(answers.server), "1")
    answers.status = 503
    event = wait_until(lambda: changes(weir, "unhealthy"), "unhealthy")[0]
    assert event["cause"] == "2 consecutive checks failed: unexpected_answer (status 503)"
    began = time.monotonic()
    assert get(weir)[0] == 503
    assert time.monotonic() - began < 1
    answers.status = 200
    event = wait_until(lambda: changes(weir, "healthy"), "healthy again")[0]
    assert event["cause"] == "2 consecutive checks passed"
    assert get(weir) == (200, "served")
    record = next(r for r in weir.sessions() if r["status"] == 503)
    assert record["pick"]["excluded"] == {"unhealthy": 1} and record["reason"] == "no_backend"


def test_the_body_decides(start_http, new_process):
    backends = [new_process(name) for name in ("one", "two")]
    weir = start_http(pool=checked([b.entry for b in backends], {"http": {"body": "one"}}))
    event = wait_for_change(weir, "two", "unhealthy")
    assert event["cause"] == '1 check failed: unexpected_answer (body without the text: "two")'
    assert {get(weir) for _ in range(10)} == {(200, "one")}


def test_who_is_dead_at_the_start_is_out_by_the_first_check(start_weir, refusing, new_process):
    good = new_process("good")
    weir = start_weir(pool=checked(
        [{"name": "dead", "address": refusing()}, good.entry], {"tcp": {}, "fall": 10}))
    assert wait_for_change(weir, "dead", "unhealthy")["cause"] == "1 check failed: connect_refused"
    assert [e["backend"] for e in changes(weir)] == ["dead"]


def test_a_stopped_backend_is_found_by_the_timeout(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(pool=checked([b.entry for b in backends], {"http": {}}))
    wait_until(lambda: {get(weir) for _ in range(4)} == {(200, "a"), (200, "b")}, "both serve")
    backends[0].stop()
    # The first check of all decides alone, and may have met it.
    cause = wait_for_change(weir, "a", "unhealthy")["cause"]
    assert re.fullmatch("(1 check|2 consecutive checks) failed: timeout", cause)
    assert {get(weir) for _ in range(6)} == {(200, "b")}
    backends[0].go_on()
    wait_for_change(weir, "a", "healthy")
    assert {get(weir) for _ in range(8)} == {(200, "a"), (200, "b")}


def test_a_backend_that_flaps_changes_seldom(start_http, new_script):
    answers = Answers(new_script)
    # Never two failures in a row, then always two.
    answers.status = lambda number: 503 if number % 2 == 0 else 200
    weir = start_http(pool=checked([address(answers.server)], {"http": {"path": "/healthz"}, "interval": "100ms"}))
    wait_until(lambda: len(answers.checks) >= 20, "twenty checks")
    assert changes(weir) == []
    seen = len(answers.checks)
    answers.status = lambda number: 503 if number % 4 < 2 else 200
    wait_until(lambda: len(answers.checks) >= seen + 20, "twenty more")
    # In twenty checks ten pairs: no more changes than that.
    assert 2 <= len(changes(weir)) <= (len(answers.checks) - seen) // 2 + 1


def test_passing_checks_readmit_before_the_time(start_http, new_script):
    def answer(request):
        if request.target == "/healthz":
            return [response(200), None]
        return response(500, body=b"ill")

    script = new_script(answer)
    weir = start_http(pool=checked(
        [address(script)], {"http": {"path": "/healthz"}},
        passive={"consecutive_failures": 1, "max_ejected": "100%", "eject_for": "1h", "max_eject_for": "1h"}))
    wait_until(lambda: len(script.requests) >= 3, "checks")
    assert get(weir)[0] == 500
    ejected = wait_until(lambda: changes(weir, "ejected"), "ejected")[0]
    assert ejected["cause"].startswith("1 consecutive status_5xx")
    assert wait_until(lambda: changes(weir, "healthy"), "back")[0]["cause"] == "2 consecutive checks passed"


def test_redis_is_asked_for_pong(start_weir, tmp_path):
    ports = [free_port() for _ in range(2)]
    servers = [
        subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""],
            stdout=subprocess.DEVNULL)
        for port in ports
    ]
    try:
        entries = [{"name": f"r{n}", "address": f"127.0.0.1:{port}"} for n, port in enumerate(ports)]
        # Who is asked before it listens is unwell for another reason.
        wait_until(lambda: all(redis_cli(port, "ping") == "PONG" for port in ports), "both answer")
        weir = start_weir(pool=checked(entries, {"redis": {}}))

        def ping():
            with weir.connect() as client:
                try:
                    client.sendall(b"PING\r\n")
                    return client.recv(100)
                except ConnectionResetError:
                    return b""

        wait_until(lambda: ping() == b"+PONG\r\n", "an answer through Weir")
        before = [change["backend"] for change in changes(weir, "unhealthy")].count("r0")
        os.kill(servers[0].pid, signal.SIGSTOP)
        assert "timeout" in wait_for_change(weir, "r0", "unhealthy", before + 1)["cause"]
        assert all(ping() == b"+PONG\r\n" for _ in range(4))
        os.kill(servers[0].pid, signal.SIGCONT)
        wait_until(lambda: states(weir, "r0", "r1") == ["healthy"] * 2, "both are well again")
    finally:
        for server in servers:
            server.kill()
            server.wait()


def states(weir, *backends):
    """As the log has them."""
    last = {name: "healthy" for name in backends}
    last.update((event["backend"], event["to"]) for event in changes(weir))
    return [last[name] for name in backends]


def test_text_is_sent_and_expected(start_weir, new_server):
    said = []

    def serve(connection):
        said.append(connection.recv(100))
        connection.sendall(b"250 ok\r\n" if len(said) < 4 else b"421 no\r\n")

    server = new_server(serve)
    weir = start_weir(server, pool={
        "health": {"active": {**FAST, "send": "NOOP\r\n", "expect": "250"}, "panic_below": "0%"}})
    event = wait_until(lambda: changes(weir, "unhealthy"), "unhealthy")[0]
    assert event["cause"] == '2 consecutive checks failed: unexpected_answer ("421 no..")'
    assert said[0] == b"NOOP\r\n"


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_thousand_checks_a_second_cost_little(start_weir, measured, kind):
    origin = Origin(listen="0.0.0.0:0")
    try:
        backends = [f"127.0.{1 + n // 250}.{1 + n % 250}:{origin.port}" for n in range(1000)]
        weir = start_weir(pool=checked(backends, {kind: {}, "interval": "1s", "timeout": "1s", "fall": 3}))
        time.sleep(2)
        before, began = weir.cpu_seconds(), time.monotonic()
        time.sleep(5)
        share = (weir.cpu_seconds() - before) / (time.monotonic() - began)
        measured(f"1,000 {kind} checks a second take {share:.1%} of a core")
        assert share < 0.2
        assert changes(weir) == [] and weir.events("checks_stalled") == []
    finally:
        origin.kill()
