"""Backends that fail sessions and requests are taken out of rotation, and come back."""

import threading
import time

import pytest

from addresses import reset, text_of
from backend_process import BackendProcess
from deadlines import wait_until
from http_peers import Client, response
from servers import greet_with
from streams import receive_to_end

FAST = {"connect": "1s", "response_head": "300ms"}


@pytest.fixture
def new_process(request):
    def new(name):
        backend = BackendProcess(name)
        request.addfinalizer(backend.close)
        return backend

    return new


def passive(**rules):
    return {"health": {"passive": rules, "panic_below": "0%"}}


def get(weir, path="/"):
    """Status and body of one request on a connection of its own."""
    client = Client(weir.connect())
    answer = client.get(path)
    client.sock.close()
    return answer.status, answer.body.decode()


def changes(weir, to=None):
    return [event for event in weir.events("health") if to in (None, event["to"])]


def wait_for_change(weir, backend, to, count=1):
    def found():
        return [e for e in changes(weir, to) if e["backend"] == backend][count - 1:]

    return wait_until(found, f"{backend} {to}")[-1]


class Load:
    """Clients that send one request after the other, until told to stop."""

    def __init__(self, weir, clients=4):
        self.answers = []
        self._goes_on = True
        self._threads = [threading.Thread(target=self._run, args=[weir]) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, weir):
        while self._goes_on:
            self.answers.append(get(weir))

    def wait_for(self, count):
        target = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= target, f"{count} more answers")

    def stop(self):
        self._goes_on = False
        for thread in self._threads:
            thread.join()


def test_a_killed_backend_is_ejected_under_load_and_readmitted(start_http, new_process):
    backends = [new_process(name) for name in "abc"]
    weir = start_http(
        workers=2,
        pool={"backends": [b.entry for b in backends], **passive(consecutive_failures=4, eject_for="1s")})
    load = Load(weir)
    try:
        load.wait_for(100)
        backends[1].kill()
        event = wait_for_change(weir, "b", "ejected")
        assert (event["pool"], event["from"], event["level"]) == ("back", "healthy", "warning")
        assert event["cause"].startswith("4 consecutive ") and event["cause"].endswith("back in 1 s")
        assert event["back_in_ms"] == 1000 and event["repetition"] == 1
        load.wait_for(50)
        backends[1].start()
        # It may have been tried and ejected again before it was there.
        wait_until(lambda: changes(weir)[-1]["to"] == "healthy", "the last ejection is over")
        seen = len(load.answers)
        wait_until(lambda: (200, "b") in load.answers[seen:], "b serves again")
    finally:
        load.stop()
    weir.wait_for_sessions(len(load.answers))
    # Four failures eject: those that were under way beside them may fail too, nobody else does.
    ejections = len(changes(weir, "ejected"))
    failed = [r for r in weir.sessions() if r["status"] != 200 or r["attempts"] > 1]
    assert 4 <= len(failed) <= ejections * (4 + 4 + 4)
    # Who is refused goes on to the next: only requests that the dead one had under way were lost.
    assert {status for status, _ in load.answers} <= {200, 502}
    assert sum(status == 502 for status, _ in load.answers) <= 4
    out = [r for r in weir.sessions() if r["pick"].get("excluded") == {"ejected": 1}]
    # But one for each trial.
    assert len(out) >= 40
    assert sum(r["backend"] == "b" for r in out) <= len(weir.events("trial"))


def test_a_refusing_backend_gets_so_many_sessions_and_no_more(start_weir, new_server, refusing):
    good = new_server(greet_with("good"))
    weir = start_weir(pool={
        "backends": [{"name": "bad", "address": refusing()},
                     {"name": "good", "address": text_of(good.listener.getsockname())}],
        **passive(consecutive_failures=3, eject_for="1h", max_eject_for="1h")})
    for _ in range(30):
        with weir.connect() as client:
            assert receive_to_end(client) == b"good"
    records = weir.wait_for_sessions(30)
    assert sum(record["attempts"] - 1 for record in records) == 3
    event = wait_for_change(weir, "bad", "ejected")
    assert event["cause"].startswith("3 consecutive connect_refused in ")
    assert event["cause"].endswith("; back in 3600 s")


def test_off_is_off(start_weir, new_server, refusing):
    good = new_server(greet_with("good"))
    weir = start_weir(refusing(), good, pool={"health": {"passive": "off"}})
    for _ in range(20):
        with weir.connect() as client:
            assert receive_to_end(client) == b"good"
    assert sum(record["attempts"] - 1 for record in weir.wait_for_sessions(20)) == 10
    assert changes(weir) == []


def test_resets_before_a_byte_eject_and_resets_behind_one_do_not(start_weir, new_server):
    def reset_at_once(connection):
        connection.recv(1)
        reset(connection)

    def reset_later(connection):
        connection.recv(1)
        connection.sendall(b"x")
        connection.recv(1)
        reset(connection)

    servers = {"now": new_server(reset_at_once), "later": new_server(reset_later)}
    weir = start_weir(pool={
        "backends": [{"name": name, "address": text_of(server.listener.getsockname())}
                     for name, server in servers.items()],
        **passive(consecutive_failures=2, eject_for="1h", max_eject_for="1h")})
    for number in range(20):
        client = weir.connect()
        client.sendall(b"1")
        try:
            if client.recv(1) == b"x":
                client.sendall(b"2")
                client.recv(1)
        except ConnectionResetError:
            pass
        weir.wait_for_sessions(number + 1)
    assert wait_for_change(weir, "now", "ejected")["cause"].startswith("2 consecutive backend_reset in ")
    assert servers["now"].accepted == 2
    assert [event["backend"] for event in changes(weir)] == ["now"]


