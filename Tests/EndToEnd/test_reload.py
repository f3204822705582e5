"""SIGHUP and `watch: true`: a file is applied anew, all of it or nothing, and nobody who is connected notices."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from addresses import free_port, text_of
from conftest import address_of
from deadlines import wait_until
from http_peers import Script
from servers import Server, echo, greet_with
from streams import ending_of, exchange, receive_to_end
from weir_process import run_weir


def write(weir, configuration):
    """As editors and deployments do it: a whole file takes the place of the old one."""
    weir.configuration = configuration
    fresh = weir.configuration_path.with_suffix(".new")
    fresh.write_text(json.dumps(configuration, indent=1))
    os.replace(fresh, weir.configuration_path)


def reload(weir, configuration):
    """Answers the event of the reload."""
    count = len(weir.events("reloaded")) + len(weir.events("reload_failed"))
    write(weir, configuration)
    weir.signal(signal.SIGHUP)

    def outcome():
        events = [e for e in weir.events() if e["event"] in ("reloaded", "reload_failed")]
        return events[count:]

    return wait_until(outcome, "the reload to end")[-1]


def changed(configuration, change):
    """A copy that `change` has worked on."""
    copy = json.loads(json.dumps(configuration))
    change(copy)
    return copy


def name_of(client):
    """What a `greet_with` backend calls itself."""
    client.shutdown(socket.SHUT_WR)
    return receive_to_end(client).decode()


def set_backends(*backends):
    def change(configuration):
        configuration["pools"]["back"]["backends"] = [address_of(b) for b in backends]

    return change


@pytest.mark.parametrize("workers", [1, 2])
def test_new_sessions_go_to_the_new_backends_and_old_ones_stay(start_weir, new_backend, workers):
    old, new = new_backend(), new_backend()
    weir = start_weir(old, workers=workers)
    client, server = weir.pair(old)
    exchange(client, server)
    event = reload(weir, changed(weir.configuration, set_backends(new)))
    assert (event["event"], event["number"]) == ("reloaded", 2)
    assert f"backend back/{text_of(old.getsockname())} removed" in event["changed"]
    for _ in range(8):
        exchange(*weir.pair(new))
    exchange(client, server)
    client.close()
    assert receive_to_end(server) == b""
    server.close()
    assert weir.wait_for_sessions(1)[0]["backend"] == text_of(old.getsockname())


def test_a_bad_file_changes_nothing_and_the_event_says_why(start_weir, backend):
    weir = start_weir(backend)
    good = weir.configuration
    client, server = weir.pair(backend)
    event = reload(weir, changed(good, lambda c: c["pools"]["back"].update(balance="nonsense")))
    assert (event["event"], event["number"]) == ("reload_failed", 1)
    assert "nonsense" in event["cause"] and "weir.yaml:" in event["cause"]
    taken = socket.socket()
    taken.bind(("127.0.0.1", free_port()))
    taken.listen()

    def bind_what_is_taken(c):
        c["listeners"]["other"] = {"bind": text_of(taken.getsockname()), "pool": "back"}
        c["pools"]["back"]["backends"] = ["127.0.0.1:1"]

    event = reload(weir, changed(good, bind_what_is_taken))
    assert event["event"] == "reload_failed" and "another process has it" in event["cause"]
    taken.close()
    weir.configuration = good
    exchange(client, server)
    exchange(*weir.pair(backend))
    assert reload(weir, good)["event"] == "reloaded"


def test_listeners_come_and_go(start_weir, backend, short_folder):
    weir = start_weir(backend, workers=2)
    before = weir.configuration
    paths = {"tcp": f"127.0.0.1:{free_port()}", "unix": f"unix:{short_folder}/other"}
    for bind in paths.values():
        after = changed(before, lambda c: c["listeners"].update(other={"bind": bind, "pool": "back"}))
        kept, kept_server = weir.pair(backend)
        assert reload(weir, after)["event"] == "reloaded"
        client, server = weir.pair(backend, listener="other")
        exchange(client, server)
        sockets = weir.socket_count()
        assert reload(weir, before)["event"] == "reloaded"
        with pytest.raises(OSError):
            weir.connect_to(bind)
        exchange(client, server)
        exchange(kept, kept_server)
        wait_until(lambda: weir.socket_count() < sockets, "the listener's sockets to be closed")
        assert reload(weir, after)["event"] == "reloaded"
        exchange(*weir.pair(backend, listener="other"))
        assert reload(weir, before)["event"] == "reloaded"


def test_a_listener_that_is_renamed_refuses_nobody(start_weir, backend):
    weir = start_weir(backend, workers=2)
    client, server = weir.pair(backend)
    after = changed(
        weir.configuration,
        lambda c: c["listeners"].update(renamed=c["listeners"].pop("front")))
    assert reload(weir, after)["event"] == "reloaded"
    exchange(client, server)
    exchange(*weir.pair(backend))
    client.close()
    assert receive_to_end(server) == b""
    server.close()
    assert weir.wait_for_sessions(1)[0]["listener"] == "front"


def test_counts_go_on_with_another_policy(start_weir, new_server):
    one, other = new_server(greet_with("one")), new_server(greet_with("other"))
    weir = start_weir(one, other, pool={"balance": "round_robin"})
    held = [weir.connect() for _ in range(4)]
    assert sorted(client.recv(16) for client in held) == [b"one", b"one", b"other", b"other"]
    third = new_server(greet_with("third"))

    def use_least_connections(c):
        c["pools"]["back"]["balance"] = "least_connections"
        c["pools"]["back"]["backends"] = [address_of(third), address_of(other), address_of(one)]

    assert reload(weir, changed(weir.configuration, use_least_connections))["event"] == "reloaded"
    # Two sessions each at the old ones: the next two go to the third, whichever place it has.
    names = []
    for _ in range(2):
        client = weir.connect()
        names.append(client.recv(16))
    assert names == [b"third", b"third"]


def test_a_limit_of_a_backend_counts_sessions_from_before(start_weir, new_backend):
    backend = new_backend()
    weir = start_weir(backend)
    client, server = weir.pair(backend)

    def limit(c):
        c["pools"]["back"]["backends"] = [{"address": address_of(backend), "max_sessions": 1}]
        c["pools"]["back"]["breaker"] = {"max_pending": 0}

    assert reload(weir, changed(weir.configuration, limit))["event"] == "reloaded"
    assert receive_to_end(weir.connect()) == b""
    client.close()
    assert receive_to_end(server) == b""
    server.close()
    weir.wait_for_sessions(2)
    exchange(*weir.pair(backend))


def test_clients_come_back_to_their_backend_wherever_it_stands(start_weir, new_server):
    servers = {name: new_server(greet_with(name)) for name in ("a", "b", "c")}
    pool = {"affinity": {"client_ip": True}}
    weir = start_weir(*servers.values(), pool=pool)
    sources = [f"127.0.0.{n}" for n in range(2, 14)]
    had = {source: name_of(weir.connect(source=source)) for source in sources}
    assert len(set(had.values())) == 3
    turned = [servers["c"], servers["a"], servers["b"]]
    assert reload(weir, changed(weir.configuration, set_backends(*turned)))["event"] == "reloaded"
    assert {source: name_of(weir.connect(source=source)) for source in sources} == had
    without = [servers["a"], servers["b"]]
    assert reload(weir, changed(weir.configuration, set_backends(*without)))["event"] == "reloaded"
    now = {source: name_of(weir.connect(source=source)) for source in sources}
    assert all(now[source] == name for source, name in had.items() if name != "c")


def test_requests_go_by_the_new_routes_on_the_same_connection(start_http, new_script):
    one, other = new_script(), new_script()
    weir = start_http(one)

    def request(client):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return receive_head(client)

    client = weir.connect()
    assert request(client).startswith(b"HTTP/1.1 200")
    requests = len(one.requests)
    assert reload(weir, changed(weir.configuration, set_backends(other)))["event"] == "reloaded"
    assert request(client).startswith(b"HTTP/1.1 200")
    assert len(one.requests) == requests

    def answer_itself(c):
        c["listeners"]["front"]["routes"] = [{"match": {"path": "/"}, "respond": {"status": 418, "body": "x"}}]

    assert reload(weir, changed(weir.configuration, answer_itself))["event"] == "reloaded"
    assert request(client).startswith(b"HTTP/1.1 418")


def receive_head(client):
    """One response with a short body that comes at once."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int([l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")][0].split(b":")[1])
    while len(body) < length:
        body += client.recv(4096)
    return data


