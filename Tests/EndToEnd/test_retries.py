"""`retry`: when a request that a backend failed is sent to another one, and when it must not be."""

import threading
import time

import pytest

from http_peers import Client, Reader, request, response


def failing(how):
    """A backend that fails each request: by a status, by a reset, or by saying nothing for longer than anyone waits."""
    if isinstance(how, int):
        return lambda message: response(how, b"no")
    return lambda message: [None]


def retrying(**settings):
    return {"retry": {"attempts": 2, **settings}}


@pytest.fixture
def pair(start_http, new_script):
    """Weir before a bad backend and a good one, of which every other request meets the bad one first."""

    def start(how, **settings):
        bad, good = new_script(failing(how)), new_script()
        weir = start_http(bad, good, listener=retrying(**settings))
        return weir, bad, good

    return start


@pytest.mark.parametrize("how,on", [(503, ["503"]), (502, [500, 502]), ("reset", "reset")])
def test_another_backend_answers(pair, how, on):
    weir, bad, good = pair(how, on=on)
    client = Client(weir.connect())
    for _ in range(6):
        assert client.get("/x").status == 200
    assert len(good.requests) == 6 and 2 <= len(bad.requests) <= 4
    records = weir.wait_for_sessions(6)
    retried = [record for record in records if "retried" in record]
    assert len(retried) == len(bad.requests)
    for record in retried:
        assert record["retried"] == ("reset" if how == "reset" else "status")
        assert (record["attempts"], record["reason"], record["status"]) == (2, "ok", 200)


def test_a_status_that_is_not_named_is_passed_on(pair):
    weir, bad, good = pair(500, on=["503"])
    client = Client(weir.connect())
    assert sorted(client.get().status for _ in range(4)) == [200, 200, 500, 500]


@pytest.mark.parametrize("harmful", [False, True])
def test_a_request_that_might_do_harm_needs_leave(pair, harmful):
    weir, bad, good = pair(503, on=["503"], non_idempotent=harmful)
    client = Client(weir.connect())
    statuses = sorted(client.ask(request("POST", body=b"once"), method="POST").status for _ in range(4))
    assert statuses == ([200] * 4 if harmful else [200, 200, 503, 503])
    assert len(good.requests) == (4 if harmful else 2)
    assert all(message.body == b"once" for message in good.requests)


def test_the_last_answer_is_passed_on_when_all_fail(start_http, new_script):
    scripts = [new_script(failing(503)) for _ in range(2)]
    weir = start_http(*scripts, listener=retrying(on=["503"], attempts=3))
    client = Client(weir.connect())
    answer = client.get()
    assert (answer.status, answer.body) == (503, b"no")
    # Each of them twice: nobody is left out, and nobody has more than his turn.
    assert [len(script.requests) for script in scripts] == [2, 2]
    assert weir.wait_for_session()["attempts"] == 4


def test_a_backend_that_takes_too_long_for_a_try(start_http, new_script):
    release = threading.Event()

    def hang(message):
        release.wait(20)
        return [None]

    slow, good = new_script(hang), new_script()
    weir = start_http(slow, good, listener=retrying(on="timeout", per_try="200ms"))
    client = Client(weir.connect())
    began = time.monotonic()
    assert [client.get().status for _ in range(2)] == [200, 200]
    assert time.monotonic() - began < 10
    release.set()
    retried = [record for record in weir.wait_for_sessions(2) if "retried" in record]
    assert [record["retried"] for record in retried] == ["timeout"]


def test_a_pool_whose_backends_all_refuse_is_tried_again(start_http, refusing):
    address = refusing()
    weir = start_http(address, listener=retrying(on="connect", attempts=10))
    client = Client(weir.connect())
    client.send(request())
    assert client.response().status == 503
    record = weir.wait_for_session()
    assert record["attempts"] == 11 and record["retried"] == "connect" and record["reason"] == "no_backend"


def test_pipelined_requests_keep_their_order(pair):
    weir, bad, good = pair(503, on=["503"])
    client = Client(weir.connect())
    client.send(b"".join(request(target=f"/{number}") for number in range(20)))
    for number in range(20):
        assert client.response().status == 200
    assert good.targets == [f"/{number}" for number in range(20)]


def test_the_budget_bounds_retries(start_http, backend):
    """Eight requests under way, none answered: more than three are not tried again together."""
    weir = start_http(backend, listener=retrying(on="reset", attempts=5, budget="0%"))
    clients = [Client(weir.connect()) for _ in range(8)]
    for client in clients:
        client.send(request())
    servers = [Reader(weir.keep(backend.accept()[0])) for _ in clients]
    for server in servers:
        server.request()
    for server in servers:
        server.sock.close()
    # Those that have a place in the budget come again; the others have their answer.
    again = [Reader(weir.keep(backend.accept()[0])) for _ in range(3)]
    for server in again:
        server.request()
        server.sock.sendall(response(body=b"late"))
    assert sorted(client.response().status for client in clients) == [200] * 3 + [502] * 5


def test_a_client_that_leaves_during_a_pause(start_http, refusing):
    weir = start_http(refusing(), listener=retrying(on="connect", attempts=10))
    for _ in range(5):
        client = Client(weir.connect())
        client.send(request())
        client.sock.close()
    assert all(record["attempts"] >= 1 for record in weir.wait_for_sessions(5))


def test_nothing_is_tried_again_without_the_key(start_http, new_script):
    bad = new_script(failing("reset"))
    weir = start_http(bad, new_script())
    assert sorted(Client(weir.connect()).get().status for _ in range(4)) == [200, 200, 502, 502]


def test_a_route_has_its_own(start_http, new_script):
    bad, good = new_script(failing(503)), new_script()
    routes = [
        {"match": {"path": "/never"}, "pool": "back", "retry": {"attempts": 0}},
        {"match": {"path": "/always"}, "pool": "back"},
    ]
    weir = start_http(bad, good, listener={"routes": routes, **retrying(on=["503"])})
    client = Client(weir.connect())
    assert [client.get("/always").status for _ in range(4)] == [200] * 4
    assert 503 in [client.get("/never").status for _ in range(4)]
