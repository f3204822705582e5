"""`keep_alive.batch`: small GET requests of one moment share a connection to their backend; each client gets its own
answer, and whoever stands behind one that fails, lasts or leaves is asked for again."""

import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from addresses import free_port, reset
from conftest import address_of
from deadlines import wait_until
from http_peers import Client, Reader, request, response


def together(weir, sent):
    """All that is sent in one moment: Weir sleeps until everything has arrived. `sent` pairs clients with bytes."""
    weir.signal(signal.SIGSTOP)
    wait_until(lambda: state_of(weir.pid) == "T", "Weir sleeps")
    for client, data in sent:
        client.send(data)
    weir.signal(signal.SIGCONT)


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def accepted(weir, backend):
    return Reader(weir.keep(backend.accept()[0]))


def answer(server, target):
    server.sock.sendall(response(body=target.encode()))


class Moment:
    """A backend that the test plays itself, with one connection to it that waits; and clients that ask at once."""

    def __init__(self, weir, backend, count):
        self.weir, self.backend = weir, backend
        self.clients = [Client(weir.connect()) for _ in range(count)]
        self.clients[0].send(request("GET", "/first"))
        self.server = self.accept()
        assert self.server.request().target == "/first"
        answer(self.server, "/first")
        assert self.clients[0].response().body == b"/first"
        weir.wait_for_sessions(1)

    def accept(self):
        return accepted(self.weir, self.backend)

    def ask(self, *targets):
        together(self.weir, [(client, request("GET", target)) for client, target in zip(self.clients, targets)])

    def seen(self, count):
        """The next requests on the connection that waited."""
        return [self.server.request().target for _ in range(count)]

    def answer_elsewhere(self, count):
        """Answers so many requests, each of which comes on a connection of its own."""
        targets = []
        for _ in range(count):
            server = self.accept()
            targets.append(server.request().target)
            answer(server, targets[-1])
        return sorted(targets)

    def check(self, *targets):
        for client, target in zip(self.clients, targets):
            if target is not None:
                got = client.response()
                assert (got.status, got.body) == (200, target.encode())


@pytest.fixture
def begin(start_http, backend):
    def begin(count=4, batch=8, listener=None, **pool):
        keep_alive = {"batch": batch, **pool.pop("keep_alive", {})}
        weir = start_http(backend, listener=listener, pool={"keep_alive": keep_alive, **pool})
        return Moment(weir, backend, count)

    return begin


def test_requests_of_one_moment_share_a_connection(begin):
    moment = begin()
    for _ in range(3):
        moment.ask("/a", "/b", "/c", "/d")
        targets = moment.seen(4)
        assert sorted(targets) == ["/a", "/b", "/c", "/d"]
        # In one piece, cut anywhere.
        data = b"".join(response(body=target.encode()) for target in targets)
        moment.server.sock.sendall(data[:70])
        moment.server.sock.sendall(data[70:])
        moment.check("/a", "/b", "/c", "/d")


def test_a_batch_has_no_more_than_it_may(begin):
    moment = begin(count=5, batch=3)
    moment.ask("/1", "/2", "/3", "/4", "/5")
    targets = moment.seen(3)
    others = moment.answer_elsewhere(2)
    assert sorted(targets + others) == ["/1", "/2", "/3", "/4", "/5"]
    for target in targets:
        answer(moment.server, target)
    moment.check("/1", "/2", "/3", "/4", "/5")


def test_nobody_shares_unless_told_to(start_http, backend):
    moment = Moment(start_http(backend), backend, 3)
    moment.ask("/a", "/b", "/c")
    targets = moment.seen(1)
    others = moment.answer_elsewhere(2)
    assert sorted(targets + others) == ["/a", "/b", "/c"]
    answer(moment.server, targets[0])
    moment.check("/a", "/b", "/c")


def test_only_plain_gets_share(begin):
    moment = begin(count=6)
    asked = [
        request("GET", "/get"), request("HEAD", "/head"), request("POST", "/post", body=b"x"),
        request("GET", "/body", body=b"x"), request("GET", "/long?" + "x" * 3000), request("GET", "/too"),
    ]
    together(moment.weir, list(zip(moment.clients, asked)))
    servers = [moment.server] + [moment.accept() for _ in range(4)]
    by_target = {}
    for server in servers:
        by_target[server.request().target.partition("?")[0]] = server
    # Whichever GET was first has the other one behind it, on whatever connection.
    shared = by_target.get("/get") or by_target.get("/too")
    behind = shared.request().target
    assert sorted([*by_target, behind]) == ["/body", "/get", "/head", "/long", "/post", "/too"]
    by_target[behind] = shared
    order = ["/get", "/too"] if behind == "/too" else ["/too", "/get"]
    for target in ("/post", "/body", "/long", *order):
        answer(by_target[target], target)
    by_target["/head"].sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    for client, target in zip(moment.clients, ("/get", "/head", "/post", "/body", "/long", "/too")):
        got = client.response("HEAD" if target == "/head" else "GET")
        assert (got.status, got.body) == (200, b"" if target == "/head" else target.encode())


