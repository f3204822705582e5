"""Reloads while something is going on that is not a session: checks, probes of load, alerts, second sendings."""

import threading

import pytest

from deadlines import wait_until
from http_peers import response
from test_alerts import alerts_of, pool
from test_checks import Answers, address, checked
from test_health import changes, get, new_process, wait_for_change
from test_hedging import race, record_of
from test_prequal import ask_until, three, web
from test_reload import changed, reload


def set_check(**keys):
    return lambda c: c["pools"]["back"]["health"]["active"].update(keys)


@pytest.fixture
def held(new_script):
    """A backend whose checks are answered when the test says; and a second that is well."""
    first, second = Answers(new_script), Answers(new_script)
    free = threading.Event()
    first.status = lambda number: free.wait(30) and 200
    yield first, second, free
    free.set()


def test_a_check_that_is_under_way(start_http, held):
    first, second, free = held
    weir = start_http(pool=checked(
        [address(first.server), address(second.server)],
        {"http": {"path": "/healthz"}, "interval": "3s", "timeout": "3s"}))
    wait_until(lambda: first.checks, "a check that takes long")
    # Its pool changes: who is asked now is asked by the new rules, and the old question is for nobody.
    event = reload(weir, changed(weir.configuration, set_check(
        http={"path": "/healthz", "headers": {"x-new": "1"}}, interval="2s", timeout="2s")))
    assert event["event"] == "reloaded"
    wait_until(lambda: any(check.get("x-new") for check in first.checks), "the new check")
    wait_until(lambda: any(check.get("x-new") for check in second.checks), "new checks of the other")
    free.set()
    seen = len(first.checks)
    wait_until(lambda: len(first.checks) >= seen + 3, "checks go on")
    assert all(check.get("x-new") for check in first.checks[-2:])
    assert changes(weir) == [] and weir.events("checks_stalled") == []
    assert {get(weir)[0] for _ in range(4)} == {200}


def test_a_backend_that_is_out_stays_out_and_comes_back(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(pool=checked([b.entry for b in backends], {"http": {}}))
    backends[0].kill()
    wait_for_change(weir, "a", "unhealthy")
    before = len(changes(weir))
    for interval in ["110ms", "120ms", "130ms"]:
        assert reload(weir, changed(weir.configuration, set_check(interval=interval)))["event"] == "reloaded"
        assert {get(weir) for _ in range(4)} == {(200, "b")}
    assert changes(weir)[before:] == []
    backends[0].start()
    wait_for_change(weir, "a", "healthy")
    assert {get(weir) for _ in range(8)} == {(200, "a"), (200, "b")}


def test_probes_of_load_go_on_with_who_is_there(web, three):
    weir, ask = web([three["a"], three["b"]])
    three["a"].tell(9, 90_000)
    three["b"].tell(1, 1_000)
    ask_until(ask, weir, lambda records: {r["backend"] for r in records} == {"b"}, "the faster one only")

    def use_c(c):
        c["pools"]["back"]["backends"] = [
            {"name": name, "address": three[name].address} for name in ("a", "c")]

    three["c"].tell(0, 500)
    assert reload(weir, changed(weir.configuration, use_c))["event"] == "reloaded"
    ask_until(ask, weir, lambda records: {r["backend"] for r in records} == {"c"}, "the new one only")
    asked = three["b"].asked
    wait_until(lambda: ask() and three["c"].asked > 20, "probes of the new one")
    # One that was on its way when the reload came, at most.
    assert three["b"].asked <= asked + 1


def test_an_alert_ends_after_a_reload(start_http, pool):
    backends, rules = pool
    weir = start_http(pool=rules, alerts={})
    backends[0].kill()
    wait_until(lambda: get(weir) and alerts_of(weir, "one_backend_left"), "one is left")
    assert reload(weir, changed(weir.configuration, lambda c: c["pools"]["back"].update(balance="random")))[
        "event"] == "reloaded"
    assert [e["event"] for e in alerts_of(weir, "one_backend_left")] == ["alert"]

    def use_two_that_live(c):
        c["pools"]["back"]["backends"] = [backends[1].entry, {**backends[1].entry, "name": "also"}]

    assert reload(weir, changed(weir.configuration, use_two_that_live))["event"] == "reloaded"
    # After ten seconds of calm.
    wait_until(lambda: len(alerts_of(weir, "one_backend_left")) == 2, "the alert ends")
    assert alerts_of(weir, "one_backend_left")[1]["event"] == "alert_over"


def test_an_alert_of_a_pool_that_goes_is_over(start_http, pool, new_process):
    backends, rules = pool
    other = new_process("c")
    weir = start_http(pool=rules, alerts={})
    backends[0].kill()
    wait_until(lambda: get(weir) and alerts_of(weir, "one_backend_left"), "one is left")

    def remove(c):
        c["pools"] = {"other": {"backends": [other.entry]}}
        c["listeners"]["front"]["pool"] = "other"

    assert reload(weir, changed(weir.configuration, remove))["event"] == "reloaded"
    ended = [e for e in alerts_of(weir, "one_backend_left") if e["event"] == "alert_over"]
    assert [e["pool"] for e in ended] == ["back"]


def use_another_policy(c):
    c["pools"]["back"]["balance"] = "least_connections"


def add_a_pool(c):
    c["pools"]["other"] = {"backends": ["127.0.0.1:1"]}


@pytest.mark.parametrize("change, winner, hedged", [
    (add_a_pool, "first", "lost"), (add_a_pool, "second", "won"),
    # Where its own pool changes the second sending is given up.
    (use_another_policy, "first", "lost")])
def test_a_request_that_two_backends_have(race, change, winner, hedged):
    race = race()
    free = {name: threading.Event() for name in ("first", "second")}

    def answer(name):
        return lambda message: free[name].wait(30) and response(body=name.encode())

    race.first, race.second = answer("first"), answer("second")
    race.client.send(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
    race.wait_until_seen("/slow", 2)
    assert reload(race.weir, changed(race.weir.configuration, change))["event"] == "reloaded"
    free[winner].set()
    answer = race.client.response()
    assert (answer.status, answer.body) == (200, winner.encode())
    record = record_of(race.weir, "/slow")
    assert (record["reason"], record["hedged"]) == ("ok", hedged)
    for event in free.values():
        event.set()
    for number in range(5):
        assert race.client.get(f"/{number}").body == b"/%d" % number
