"""What /lb/log answers: the newest records as the log files have them, filters, what came since, and what is missing."""

import http.client
import json
from urllib.parse import quote, urlencode

import pytest

from admin_client import ask
from deadlines import wait_until

ROUTES = [
    {"match": {"path": "/ping"}, "respond": {"status": 200}},
    {"match": {"path": "/ill"}, "respond": {"status": 503}},
]


@pytest.fixture
def start_web(start_weir, short_folder, refusing):
    def start(workers=2, **logs):
        weir = start_weir(configuration={
            "workers": workers,
            "admin": {"bind": f"unix:{short_folder}/admin.sock"},
            **({"logs": logs} if logs else {}),
            "listeners": {
                "web": {"bind": "127.0.0.1:0", "mode": "http", "pool": "site", "routes": ROUTES},
                "web2": {"bind": "127.0.0.1:0", "mode": "http", "pool": "site", "routes": ROUTES},
            },
            "pools": {"site": {"backends": [{"name": "a", "address": refusing()}]}},
        })
        return find(weir, f"unix:{short_folder}/admin.sock")

    return start


def find(weir, admin):
    weir.admin = admin
    listeners = ask(admin, "/lb/stats").json()["listeners"]
    weir.at = {listener["name"]: listener["addresses"][0] for listener in listeners}
    return weir


def request(weir, path="/ping", listener="web", **headers):
    return ask(weir.at[listener], path, headers=headers)


def look(weir, **parameters):
    answer = ask(weir.admin, "/lb/log" + ("?" + urlencode(parameters, quote_via=quote) if parameters else ""))
    assert answer.status == 200, answer.text
    return answer.json()


def wait_for(weir, count, **parameters):
    return wait_until(lambda: (log := look(weir, **parameters))["kept"] >= count and log, f"{count} records")


def paths(log):
    return [record["path"] for record in log["records"]]


def test_the_newest_records_are_those_of_the_log_in_the_order_of_their_times(start_web):
    weir = start_web()
    for _ in range(40):
        request(weir)
    log = wait_for(weir, 40, limit=1000)
    records = weir.wait_for_sessions(40)
    assert log["records"] == sorted(records, key=lambda record: record["time"])
    assert (log["kind"], log["on"], log["format"], log["sample"]) == ("access", True, "json", "100%")
    assert log["kept"] == 40 and log["oldest"] == log["records"][0]["time"] and not log["gap"]
    assert look(weir, limit=3)["records"] == log["records"][-3:]


def test_who_follows_gets_each_record_once(start_web):
    weir = start_web()
    request(weir, "/ping?0")
    last = wait_for(weir, 1)["last"]
    seen = []
    for number in range(1, 30):
        request(weir, f"/n{number}")
        log = look(weir, since=last)
        assert not log["gap"]
        seen += paths(log)
        last = log["last"]

    def rest():
        nonlocal last
        log = look(weir, since=last)
        last = log["last"]
        seen.extend(paths(log))
        return len(seen) >= 29

    wait_until(rest, "29 records")
    # A record may be seen a moment after its answer, and the two workers' in either order.
    assert sorted(seen) == sorted(f"/n{number}" for number in range(1, 30))
    assert look(weir, since=last)["records"] == []
    # More than a limit takes is a gap; before it no promise was made.
    request(weir)
    request(weir)
    log = wait_for(weir, 32, since=last, limit=1)
    assert len(log["records"]) == 1 and log["gap"]


def test_filters(start_web):
    weir = start_web()
    for path, listener, agent in (
        ("/ping", "web", "one"), ("/ill", "web", "TWO"), ("/Else", "web2", 'a "quoted"'), ("/ping", "web2", "b"),
    ):
        request(weir, path, listener, **{"User-Agent": agent})
    wait_for(weir, 4)

    def agents(**parameters):
        return {record["user_agent"] for record in look(weir, **parameters)["records"]}

    assert agents(status="5xx") == {"TWO", 'a "quoted"'} and agents(status="200") == {"one", "b"}
    assert agents(status="404") == set()
    assert agents(listener="web") == {"one", "TWO"}, "not web2"
    assert agents(listener="web2", status="5xx") == {'a "quoted"'} == agents(backend="a") == agents(pool="site")
    assert agents(backend="A") == set() == agents(listener="we")
    assert agents(text="two") == {"TWO"} and agents(text="/else") == {'a "quoted"'}
    assert agents(text='"QUOTED"') == {'a "quoted"'}
    assert agents(text="") == {"one", "TWO", 'a "quoted"', "b"}


def test_what_clients_send_cannot_pass_for_something_else(start_web):
    weir = start_web()
    request(weir, "/ping", **{"User-Agent": '","status":503,"listener":"web2'})
    request(weir, "/ping", **{"User-Agent": "\\"})
    wait_for(weir, 2)
    assert look(weir, status="5xx")["records"] == [] == look(weir, listener="web2")["records"]
    assert len(look(weir, listener="web")["records"]) == 2
    assert len(look(weir, text="\\")["records"]) == 1