@pytest.mark.parametrize("how", ["fin", "says close", "reset"])
def test_those_behind_one_that_ends_the_connection_are_sent_again(begin, how):
    moment = begin()
    moment.ask("/a", "/b", "/c", "/d")
    targets = moment.seen(4)
    fields = {"Connection": "close"} if how == "says close" else {}
    moment.server.sock.sendall(response(body=targets[0].encode(), fields=fields))
    # The first answer is there before anything else happens.
    moment.weir.wait_for_sessions(2)
    if how == "reset":
        reset(moment.server.sock)
    elif how == "fin":
        moment.server.sock.close()
    assert moment.answer_elsewhere(3) == sorted(targets[1:])
    moment.check("/a", "/b", "/c", "/d")
    assert moment.weir.wait_for_sessions(5)[-1]["reason"] == "ok"


def test_an_answer_that_breaks_off_breaks_nobody_elses(begin):
    moment = begin(count=3)
    moment.ask("/a", "/b", "/c")
    targets = moment.seen(3)
    answer(moment.server, targets[0])
    moment.server.sock.sendall(response(body=b"x" * 100)[:-50])
    moment.weir.wait_for_sessions(2)
    moment.server.sock.close()
    assert moment.answer_elsewhere(1) == targets[2:]
    clients = dict(zip(("/a", "/b", "/c"), moment.clients))
    assert clients[targets[0]].response().body == targets[0].encode()
    assert clients[targets[2]].response().body == targets[2].encode()
    with pytest.raises(ConnectionResetError):
        clients[targets[1]].response()
        clients[targets[1]].to_end()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_client_that_leaves_takes_nobodys_answer_along(begin, place):
    moment = begin(count=4)
    moment.ask("/a", "/b", "/c", "/d")
    targets = moment.seen(4)
    clients = dict(zip(("/a", "/b", "/c", "/d"), moment.clients))
    reset(clients[targets[place]].sock)
    assert moment.answer_elsewhere(3 - place) == sorted(targets[place + 1:])
    for target in targets[:place]:
        answer(moment.server, target)
    for target in targets:
        if target != targets[place]:
            assert clients[target].response().body == target.encode()
    # An answer would come for nobody: the connection is not used again.
    assert moment.server.sock.recv(1) == b""


def test_nobody_waits_behind_a_long_answer(begin):
    moment = begin(count=3)
    moment.ask("/a", "/b", "/c")
    targets = moment.seen(3)
    long = response(body=b"x" * 1_000_000)
    moment.server.sock.sendall(long[:10_000])
    assert moment.answer_elsewhere(2) == sorted(targets[1:])
    clients = dict(zip(("/a", "/b", "/c"), moment.clients))
    for target in targets[1:]:
        assert clients[target].response().body == target.encode()
    moment.server.sock.sendall(long[10_000:])
    assert len(clients[targets[0]].response().body) == 1_000_000


def test_nobody_waits_long_behind_a_slow_answer(begin):
    moment = begin(count=3)
    moment.ask("/a", "/b", "/c")
    targets = moment.seen(3)
    assert moment.answer_elsewhere(2) == sorted(targets[1:])
    answer(moment.server, targets[0])
    moment.check("/a", "/b", "/c")
    moment.weir.wait_for_sessions(4)
    # For a while each has a connection of its own: the two of just now, and a new one.
    moment.ask("/a", "/b", "/c")
    assert moment.answer_elsewhere(1)[0] in ("/a", "/b", "/c")


def test_those_that_share_count_at_their_backend(start_http, backend):
    limited = {"address": address_of(backend), "max_sessions": 3}
    weir = start_http(limited, pool={"keep_alive": {"batch": 8}, "breaker": {"max_pending": 10}})
    moment = Moment(weir, backend, 5)
    moment.ask("/1", "/2", "/3", "/4", "/5")
    targets = moment.seen(3)
    assert Client(moment.server.sock).is_silent()
    answer(moment.server, targets[0])
    # The fourth follows when the first is answered, on a connection of its own.
    fourth = moment.accept()
    targets.append(fourth.request().target)
    answer(fourth, targets[3])
    # And the fifth on that one.
    targets.append(fourth.request().target)
    answer(fourth, targets[4])
    for target in targets[1:3]:
        answer(moment.server, target)
    moment.check("/1", "/2", "/3", "/4", "/5")


def test_a_connection_serves_no_more_than_it_may(begin):
    moment = begin(count=4, keep_alive={"max_requests": 3})
    moment.ask("/a", "/b", "/c", "/d")
    # It served one before.
    targets = moment.seen(2)
    others = moment.answer_elsewhere(2)
    assert sorted(targets + others) == ["/a", "/b", "/c", "/d"]
    for target in targets:
        answer(moment.server, target)
    moment.check("/a", "/b", "/c", "/d")
    assert moment.server.sock.recv(1) == b""


class Handler(BaseHTTPRequestHandler):
    """Knows nothing of pipelining, but reads in order."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def python_server():
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_many_at_once_get_their_own_answers(start_http, python_server):
    weir = start_http(python_server, pool={"keep_alive": {"batch": 16, "max_requests": 90}})
    clients = [Client(weir.connect()) for _ in range(24)]
    for turn in range(40):
        together(weir, [(client, request("GET", f"/{turn}/{place}")) for place, client in enumerate(clients)])
        for place, client in enumerate(clients):
            got = client.response()
            assert (got.status, got.body) == (200, b"/%d/%d" % (turn, place))
    records = weir.wait_for_sessions(24 * 40)
    assert all(record["reason"] == "ok" for record in records)