def test_what_needs_a_restart_is_named_and_the_rest_is_applied(start_weir, new_server):
    one, other = new_server(greet_with("one")), new_server(greet_with("other"))
    weir = start_weir(one)

    def change(c):
        c["limits"] = {"sessions": 100}
        set_backends(other)(c)

    event = reload(weir, changed(weir.configuration, change))
    assert event["event"] == "reloaded" and "limits.sessions: 16384 -> 100" in event["needs_restart"]
    assert name_of(weir.connect()) == "other"


def test_a_watched_file_is_applied_by_itself(start_weir, new_server):
    one, other = new_server(greet_with("one")), new_server(greet_with("other"))
    weir = start_weir(one)
    assert reload(weir, changed(weir.configuration, lambda c: c.update(watch=True)))["event"] == "reloaded"
    write(weir, changed(weir.configuration, set_backends(other)))
    assert weir.wait_for_event("reloaded", count=2)["number"] == 3
    assert name_of(weir.connect()) == "other"
    weir.configuration_path.write_text("nonsense: [")
    weir.wait_for_event("reload_failed")
    assert name_of(weir.connect()) == "other"


class Load(threading.Thread):
    """Requests one after the other: on one connection, or each on a new one."""

    def __init__(self, weir, keeps):
        super().__init__(daemon=True)
        self.weir, self.keeps = weir, keeps
        self.requests, self.failures, self.is_over = 0, [], False

    def run(self):
        client = None
        while not self.is_over:
            try:
                client = client or socket.create_connection(self.address(), timeout=20)
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = receive_head(client)
                self.requests += 1
                if not head.startswith(b"HTTP/1.1 200"):
                    self.failures.append(head[:200])
                if not self.keeps or b"connection: close" in head.lower():
                    client.close()
                    client = None
            except (OSError, IndexError) as failure:
                self.failures.append(repr(failure))
                client = None

    def address(self):
        host, _, port = self.weir.configuration["listeners"]["front"]["bind"].rpartition(":")
        return host, int(port)


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_under_load_break_nothing_and_leave_nothing(
    start_http, new_script, new_server, workers, measured
):
    scripts = [new_script() for _ in range(3)]
    weir = start_http(*scripts, workers=workers)
    echoing = new_server(echo)
    tunnel = f"127.0.0.1:{free_port()}"
    first = changed(
        weir.configuration,
        lambda c: (
            c["listeners"].update(long={"bind": tunnel, "pool": "long"}),
            c["pools"].update(long={"backends": [address_of(echoing)]}),
        ))
    assert reload(weir, first)["event"] == "reloaded"
    long_sessions = [weir.connect_to(tunnel) for _ in range(40)]
    # Records of both modes: the books are not made for that.
    weir.owns_access_log = False
    loads = [Load(weir, keeps) for keeps in (True, True, False)]
    for load in loads:
        load.start()
    other = f"127.0.0.1:{free_port()}"
    policies = ["round_robin", "least_connections", "random", "power_of_two", "peak_ewma", "consistent_hash"]

    def variant(c, turn):
        pool = c["pools"]["back"]
        pool["balance"] = policies[turn % len(policies)]
        if pool["balance"] == "consistent_hash":
            pool["hash"] = {"key": "client_ip"}
        chosen = scripts[: 1 + turn % 3] if turn % 2 else scripts[turn % 3:]
        pool["backends"] = [{"address": address_of(s), "weight": 1 + turn % 4} for s in chosen]
        c["pools"]["long"]["balance"] = policies[turn % 5]
        if turn % 3 == 0:
            c["listeners"]["other"] = {"bind": other, "mode": "http", "pool": "back"}

    def reload_often(turns):
        for turn in turns:
            event = reload(weir, changed(first, lambda c: variant(c, turn)))
            assert event["event"] == "reloaded", event
            client = long_sessions[turn % len(long_sessions)]
            client.sendall(b"%08d" % turn)
            assert client.recv(8, socket.MSG_WAITALL) == b"%08d" % turn

    reload_often(range(30))
    before = resident_bytes(weir.pid)
    reload_often(range(30, 150))
    after = resident_bytes(weir.pid)
    for load in loads:
        load.is_over = True
    for load in loads:
        load.join(30)
    requests = sum(load.requests for load in loads)
    measured(f"{requests} requests, resident {before >> 10} -> {after >> 10} KiB in 120 reloads")
    assert [load.failures for load in loads] == [[], [], []] and requests > 100
    for client in long_sessions:
        client.sendall(b"still there")
        assert client.recv(11, socket.MSG_WAITALL) == b"still there"
        client.close()
    assert after - before < 3 << 20


