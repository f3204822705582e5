"""`balance: prequal`: backends are asked for their load and chosen by it; where they tell none, peak_ewma chooses."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest

from addresses import free_port, text_of
from deadlines import PATIENCE_SECONDS, wait_until
from weir_bench import Origin, load
from weir_process import ROOT, run_weir


class Backend:
    """Answers requests with its name, and `/load` with what a test says: a load, another body, or None for 404."""

    def __init__(self, new_server, name, in_flight=0, latency_us=1000):
        self.name = name
        self.tell(in_flight, latency_us)
        self.asked = 0
        self.server = new_server(self.serve)
        self.address = text_of(self.server.listener.getsockname())

    def tell(self, in_flight, latency_us):
        self.load = json.dumps({"in_flight": in_flight, "latency_us": latency_us})

    def serve(self, connection):
        stream = connection.makefile("rb")
        while line := stream.readline():
            path = line.split()[1]
            while line not in (b"\r\n", b""):
                line = stream.readline()
            status, body = "200 OK", self.name
            if path == b"/load":
                self.asked += 1
                status, body = ("404 Not Found", "none") if self.load is None else ("200 OK", self.load)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.fixture
def three(new_server):
    return {name: Backend(new_server, name) for name in "abc"}


@pytest.fixture
def web(start_weir, three):
    def start(backends=None, rate=100, **options):
        entries = [{"name": b.name, "address": b.address} for b in (backends or three.values())]
        weir = start_weir(
            listener={"mode": "http"},
            pool={"balance": "prequal", "prequal": {"path": "/load", "rate": rate}, "backends": entries}, **options)
        weir.owns_access_log = False
        client = weir.connect()

        def ask():
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not re.search(rb"\r\n\r\n.$", answer, re.S):
                answer += client.recv(4096)
            return answer[-1:].decode()

        return weir, ask

    return start


def ask_until(ask, weir, wanted, what):
    """Asks until the last choices are as wanted."""
    def is_so():
        for _ in range(10):
            ask()
        records = weir.sessions()
        return len(records) >= 10 and wanted(records[-10:])

    wait_until(is_so, what)


def chosen_by_load(records):
    return all("fallback" not in record["pick"] for record in records)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_backend_that_tells_the_lowest_latency_is_chosen(web, three, workers):
    three["b"].tell(0, 200)
    weir, ask = web(workers=workers)
    ask_until(
        ask, weir, lambda records: chosen_by_load(records) and {r["backend"] for r in records} == {"b"},
        "all go to b")
    three["b"].tell(0, 50_000)
    three["c"].tell(0, 10)
    pick = {"policy": "prequal", "candidates": 3, "score": 10}
    ask_until(
        ask, weir, lambda records: all((r["backend"], r["pick"]) == ("c", pick) for r in records), "all go to c")
    weir.stop()
    assert weir.events("load_not_told") == []


def test_a_backend_without_the_endpoint_is_told_once_and_the_pool_falls_back(web, three):
    three["b"].load = None
    weir, ask = web()
    event = weir.wait_for_event("load_not_told")
    assert {key: event[key] for key in ("level", "pool", "backend", "cause", "detail", "fallback")} == {
        "level": "warning", "pool": event["pool"], "backend": "b", "cause": "unexpected_answer",
        "detail": "status 404", "fallback": "peak_ewma",
    }
    seen = three["b"].asked
    wait_until(lambda: three["b"].asked >= seen + 2, "it is asked again")
    assert {ask() for _ in range(60)} == set("abc"), "as peak_ewma spreads them"
    # It gets the endpoint.
    three["b"].tell(0, 10)
    weir.wait_for_event("load_told")
    ask_until(
        ask, weir, lambda records: chosen_by_load(records) and {r["backend"] for r in records} == {"b"},
        "all go to b")
    weir.stop()
    assert len(weir.events("load_not_told")) == len(weir.events("load_told")) == 1
    before = [r for r in weir.sessions() if "fallback" in r["pick"]]
    assert len(before) >= 60 and {r["pick"]["fallback"] for r in before} == {"peak_ewma"}


def test_a_backend_that_is_down_is_not_chosen_while_two_others_tell(web, three):
    three["a"].tell(0, 1)
    weir, ask = web()
    ask_until(ask, weir, lambda records: {r["backend"] for r in records} == {"a"}, "all go to a")
    three["a"].server.close()
    ask_until(
        ask, weir,
        lambda records: chosen_by_load(records)
        and all(r["attempts"] == 1 and r["backend"] != "a" for r in records), "nobody is sent to a")
    weir.stop()
    assert weir.events("load_not_told") == []


def test_probes_stay_within_their_rate(web, three):
    weir, ask = web(rate=20)
    wait_until(lambda: sum(b.asked for b in three.values()) >= 3, "all are asked while nobody asks anything")
    first = sum(b.asked for b in three.values())
    begun = time.monotonic()
    while time.monotonic() < begun + 2:
        ask()
    probes = sum(b.asked for b in three.values()) - first
    assert 20 <= probes <= 45
    weir.stop()


def test_a_slow_backend_gets_far_less(start_weir, request):
    """Three origins that tell their load, one ten times as slow; requests overlap."""
    origins = [Origin("--delay", delay, "--name", name) for name, delay in
               [("fast1", "5ms"), ("slow", "50ms"), ("fast2", "5ms")]]
    for origin in origins:
        request.addfinalizer(origin.kill)
    weir = start_weir(
        *(origin.address for origin in origins), listener={"mode": "http"}, logs={"access": "/dev/null"},
        pool={"balance": "prequal", "prequal": {"path": "/load"}})
    found = load(weir.configuration["listeners"]["front"]["bind"], "--connections", "8", "--duration", "4s")
    stopped = weir.stop()
    assert stopped["reasons"] == {"ok": 8}
    answered = [origin.counts()["delayed"] for origin in origins]
    total = sum(answered)
    assert found["answered"] <= total <= found["answered"] + 8
    # A third without; what it gets is what it takes to find out anew that it is slow.
    assert answered[1] < total / 8, answered
    assert min(answered[0], answered[2]) > total / 8, answered
    assert weir.events("load_not_told") == []


def test_explain_shows_policy_and_fallback(web):
    weir, _ = web()
    told = run_weir("explain", "-c", str(weir.configuration_path), "GET", "http://x/").stdout
    assert "prequal, asking /load; fallback: peak_ewma" in told
    as_json = json.loads(
        run_weir("explain", "-c", str(weir.configuration_path), "--json", "GET", "http://x/").stdout)
    assert (as_json["policy"], as_json["fallback"]) == ("prequal", "peak_ewma")
    assert sorted(c["backend"] for c in as_json["candidates"]) == list("abc")


def test_the_example_server_of_the_page_tells_its_load(tmp_path):
    (text,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/prequal.md").read_text(), re.M | re.S)
    port = free_port()
    assert "9000" in text
    server = subprocess.Popen(
        [sys.executable, "-c", text.replace("9000", str(port))], stderr=subprocess.DEVNULL)

    def fetch(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS) as answer:
                return answer.read().decode()
        except OSError:
            return None

    try:
        assert wait_until(lambda: fetch("/"), "the server listens") == "Hello\n"
        told = json.loads(fetch("/load"))
        assert told["in_flight"] == 0 and 0 < told["latency_us"] < 10_000_000
    finally:
        server.kill()
        server.wait()
