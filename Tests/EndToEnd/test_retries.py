"""`retry`: when a request that a backend failed is sent to another one, and when it must not be."""

import signal
import threading
import time

import pytest

from addresses import reset
from http_peers import Client, Reader, chunked, request, response


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


# -- What lies between a request and its next try


@pytest.mark.parametrize("early", [100, 103])
def test_an_interim_response_is_no_answer(start_http, new_script, early):
    """The client may have seen it: another try, or several, follow before the answer."""
    bad = new_script(lambda message: [response(early, body=None), None])
    good = new_script()
    weir = start_http(bad, good, listener=retrying(on="reset"))
    client = Client(weir.connect())
    answers = [client.get() for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert sum(len(answer.interim) for answer in answers) == len(bad.requests) == 2
    assert all(message.status == early for answer in answers for message in answer.interim)


def test_an_answer_that_has_begun_is_not_tried_again(pair):
    weir, bad, good = pair("reset", on=["reset", "503"])
    bad.answer = lambda message: [response(body=b"half of it", fields={"X-A": 1})[:-5], None]
    outcomes = []
    for _ in range(4):
        client = Client(weir.connect())
        client.send(request(fields={"Connection": "close"}))
        head = client.head()
        rest = client.ending()
        outcomes.append((head.status, rest == b"hello"))
    assert sorted(outcomes) == [(200, False)] * 2 + [(200, True)] * 2
    assert len(good.requests) == 2


def test_the_head_of_an_answer_alone_is_not_its_begin(pair):
    """The client has seen nothing of half a head."""
    weir, bad, good = pair("reset", on="reset")
    bad.answer = lambda message: [b"HTTP/1.1 200 OK\r\nContent-", None]
    client = Client(weir.connect())
    assert [client.get().status for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("body", [chunked(b"one", b"two"), chunked(b"x" * 3000, b"", b"y" * 3000)])
def test_chunks_are_sent_again(pair, body):
    weir, bad, good = pair(503, on=["503"])
    client = Client(weir.connect())
    ask = request("PUT", fields={"Transfer-Encoding": "chunked"}) + body
    assert [client.ask(ask, method="PUT").status for _ in range(4)] == [200] * 4
    assert len({message.body for message in good.requests + bad.requests}) == 1


def test_what_does_not_fit_a_buffer_is_sent_once(pair):
    weir, bad, good = pair(503, on=["503", "reset"])
    client = Client(weir.connect())
    ask = request("PUT", body=b"x" * 100_000)
    assert sorted(client.ask(ask, method="PUT").status for _ in range(4)) == [200, 200, 503, 503]
    assert len(good.requests) == 2
    assert all(len(message.body) == 100_000 for message in good.requests + bad.requests)


def test_a_body_that_waits_for_leave_is_sent_once(start_http, backend):
    """`Expect: 100-continue`: the body is not here when the request goes out."""
    weir = start_http(backend, listener=retrying(on=["503"], non_idempotent=True))
    client = Client(weir.connect())
    client.send(request("PUT", fields={"Expect": "100-continue", "Content-Length": 5}))
    server = Reader(weir.keep(backend.accept()[0]))
    assert server.head().get("expect") == "100-continue"
    server.sock.sendall(response(100, body=None))
    assert client.head().status == 100
    client.send(b"12345")
    assert server.exactly(5) == b"12345"
    server.sock.sendall(response(503, body=b"no"))
    assert client.response().status == 503
    # A refusal instead of the leave is passed on as well.
    client.send(request("PUT", fields={"Expect": "100-continue", "Content-Length": 5}))
    server.head()
    server.sock.sendall(response(503, body=b"no"))
    assert client.response().status == 503


def test_a_slow_connect_is_a_try_of_its_own_length(start_http, new_script, unanswering):
    good = new_script()
    weir = start_http(unanswering(), good, listener=retrying(on="timeout", per_try="200ms"))
    client = Client(weir.connect())
    began = time.monotonic()
    assert [client.get().status for _ in range(2)] == [200, 200]
    # The listener's own timeout is 5 s.
    assert time.monotonic() - began < 4


def test_a_half_closed_client_gets_its_next_try(pair):
    weir, bad, good = pair(503, on=["503"])
    for number in range(4):
        client = Client(weir.connect())
        client.send(request(target=f"/{number}") + request(target=f"/{number}b"))
        client.end()
        assert [client.response().status for _ in range(2)] == [200, 200]
        assert client.ending() == "fin"
    assert len(good.requests) == 8


@pytest.mark.parametrize("leave", [reset, lambda sock: sock.close()])
def test_clients_that_leave_between_tries_take_nothing_along(start_http, new_script, leave):
    """The budget is theirs no more: with what is left of it the last request is tried again."""
    bad = new_script(failing(503))
    weir = start_http(bad, listener=retrying(on=["503"], attempts=10, budget="0%"))
    for number in range(8):
        client = Client(weir.connect())
        client.send(request())
        if number % 2:
            # It may be in one of its pauses, or have its answer.
            client.is_silent(0.05)
        leave(client.sock)
    weir.wait_for_sessions(8)
    client = Client(weir.connect())
    assert client.get().status == 503
    assert weir.wait_for_sessions(9)[-1]["attempts"] == 11


def test_a_drain_ends_the_tries(start_http, refusing):
    """What was asked for is tried a last time; no pauses are begun any more."""
    weir = start_http(refusing(), listener=retrying(on="connect", attempts=10))
    clients = [Client(weir.connect()) for _ in range(3)]
    for client in clients:
        client.send(request())
        # Its tries have begun.
        client.is_silent(0.05)
    weir.signal(signal.SIGTERM)
    assert [client.response().status for client in clients] == [503] * 3
    weir.wait_for_end()


def test_tunnels_are_not_under_retry(start_http, new_script):
    """However long they last: three of them would use up the budget otherwise."""
    accepted = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

    def upgrade(message):
        return [accepted, b"welcome"] if message.get("upgrade") else response()

    bad, good = new_script(failing(503)), new_script(upgrade)
    weir = start_http(bad, good, listener=retrying(on=["503"], budget="0%"))
    clients = []
    for _ in range(12):
        client = Client(weir.connect())
        client.send(request(fields={"Connection": "Upgrade", "Upgrade": "echo"}))
        assert client.head().status == 101 and client.exactly(7) == b"welcome"
        clients.append(client)
    assert len(bad.requests) >= 4


def test_the_next_backend_may_be_full(start_http, new_backend, new_script):
    """A further try waits for its place as any other request does."""
    bad, good = new_script(failing(503)), new_backend()
    host, port = good.getsockname()
    weir = start_http(
        bad, {"name": "good", "address": f"{host}:{port}", "max_sessions": 1},
        listener=retrying(on=["503"], attempts=1))
    clients = [Client(weir.connect()) for _ in range(2)]
    for number, client in enumerate(clients):
        client.send(request(target=f"/{number}"))
    server = Reader(weir.keep(good.accept()[0]))
    first = server.request().target
    server.sock.sendall(response(body=b"good"))
    assert clients[int(first[1:])].response().body == b"good"
    # The other one: from whoever had a place, and once only.
    other = clients[1 - int(first[1:])]
    if other.is_silent(0.3):
        server.request()
        server.sock.sendall(response())
        assert other.response().status == 200
    else:
        assert other.response().status == 503


def test_times_are_those_of_the_last_try(start_http, new_script, refusing):
    """It connected once, and then no more: the log tells no time for that."""
    bad = new_script()

    def leave(message):
        bad.server.listener.close()
        return [None]

    bad.answer = leave
    weir = start_http(bad, listener=retrying(on="reset", attempts=2))
    client = Client(weir.connect())
    client.send(request())
    assert client.response().status == 503
    record = weir.wait_for_session()
    assert record["retried"] == "reset" and record["attempts"] >= 2
    assert "connect_us" not in record


def test_two_workers_share_a_budget(start_http, new_script):
    bad, good = new_script(failing(503)), new_script()
    weir = start_http(bad, good, listener=retrying(on=["503"], budget="100%"), workers=2)
    clients = [Client(weir.connect()) for _ in range(16)]
    for round in range(5):
        for client in clients:
            client.send(request(target=f"/{round}"))
        assert [client.response().status for client in clients] == [200] * 16
    assert len(good.requests) == 80