def test_statuses_of_5xx_eject_and_others_do_not(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(pool={
        "backends": [b.entry for b in backends],
        **passive(consecutive_failures=3, eject_for="1h", max_eject_for="1h")})
    for status in (400, 404, 429, 499):
        for _ in range(10):
            assert get(weir, f"/status/{status}")[0] == status
    assert changes(weir) == []
    answers = [get(weir, "/status/503") for _ in range(20)]
    assert [status for status, _ in answers] == [503] * 20
    # Half of the pool may be ejected, and one is; the other goes on, ill as it is.
    (event,) = wait_until(lambda: changes(weir), "an ejection")
    assert event["cause"].startswith("3 consecutive status_5xx in ")
    assert min(sum(name == n for _, name in answers) for n in "ab") == 3


def test_clients_that_leave_eject_nobody(start_http, new_script):
    released = threading.Event()

    def answer(request):
        if request.target == "/late":
            released.wait(30)
        return response(body=b"here")

    weir = start_http(
        new_script(answer), pool=passive(consecutive_failures=1, max_ejected="100%", eject_for="1h", max_eject_for="1h"))
    # Without a request, with half of one, and resets with a whole one that is not answered.
    for number in range(10):
        weir.connect().close()
        client = weir.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        client.close()
        client = weir.connect()
        client.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        reset(client)
    assert Client(weir.connect()).get().status == 200
    released.set()
    stopped = weir.stop()
    assert stopped is not None and changes(weir) == []


def test_a_backend_that_hangs_is_ejected_by_the_timeout(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(
        listener={"timeouts": FAST},
        pool={"backends": [b.entry for b in backends], **passive(consecutive_failures=2, eject_for="700ms")})
    backends[0].stop()
    answers = [get(weir) for _ in range(12)]
    assert [status for status, _ in answers].count(504) == 2
    event = wait_for_change(weir, "a", "ejected")
    assert event["cause"].startswith("2 consecutive timeout_response_head in ")
    backends[0].go_on()
    wait_until(lambda: get(weir) and changes(weir, "healthy"), "a is well again")
    assert {name for _, name in (get(weir) for _ in range(8))} == {"a", "b"}


def test_one_request_at_a_time_is_on_trial_and_the_first_that_goes_well_ends_it(
        start_http, new_script, new_process):
    released = threading.Event()
    seen = []

    def answer(request):
        seen.append(request.target)
        if request.target == "/bad":
            return response(503)
        released.wait(30)
        return response(body=b"a")

    script, other = new_script(answer), new_process("b")
    weir = start_http(workers=2, pool={
        "backends": [{"name": "a", "address": "%s:%d" % script.server.listener.getsockname()}, other.entry],
        **passive(consecutive_failures=2, eject_for="2s")})
    wait_until(lambda: get(weir, "/bad") and changes(weir, "ejected"), "a is ejected")
    weir.wait_for_event("trial")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get(weir))) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) == 7, "all but one are answered")
    answers += [get(weir) for _ in range(8)]
    assert seen.count("/") == 1 and set(answers) == {(200, "b")}
    released.set()
    event = wait_for_change(weir, "a", "healthy")
    assert event["cause"].startswith("a session on trial went well, ") and event["from"] == "ejected"
    for thread in threads:
        thread.join()
    assert {get(weir)[1] for _ in range(8)} == {"a", "b"}


def test_a_failure_on_trial_ejects_again_for_longer(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(pool={
        "backends": [b.entry for b in backends], **passive(consecutive_failures=2, eject_for="300ms")})
    backends[0].kill()
    events = wait_until(lambda: get(weir) and changes(weir)[2:], "three ejections")
    lengths = [event["back_in_ms"] for event in changes(weir)[:3]]
    assert lengths == [300, 600, 1200] and events[0]["from"] == events[0]["to"] == "ejected"
    assert events[0]["cause"] == "connect_refused on trial; back in 1.2 s"
    # A request on trial goes on to the other one.
    assert {record["status"] for record in weir.sessions()} == {200}


def test_all_dead_is_answered_at_once_and_ends(start_http, new_process):
    backends = [new_process(name) for name in "ab"]
    weir = start_http(
        listener={"timeouts": FAST},
        pool={"backends": [b.entry for b in backends],
              **passive(consecutive_failures=1, max_ejected="100%", eject_for="500ms", max_eject_for="500ms")})
    assert get(weir)[0] == 200
    for backend in backends:
        backend.kill()
    for _ in range(20):
        began = time.monotonic()
        assert get(weir)[0] in (502, 503)
        assert time.monotonic() - began < 1
    wait_until(lambda: len(changes(weir, "ejected")) >= 2, "both are ejected")
    for backend in backends:
        backend.start()
    wait_until(lambda: {get(weir) for _ in range(8)} == {(200, "a"), (200, "b")}, "both serve again")


def test_where_nobody_is_well_all_are_tried(start_weir, refusing):
    weir = start_weir(
        refusing(), refusing(),
        pool={"health": {"passive": {"consecutive_failures": 1, "max_ejected": "100%"}, "panic_below": "50%"}})
    for _ in range(3):
        with weir.connect() as client:
            assert receive_to_end(client) == b""
    assert weir.wait_for_event("panic")["usable"] == 0
    records = weir.wait_for_sessions(3)
    assert records[-1]["attempts"] == 2
    assert records[-1]["pick"]["panic"] is True
    assert records[-1]["pick"]["excluded"] == {"ejected": 2}
