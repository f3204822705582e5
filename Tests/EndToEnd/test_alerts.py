"""Alerts on pools in trouble: who is told, what, and what happens where nobody listens."""

import json
import os
import time

import pytest

from addresses import free_port
from deadlines import wait_until
from http_peers import response
from test_health import changes, get, new_process, passive


def script(folder, body):
    """A program for `alerts.command`."""
    path = folder / "page"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def alerts_of(weir, condition=None):
    events = [e for e in weir.events() if e["event"] in ("alert", "alert_over")]
    return [e for e in events if condition in (None, e["condition"])]


@pytest.fixture
def pool(new_process):
    """Two backends, and how they are ejected."""
    backends = [new_process(name) for name in "ab"]
    return backends, {"backends": [b.entry for b in backends],
                      **passive(consecutive_failures=1, max_ejected="100%", eject_for="1h", max_eject_for="1h")}


def test_a_command_gets_each_alert_on_its_standard_input(start_http, pool, tmp_path):
    backends, rules = pool
    page = script(tmp_path, f'echo "$1 $2" >> {tmp_path}/words; cat >> {tmp_path}/alerts; ls /proc/self/fd > {tmp_path}/open')
    weir = start_http(pool=rules, alerts={"command": [page, "--team", "a b; exit"]})
    backends[0].kill()
    wait_until(lambda: get(weir) and alerts_of(weir, "one_backend_left"), "one is left")
    backends[1].kill()
    wait_until(lambda: get(weir) and alerts_of(weir, "no_usable_backend"), "nobody is left")

    def told():
        path = tmp_path / "alerts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    found = {alert["condition"]: alert for alert in wait_until(lambda: told()[1:] and told(), "both are told")}
    one, nobody = found["one_backend_left"], found["no_usable_backend"]
    assert one["event"] == "alert" and one["pool"] == "back" and one["level"] == "error"
    assert (one["usable"], one["backends"], one["cause"]) == (1, 2, "1 of 2 backends usable")
    assert (nobody["usable"], nobody["cause"]) == (0, "0 of 2 backends usable")
    assert set((tmp_path / "words").read_text().splitlines()) == {"--team a b; exit"}
    # Standard input, output and error, and the folder that is being listed: nothing of Weir's.
    assert (tmp_path / "open").read_text().split() == ["0", "1", "2", "3"]
    assert weir.events("alert_not_sent") == []


class Hook:
    """A webhook that takes everything."""

    def __init__(self, new_script):
        self.requests = []
        self.address = "%s:%d" % new_script(self._take).server.listener.getsockname()

    def _take(self, request):
        self.requests.append(request)
        return [response(204), None]

    def bodies(self):
        return [json.loads(request.body) for request in self.requests]


def test_a_webhook_is_posted_the_begin_and_the_end(start_http, new_script, pool):
    backends, rules = pool
    hook = Hook(new_script)
    rules["health"]["passive"]["eject_for"] = "1s"
    weir = start_http(pool=rules, alerts={"webhook": f"http://{hook.address}/weir?a=1"})
    backends[0].kill()
    # What failed until then may be worth an alert of its own.
    begun, *_ = wait_until(lambda: get(weir) and alerts_of(weir), "an alert")
    wait_until(lambda: hook.requests, "it is posted")
    request = hook.requests[0]
    assert (request.method, request.target, request.get("host")) == ("POST", "/weir?a=1", hook.address)
    assert request.get("content-type") == "application/json"
    assert {**hook.bodies()[0], "time": begun["time"]} == begun
    backends[0].start()
    wait_until(lambda: get(weir) and changes(weir, "healthy"), "it serves again")
    # After ten seconds of calm.
    over, *_ = wait_until(
        lambda: [body for body in hook.bodies()
                 if (body["event"], body["condition"]) == ("alert_over", "one_backend_left")],
        "the end is posted")
    assert over["level"] == "info"
    assert over["usable"] == 2 and over["lasted_ms"] > 0


def test_a_rate_of_errors_is_an_alert(start_http, new_script):
    hook = Hook(new_script)
    flaky = new_script(lambda request: response(500 if request.target == "/bad" else 404))
    weir = start_http(
        flaky, pool={"health": {"passive": "off"}},
        alerts={"webhook": f"http://{hook.address}", "error_rate": "20%"})
    for _ in range(40):
        get(weir, "/good")
    for _ in range(20):
        get(weir, "/bad")
    (event,) = wait_until(lambda: alerts_of(weir), "an alert")
    assert event["condition"] == "error_rate" and event["tries"] >= 40
    assert event["failed"] * 5 >= event["tries"]
    assert event["cause"] == f"{event['failed']} of {event['tries']} tries failed in 10 s"
    wait_until(lambda: hook.requests, "it is posted")
    assert hook.bodies()[0]["condition"] == "error_rate"


def test_who_does_not_listen_is_named_in_the_log_and_holds_nobody_up(start_http, pool, tmp_path):
    backends, rules = pool
    page = script(tmp_path, f"echo $$ > {tmp_path}/process; sleep 600 & wait")
    weir = start_http(pool=rules, alerts={
        "command": [page], "webhook": f"http://127.0.0.1:{free_port()}/"})
    backends[0].kill()
    wait_until(lambda: get(weir) and alerts_of(weir), "one is left")
    began = time.monotonic()
    first, second = wait_until(lambda: weir.events("alert_not_sent")[1:] and weir.events("alert_not_sent"), "both fail")
    assert 3 < time.monotonic() - began < 15
    assert (first["to"], first["cause"]) == ("webhook", "connect_refused")
    assert (second["to"], second["cause"]) == ("command", "it took longer than 5 s and was killed")
    # With what it had started.
    group = int((tmp_path / "process").read_text())

    def is_gone():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True

    wait_until(is_gone, "its process group is gone")
    assert get(weir)[0] == 200


@pytest.mark.parametrize(("body", "cause"), [
    ("exit 3", "it ended with status 3"),
    ("kill -TERM $$", "it was ended by signal 15"),
    (None, "cannot start /nonexistent/page: No such file or directory"),
])
def test_a_command_that_fails_is_named_in_the_log(start_http, pool, tmp_path, body, cause):
    backends, rules = pool
    page = script(tmp_path, body) if body else "/nonexistent/page"
    weir = start_http(pool=rules, alerts={"command": [page]})
    backends[0].kill()
    wait_until(lambda: get(weir) and alerts_of(weir), "one is left")
    assert weir.wait_for_event("alert_not_sent")["cause"] == cause


def test_without_the_key_nobody_looks(start_http, pool):
    backends, rules = pool
    weir = start_http(pool=rules)
    backends[0].kill()
    wait_until(lambda: get(weir) and changes(weir, "ejected"), "an ejection")
    assert weir.stop() is not None and alerts_of(weir) == []