def test_plan_says_what_would_change(tmp_path):
    def file(name, configuration):
        path = tmp_path / name
        path.write_text(json.dumps(configuration))
        return str(path)

    before = {
        "listeners": {"a": {"bind": "127.0.0.1:1", "pool": "p"}},
        "pools": {"p": {"backends": [{"name": "x", "address": "127.0.0.1:2"}, "127.0.0.1:3"]}},
    }
    after = changed(before, lambda c: (
        c.update(workers=3), c["pools"]["p"].update(balance="random"),
        c["pools"]["p"]["backends"].pop(), c["pools"]["p"]["backends"][0].update(weight=5),
        c["listeners"].update(b={"bind": "127.0.0.1:4", "pool": "p"})))
    plan = run_weir("plan", file("after", after), "-c", file("before", before))
    assert plan.returncode == 0 and plan.stderr == ""
    assert plan.stdout.splitlines() == [
        "~ the process",
        "    workers: auto -> 3",
        "    # a reload leaves these as they are; restart to apply them",
        "+ listener b at 127.0.0.1:4",
        "~ pool p",
        "    balance: round_robin -> random",
        "    # running sessions stay where they are",
        "~ backend x of pool p",
        "    weight: 1 -> 5",
        "    # its sessions stay, idle connections are kept",
        "- backend 127.0.0.1:3 of pool p",
        "    # its sessions run on for 1h at most, idle connections to it close",
    ]
    assert run_weir("plan", file("same", before), "-c", file("before", before)).stdout == "no difference\n"
