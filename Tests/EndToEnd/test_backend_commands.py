"""Backends that operators drain, disable, weigh, add and remove in a running Weir: who gets sessions, who is told what, and
what is left of it after a reload."""

import json
import re
import socket
import subprocess
import threading
from collections import Counter

import pytest

from addresses import text_of
from admin_client import ask
from conftest import address_of
from deadlines import wait_until
from http_peers import Client, request, response
from servers import echo, greet_with
from test_admin import check_answer, start_admin  # noqa: F401
from test_reload import changed, name_of, reload, write
from weir_process import BINARY, run_weir

JSON = {"Content-Type": "application/json"}


def order(weir, verb, name=None, body=None, query=""):
    """An order through the unix socket; its answer is a documented one."""
    path = "/lb/backends/add" if verb == "add" else f"/lb/backends/{name.replace('/', '%2F')}/{verb}"
    documented = "/lb/backends/add" if verb == "add" else f"/lb/backends/{{name}}/{verb}"
    method = "DELETE" if verb == "remove" else "POST"
    text = None if body is None else json.dumps(body)
    answer = ask(weir.admin_path, path + query, method, JSON if body is not None else {}, text)
    check_answer(documented, answer, method.lower())
    return answer


def done(weir, verb, name=None, body=None, query=""):
    answer = order(weir, verb, name, body, query)
    assert answer.status == 200, answer.text
    return answer.json()


def shown(weir, name, pool="site"):
    """What /lb/backends says of a backend; None where there is none."""
    answer = ask(weir.admin_path, "/lb/backends")
    check_answer("/lb/backends", answer)
    (found,) = [p for p in answer.json()["pools"] if p["name"] == pool]
    return next((b for b in found["backends"] if b["name"] == name), None)


def entry(name, server, **more):
    return {"name": name, "address": address_of(server), **more}


@pytest.fixture
def start_two(start_admin, new_server):
    """Weir in tcp mode before two backends that say their names."""

    def start(**options):
        servers = {name: new_server(greet_with(name)) for name in ("one", "two")}
        weir = start_admin(*(entry(n, s) for n, s in servers.items()), http=False, **options)
        weir.servers = servers
        return weir

    return start


def names(weir, count):
    """Who serves as many new sessions."""
    found = Counter()
    for _ in range(count):
        client = weir.connect()
        found[name_of(client)] += 1
        client.close()
    return found


# -- Drain, disable, enable