def test_wrong_parameters_are_refused(start_web):
    weir = start_web()
    for query, part in (
        ("kind=all", "events"), ("since=-1", "since"), ("since=x", "since"), ("limit=0", "limit"),
        ("limit=1000000", "100000"), ("status=6", "5xx"), ("status=450-549", "5xx"), ("statsu=5xx", "`status`"),
        ("text=a&text=b", "twice"), ("text=%zz", "hexadecimal"), ("text=%ff", "UTF-8"), ("text", "name=value"),
    ):
        answer = ask(weir.admin, f"/lb/log?{query}")
        assert answer.status == 400 and part in answer.json()["error"], answer.text


def test_events(start_web):
    weir = start_web()
    log = look(weir, kind="events", limit=1000)
    assert log["kind"] == "events"
    assert [e["event"] for e in log["records"]][:3] == ["starting", "listening", "listening"]
    assert [event for event in weir.events() if event not in log["records"]] == []
    weir.signal(10)
    weir.wait_for_event("logs_reopened")
    newer = wait_until(
        lambda: (n := look(weir, kind="events", since=log["last"])["records"]) and n, "a newer event")
    assert [event["event"] for event in newer] == ["logs_reopened"]
    assert look(weir)["records"] == []


def test_logs_that_are_off_say_so(start_web):
    weir = start_web(access="off", events="off", sample="5%")
    request(weir)
    for kind in ("access", "events"):
        log = look(weir, kind=kind)
        assert log["on"] is False and log["records"] == [] and log["oldest"] is None
    assert look(weir)["sample"] == "5%"


def test_text_format(start_web):
    weir = start_web(format="text")
    weir.events_path = "/dev/null"
    request(weir, "/ill", **{"User-Agent": "a \"b\" c"})
    request(weir, "/ping", "web2")
    log = wait_for(weir, 2)
    assert log["format"] == "text" and all(line.startswith("time=2") for line in log["records"])
    assert log["oldest"] == log["records"][0].split(" ")[0].removeprefix("time=")
    for filters in ({"status": "5xx"}, {"status": "503"}, {"listener": "web"}, {"text": 'A "B"'}):
        (line,) = look(weir, **filters)["records"]
        assert " path=/ill " in line
    # The last member of a line counts as well.
    assert len(look(weir, kind="events", pool="site")["records"]) == 2
    assert look(weir, kind="events", pool="sit")["records"] == []


def test_the_newest_stay_and_a_follower_is_told_of_the_gap(start_web):
    weir = start_web(workers=1)
    client = http.client.HTTPConnection(weir.at["web"])
    agent = "x" * 160

    def fill(first, count):
        for number in range(first, first + count):
            client.request("GET", f"/ping/{number}/" + "y" * 900, headers={"User-Agent": agent})
            client.getresponse().read()

    fill(0, 5)
    last = wait_for(weir, 5)["last"]
    # More than a worker keeps, and nobody looks meanwhile.
    fill(5, 1500)
    client.close()
    log = wait_until(
        lambda: (log := look(weir, limit=100_000)) and paths(log)[-1].startswith("/ping/1504/") and log,
        "the newest record")
    numbers = [int(path.split("/")[2]) for path in paths(log)]
    assert numbers == list(range(5)) + list(range(numbers[5], 1505)) and numbers[5] > 5
    assert 300 < log["kept"] < 1400
    assert look(weir, since=last, limit=100_000)["gap"] and not look(weir, since=log["last"])["gap"]
    # More than is kept of all.
    for first in range(1505, 4505, 300):
        client = http.client.HTTPConnection(weir.at["web"])
        fill(first, 300)
        client.close()
        look(weir)
    log = wait_until(
        lambda: (log := look(weir, limit=100_000)) and paths(log)[-1].startswith("/ping/4504/") and log,
        "the newest record")
    numbers = [int(path.split("/")[2]) for path in paths(log)]
    assert numbers == list(range(numbers[0], 4505)) and numbers[0] > 1505
    assert log["oldest"] == log["records"][0]["time"]
    assert 1 << 20 < len(json.dumps(log["records"], separators=(",", ":"))) <= (2 << 20) + 10_000
    assert look(weir, since=last, limit=100_000)["gap"]
    assert not look(weir, since=log["last"] - log["kept"], limit=100_000)["gap"]
    weir.stop()


def test_numbers_grow_over_a_restart(start_web, start_weir):
    weir = start_web()
    for _ in range(20):
        request(weir)
    last = wait_for(weir, 20)["last"]
    weir.stop()
    again = find(start_weir(configuration={**weir.configuration, "logs": {}}), weir.admin)
    request(again, "/ill")
    log = wait_for(again, 1, since=last)
    assert paths(log) == ["/ill"] and log["gap"]