def test_a_drained_backend_gets_nobody_new_and_finishes_what_it_has(start_admin, new_server):
    servers = [new_server(echo) for _ in range(2)]
    weir = start_admin(entry("a", servers[0]), entry("b", servers[1]), http=False, workers=1)
    clients = [weir.connect() for _ in range(20)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert shown(weir, "a")["active"] == shown(weir, "b")["active"] == 10
    answer = done(weir, "drain", "a")
    assert answer["number"] == 2 and answer["differs_from_file"]
    assert answer["backend"]["state"] == "draining" and answer["backend"]["differs"] == ["state"]
    assert [c["what"] for c in answer["changes"]] == ["backend site/a changed"]
    accepted = servers[0].accepted
    more = [weir.connect() for _ in range(30)]
    for client in more:
        client.sendall(b"y")
        assert client.recv(1) == b"y"
    assert servers[0].accepted == accepted
    backend = shown(weir, "a")
    assert (backend["state"], backend["active"], backend["differs"]) == ("draining", 10, ["state"])
    assert backend["taken_out_s"] >= 0 and shown(weir, "b")["taken_out_s"] is None
    waiting = subprocess.Popen(
        [BINARY, "backend", "drain", "site", "a", "--wait", "--admin", weir.admin_path],
        stdout=subprocess.PIPE, text=True)
    assert waiting.stdout.readline() == f"backend a of pool site: draining, weight 1, at {address_of(servers[0])} (as it was)\n"
    assert waiting.stdout.readline() == "10 left\n"
    for client in clients:
        client.sendall(b"z")
        assert client.recv(1) == b"z"
        client.close()
    rest = waiting.communicate(timeout=30)[0].splitlines()
    assert waiting.returncode == 0 and rest[-1] == "nothing left"
    assert shown(weir, "a")["active"] == 0
    weir.stop()
    assert {s["reason"] for s in weir.sessions()} == {"ok"}


class Load(threading.Thread):
    """Requests on a connection that is kept, or each on a new one: who answered each that was begun in an era."""

    def __init__(self, weir, keeps):
        super().__init__(daemon=True)
        host, _, port = weir.configuration["listeners"]["web"]["bind"].rpartition(":")
        self.address, self.keeps = (host, int(port)), keeps
        self.era, self.answers, self.failures, self.is_over = 0, {}, [], False

    def run(self):
        client = None
        while not self.is_over:
            era = self.era
            try:
                client = client or Client(socket.create_connection(self.address, timeout=20))
                answer = client.get("/")
                if answer is None or answer.status != 200:
                    self.failures.append(answer and answer.first)
                else:
                    self.answers.setdefault(era, Counter())[answer.body.decode()] += 1
                if not self.keeps or answer is None:
                    client.sock.close()
                    client = None
            except OSError as failure:
                self.failures.append(repr(failure))
                client = None


@pytest.fixture
def start_loaded(start_admin, new_script):
    """Weir in http mode before backends that say their names, and clients that ask them all the time."""

    def start(*names, **pool):
        scripts = {name: new_script(lambda _, name=name: response(body=name.encode())) for name in names}
        weir = start_admin(
            pools={"site": {"backends": [entry(n, s) for n, s in scripts.items()], **pool}}, limits={"sessions": 1000})
        weir.scripts = scripts
        weir.loads = [Load(weir, keeps) for keeps in (True, True, True, False)]
        for load in weir.loads:
            load.start()
        return weir

    return start


def new_era(weir):
    """The requests from here on."""
    era = weir.loads[0].era + 1
    for load in weir.loads:
        load.era = era
    return era


def answers_of(weir, era):
    total = Counter()
    for load in weir.loads:
        total += load.answers.get(era, Counter())
    return total


def settle(weir, era, count=40):
    """Waits for requests of an era, and answers who served them."""
    wait_until(lambda: answers_of(weir, era).total() >= count, "requests")
    return answers_of(weir, era)


def end_load(weir):
    for load in weir.loads:
        load.is_over = True
    for load in weir.loads:
        load.join(30)
    assert [load.failures for load in weir.loads] == [[]] * len(weir.loads)


@pytest.mark.parametrize("verb", ["drain", "disable"])
def test_under_load_nobody_new_comes_after_the_answer_and_nobody_fails(start_loaded, verb):
    weir = start_loaded("a", "b", "c")
    for turn in range(8):
        name = "abc"[turn % 3]
        done(weir, verb, name)
        seen = settle(weir, new_era(weir))
        assert set(seen) == {"a", "b", "c"} - {name}
        # Nothing is kept to it: it may be stopped.
        wait_until(lambda: not weir.scripts[name].server._open, "its connections to close")
        assert shown(weir, name)["active"] == 0
        done(weir, "enable", name)
        assert set(settle(weir, new_era(weir))) == {"a", "b", "c"}
    end_load(weir)


def test_backends_come_and_go_under_load_and_nobody_fails(start_loaded, new_script):
    weir = start_loaded("a", "b")
    for turn in range(6):
        name = f"n{turn}"
        script = new_script(lambda _, name=name: response(body=name.encode()))
        answer = done(weir, "add", body={"pool": "site", "name": name, "address": address_of(script), "weight": 2})
        assert answer["backend"] == {
            "address": address_of(script), "state": "enabled", "weight": 2, "max_sessions": None, "backup": False,
            "differs": ["added"]}
        assert set(settle(weir, new_era(weir))) == {"a", "b", name}
        assert shown(weir, name)["differs"] == ["added"]
        assert done(weir, "remove", name)["backend"] is None
        assert set(settle(weir, new_era(weir))) == {"a", "b"}
        assert shown(weir, name) is None
    end_load(weir)


def test_weights_take_effect(start_two):
    weir = start_two()
    weir_names = names(weir, 40)
    assert abs(weir_names["one"] - 20) <= 2
    assert done(weir, "weight", "one", {"weight": 3})["backend"]["weight"] == 3
    # Each of two workers has a rotation of its own.
    assert abs(names(weir, 40)["one"] - 30) <= 3
    done(weir, "weight", "one", query="?weight=0")
    assert names(weir, 10) == {"two": 10}
    backend = shown(weir, "one")
    assert (backend["weight"], backend["differs"], backend["state"]) == (0, ["weight"], "healthy")
    done(weir, "weight", "one", {"weight": 1})
    assert shown(weir, "one")["differs"] == []


def test_sticky_clients_come_back_to_who_drains_and_leave_who_is_disabled(start_admin, new_script):
    scripts = {name: new_script(lambda _, name=name: response(body=name.encode())) for name in ("a", "b")}
    weir = start_admin(
        pools={"site": {"backends": [entry(n, s) for n, s in scripts.items()], "affinity": {"cookie": "W"}}})

    def get(cookie=None):
        with weir.connect() as sock:
            answer = Client(sock).get("/", **({"Cookie": cookie} if cookie else {}))
        return answer.body.decode(), (answer.get("set-cookie") or "").partition(";")[0]

    cookies = dict(get() for _ in range(8))
    assert set(cookies) == {"a", "b"}
    done(weir, "drain", "a")
    assert [get(cookies["a"])[0] for _ in range(4)] == ["a"] * 4
    assert {get()[0] for _ in range(8)} == {"b"}
    done(weir, "disable", "a")
    assert get(cookies["a"]) == ("b", cookies["b"])
    done(weir, "enable", "a")
    assert get(cookies["a"])[0] == "a"


def test_who_is_disabled_is_not_asked_and_who_drains_is(start_admin, new_server):
    servers = {name: new_server(echo) for name in ("a", "b", "c")}
    weir = start_admin(
        http=False,
        pools={
            "site": {
                "backends": [entry(n, s) for n, s in servers.items()],
                "health": {"active": {"tcp": {}, "interval": "20ms", "timeout": "20ms"}},
            }
        })
    for server in servers.values():
        wait_until(lambda: server.accepted > 2, "checks")
    done(weir, "disable", "a")
    done(weir, "drain", "b")
    # One that was under way may still come.
    asked = {name: server.accepted for name, server in servers.items()}
    wait_until(lambda: servers["b"].accepted > asked["b"] + 10, "checks of who drains")
    assert servers["a"].accepted <= asked["a"] + 1
    done(weir, "enable", "a")
    before = servers["a"].accepted
    wait_until(lambda: servers["a"].accepted > before, "checks of who is back")


def test_health_of_others_goes_on_and_changes_are_in_the_log(start_two, refusing):
    weir = start_two()
    done(weir, "drain", "one")
    done(weir, "disable", "one")
    done(weir, "enable", "one")
    events = [(e["from"], e["to"], e["cause"]) for e in weir.events("health")]
    assert events == [
        ("healthy", "draining", "by order"), ("draining", "disabled", "by order"), ("disabled", "healthy", "by order")]
    assert [e["source"] for e in weir.events("reloaded")] == ["backends"] * 3
    assert weir.events("reloaded")[0]["differing_backends"] == 1
    assert "differing_backends" not in weir.events("reloaded")[2]


# -- Removal


def test_sessions_of_a_removed_backend_end_as_on_remove_says(start_admin, new_server):
    for policy, more in (("close", {}), ("drain", {"drain_timeout": "300ms"}), ("drain", {}), ("keep", {})):
        one, two = new_server(echo), new_server(echo)
        weir = start_admin(
            http=False, workers=1,
            pools={"site": {"backends": [entry("one", one), entry("two", two)], "on_remove": policy, **more}})
        clients = [weir.connect() for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert shown(weir, "one")["active"] == 2
        done(weir, "remove", "one")
        ends = policy == "close" or bool(more)
        outcomes = Counter()
        for client in clients:
            try:
                if ends and policy == "drain":
                    # Until its time is up.
                    client.settimeout(1)
                    outcomes["gone" if client.recv(1) == b"" else "odd"] += 1
                    continue
                client.sendall(b"y")
                outcomes["alive" if client.recv(1) == b"y" else "gone"] += 1
            except ConnectionResetError:
                outcomes["reset"] += 1
            except TimeoutError:
                outcomes["alive"] += 1
        assert outcomes == ({"alive": 2, "reset": 2} if ends else {"alive": 4}), (policy, more)
        weir.stop()
        reasons = Counter(s["reason"] for s in weir.sessions())
        assert reasons["backend_removed"] == (2 if ends else 0)


def test_a_request_at_a_removed_backend_is_tried_elsewhere_or_answered_503(start_admin, new_script):
    hold = threading.Event()

    def slow(_):
        hold.wait(20)
        return response(body=b"slow")

    for retries in (False, True):
        hold.clear()
        script, other = new_script(slow), new_script(lambda _: response(body=b"other"))
        weir = start_admin(
            pools={"site": {"backends": [entry("slow", script)], "on_remove": "close"}})
        if retries:
            # Where it may be sent again.
            configuration = changed(
                weir.configuration, lambda c: c["listeners"]["web"].update(retry={"attempts": 1, "on": ["reset"]}))
            assert reload(weir, configuration)["event"] == "reloaded"
        client = Client(weir.connect())
        client.send(request())
        wait_until(lambda: script.requests, "the request")
        done(weir, "add", body={"pool": "site", "name": "other", "address": address_of(other)})
        done(weir, "remove", "slow")
        answer = client.response()
        hold.set()
        assert (answer.status, answer.body) == (200, b"other") if retries else answer.status == 503
        weir.stop()
        (record,) = weir.sessions()
        if retries:
            assert (record["reason"], record["backend"], record["retried"]) == ("ok", "other", "reset")
        else:
            assert (record["reason"], record["backend"]) == ("backend_removed", "slow")


# -- What cannot be


def test_names_are_told_apart_by_their_pools(start_admin, new_server):
    servers = [new_server(greet_with(n)) for n in ("x", "y")]
    weir = start_admin(
        http=False,
        pools={"site": {"backends": [entry("b", servers[0])]}, "other": {"backends": [entry("b", servers[1])]}})
    answer = order(weir, "drain", "b")
    assert answer.status == 409
    assert answer.json()["error"] == "2 pools have a backend `b`: site, other; say which one"
    assert done(weir, "drain", "b", query="?pool=other")["pool"] == "other"
    assert shown(weir, "b")["state"] == "healthy" and shown(weir, "b", "other")["state"] == "draining"
    assert done(weir, "disable", "b", {"pool": "site"})["pool"] == "site"


def test_a_name_may_have_a_slash_in_it(start_admin, short_folder):
    weir = start_admin(f"unix:{short_folder}/a b.sock", "127.0.0.1:1")
    assert done(weir, "drain", f"unix:{short_folder}/a b.sock".replace(" ", "%20"))["backend"]["state"] == "draining"
    ended = run_weir(
        "backend", "enable", "site", f"unix:{short_folder}/a b.sock", "--admin", weir.admin_path)
    assert ended.returncode == 0 and "enabled" in ended.stdout, ended


@pytest.mark.parametrize("verb, name, body, status, words", [
    ("drain", "onne", None, 404, "no pool has a backend `onne`; did you mean `one`?"),
    ("drain", "one", {"pool": "sites"}, 404, "there is no pool `sites`; did you mean `site`?"),
    ("drain", "one", {"pol": "site"}, 400, "`pol` is not known here; did you mean `pool`?"),
    ("weight", "one", {}, 400, "`weight` is missing"),
    ("weight", "one", {"weight": 65536}, 400, "`weight` must be a whole number from 0 to 65535"),
    ("add", None, {"pool": "site"}, 400, "`address` is missing"),
    ("add", None, {"address": "127.0.0.1:1"}, 400, "`pool` is missing"),
    ("add", None, {"pool": "site", "address": "127.0.0.1"}, 400, "127.0.0.1"),
    ("add", None, {"pool": "site", "address": "127.0.0.1:1", "max_sessions": 0}, 400, "out of range"),
    ("add", None, {"pool": "site", "address": "127.0.0.1:1", "name": "one"}, 409, "has a backend `one` already"),
    ("add", None, {"pool": "none", "address": "127.0.0.1:1"}, 404, "there is no pool `none`"),
    ("add", None, {"pool": "site", "address": "nowhere.invalid:1"}, 422, "nowhere.invalid"),
])
def test_what_cannot_be_is_refused_and_changes_nothing(start_two, verb, name, body, status, words):
    weir = start_two()
    answer = order(weir, verb, name, body)
    assert answer.status == status and words in answer.json()["error"], answer.text
    assert ask(weir.admin_path, "/lb/history").json()["number"] == 1
    assert names(weir, 8).keys() == {"one", "two"}


def test_a_pool_keeps_somebody(start_two):
    weir = start_two()
    done(weir, "remove", "one")
    answer = order(weir, "remove", "two")
    assert answer.status == 409 and "the last backend of pool site" in answer.json()["error"]
    assert order(weir, "weight", "two", {"weight": 0}).status == 409
    # Nobody may be there for a while, where that is what somebody wants.
    done(weir, "disable", "two")
    client = weir.connect()
    assert client.recv(1) == b""
    done(weir, "enable", "two")
    assert names(weir, 2) == {"two": 2}


# -- Beside the file


def test_a_reload_keeps_what_the_new_file_does_not_touch(start_two, new_server):
    weir = start_two()
    third = new_server(greet_with("three"))
    done(weir, "drain", "one")
    done(weir, "add", body={"pool": "site", "name": "three", "address": address_of(third)})
    event = reload(weir, changed(weir.configuration, lambda c: c["pools"]["site"].update(balance="random")))
    assert event["differing_backends"] == 2
    assert names(weir, 12).keys() == {"two", "three"}
    # What the file says of the backend itself is obeyed.
    change = lambda c: c["pools"]["site"]["backends"][0].update(weight=2)  # noqa: E731
    assert reload(weir, changed(weir.configuration, change))["differing_backends"] == 1
    assert names(weir, 30).keys() == {"one", "two", "three"}
    done(weir, "disable", "two")
    ended = run_weir("reload", "--discard", "-c", str(weir.configuration_path))
    assert ended.returncode == 0 and "backend site/three removed" in ended.stdout
    assert names(weir, 30).keys() == {"one", "two"}
    assert not ask(weir.admin_path, "/lb/history").json()["differs_from_file"]


def test_a_rollback_brings_back_what_operators_had_changed_then(start_two):
    weir = start_two()
    done(weir, "drain", "one")
    write(weir, changed(weir.configuration, lambda c: c["pools"]["site"]["backends"].pop(0)))
    assert run_weir("reload", "-c", str(weir.configuration_path)).returncode == 0
    assert shown(weir, "one") is None
    assert run_weir("rollback", "-c", str(weir.configuration_path)).returncode == 0
    assert shown(weir, "one")["state"] == "draining" and shown(weir, "one")["differs"] == ["state"]
    assert run_weir("rollback", "-c", str(weir.configuration_path)).returncode == 0
    assert shown(weir, "one")["state"] == "healthy"


def test_orders_do_not_push_files_out_of_the_history(start_two):
    weir = start_two()
    reload(weir, changed(weir.configuration, lambda c: c["pools"]["site"].update(balance="random")))
    for turn in range(20):
        done(weir, "drain" if turn % 2 == 0 else "enable", "one")
    entries = ask(weir.admin_path, "/lb/history").json()["entries"]
    assert len(entries) == 16 and [e["source"] for e in entries[:3]] == ["start", "sighup", "backends"]
    assert entries[-1]["number"] == 22


def test_an_upgrade_takes_it_along(start_two, new_server):
    weir = start_two()
    third = new_server(greet_with("three"))
    done(weir, "drain", "one")
    done(weir, "weight", "two", {"weight": 4})
    done(weir, "add", body={"pool": "site", "name": "three", "address": address_of(third)})
    weir.upgrade()
    assert names(weir, 12).keys() == {"two", "three"}
    assert [shown(weir, n)["differs"] for n in ("one", "two", "three")] == [["state"], ["weight"], ["added"]]
    assert shown(weir, "one")["state"] == "draining" and shown(weir, "two")["weight"] == 4
    assert done(weir, "enable", "one")["backend"]["differs"] == []
    assert names(weir, 40).keys() == {"one", "two", "three"}


# -- The commands


def test_the_commands_say_what_is_in_force(start_two, new_server):
    weir = start_two()
    third = new_server(greet_with("three"))

    def run(*words):
        return run_weir("backend", *words, "-c", str(weir.configuration_path))

    address = text_of(weir.servers["one"].listener.getsockname())
    for words, line in (
        (["drain", "site", "one"], f"backend one of pool site: draining, weight 1, at {address}"),
        (["drain", "site", "one"], f"backend one of pool site: draining, weight 1, at {address} (as it was)"),
        (["weight", "site", "one", "5"], f"backend one of pool site: draining, weight 5, at {address}"),
        (["enable", "site", "one"], f"backend one of pool site: enabled, weight 5, at {address}"),
        (["disable", "site", "two"], None),
        (
            ["add", "site", "three", address_of(third), "--weight", "2", "--max-sessions", "9"],
            f"backend three of pool site: enabled, weight 2, at {address_of(third)}",
        ),
        (["remove", "site", "two"], "backend two of pool site: removed"),
    ):
        ended = run(*words)
        assert ended.returncode == 0 and ended.stderr == "", ended
        assert line is None or ended.stdout == line + "\n"
    assert shown(weir, "three")["max_sessions"] == 9
    status = run_weir("status", "-c", str(weir.configuration_path)).stdout
    assert "not as in the file: site/one (weight), site/three (added), site/two (removed)\n" in status
    for words, text in (
        (["drain", "site", "onne"], "weir: pool site has no backend `onne`; did you mean `one`?\n"),
        (["drian", "site", "one"], "weir: unknown verb `drian`; did you mean `drain`?\n"),
        (["drain", "site"], "weir: NAME is missing\n"),
        (["weight", "site", "one", "x"], "weir: `x` is no weight\n"),
        (["enable", "site", "one", "--wait"], "weir: --wait belongs to `weir backend drain`"),
        (["enable", "site", "one", "--weight", "3"], "weir: --weight, --max-sessions and --backup belong to"),
    ):
        ended = run(*words)
        assert ended.returncode == 1 and ended.stdout == "" and ended.stderr.startswith(text), ended


def test_waiting_for_a_drain_ends_in_time_and_says_what_happened(start_admin, new_server):
    servers = [new_server(echo) for _ in range(2)]
    weir = start_admin(entry("a", servers[0]), entry("b", servers[1]), http=False, workers=1)
    clients = [weir.connect() for _ in range(4)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    command = ["backend", "drain", "site", "a", "--wait", "--admin", weir.admin_path]
    ended = run_weir(*command, "--timeout", "0")
    assert ended.returncode == 1 and ended.stdout.splitlines()[1:] == ["2 left"]
    assert ended.stderr == "weir: 2 left at a after 0 s; it goes on draining\n"
    waiting = subprocess.Popen([BINARY, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert re.match("backend a", waiting.stdout.readline()) and waiting.stdout.readline() == "2 left\n"
    done(weir, "enable", "a")
    assert waiting.communicate(timeout=30)[1] == "weir: a takes sessions again: it is healthy\n"
    assert waiting.returncode == 1
