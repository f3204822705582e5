"""Lists of addresses and rate limits: who is turned away, how, and that all workers count as one."""

import json
import subprocess
import time

import pytest

from http_peers import Client, request
from servers import echo
from streams import ending_of
from weir_process import run_weir

#: Nothing comes back within a test.
SLOW = "1/h"


@pytest.fixture
def client(start_http):
    """A client of an http listener that answers by itself: `client(listener keys)(source address)`."""

    def start(routes=None, workers=1, **listener):
        routes = routes or [{"respond": {"body": "ok"}}]
        weir = start_http("127.0.0.1:1", listener={"routes": routes, **listener}, workers=workers)

        def connect(source=None):
            return Client(weir.connect(source=source))

        connect.weir = weir
        return connect

    return start


def statuses(peer, count, target="/", **fields):
    return [peer.get(target, **fields).status for _ in range(count)]


def test_a_client_gets_its_burst_then_429_on_a_connection_that_goes_on(client):
    connect = client(rate_limit={"rate": SLOW, "burst": 3})
    peer = connect()
    assert statuses(peer, 3) == [200] * 3
    refused = peer.get()
    assert refused.status == 429
    assert 3590 <= int(refused.get("retry-after")) <= 3600
    assert refused.get("ratelimit-policy") == '"client_ip";q=3;w=10800'
    assert refused.get("ratelimit") == f'"client_ip";r=0;t={refused.get("retry-after")}'
    assert peer.get("/", accept="application/json").body == b'{"status":429,"error":"Too Many Requests"}\n'
    # Another connection of the client is the same client, another client is not.
    assert statuses(connect(), 1) == [429]
    assert statuses(connect("127.0.0.2"), 1) == [200]
    connect.weir.stop()
    reasons = [record["reason"] for record in connect.weir.sessions()]
    assert reasons == ["ok"] * 3 + ["rate_limited"] * 3 + ["ok"]


def test_waiting_as_told_is_enough(client):
    connect = client(rate_limit={"rate": "2/s", "burst": 1})
    peer = connect()
    assert statuses(peer, 2) == [200, 429]
    time.sleep(int(peer.get().get("retry-after")))
    assert statuses(peer, 1) == [200]


def test_a_refused_upload_ends_its_connection(client):
    peer = client(rate_limit={"rate": SLOW})()
    assert peer.get().status == 200
    peer.send(request("POST", fields={"content_length": "100000"}) + b"x" * 1000)
    refused = peer.response()
    assert refused.status == 429 and refused.get("connection") == "close"


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_share_the_limit(client, workers):
    connect = client(workers=workers, rate_limit={"rate": SLOW, "burst": 40})
    # The kernel spreads connections over the workers' sockets.
    found = [status for _ in range(30) for status in statuses(connect(), 2)]
    assert found.count(200) == 40 and found.count(429) == 20


def test_curl_sees_the_limit(client):
    connect = client(rate_limit={"rate": "1/m", "burst": 2})
    url = f"http://{connect.weir.configuration['listeners']['front']['bind']}/"
    curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url]
    found = [subprocess.run(curl, capture_output=True, text=True, timeout=30).stdout for _ in range(3)]
    assert found == ["200", "200", "429"]


def test_networks_and_their_widths(client):
    connect = client(rate_limit={"key": "client_ip/24", "rate": SLOW, "burst": 2})
    assert [connect(f"127.0.0.{host}").get().status for host in (2, 3, 4)] == [200, 200, 429]
    assert connect("127.0.1.2").get().status == 200


def test_a_header_is_the_key_and_without_it_the_client(client):
    connect = client(rate_limit={"key": "header:X-User", "rate": SLOW})
    peer = connect()
    assert [peer.get("/", x_user=user).status for user in ("a", "b", "a", "b")] == [200, 200, 429, 429]
    assert connect("127.0.0.2").get("/", x_user="a").status == 429
    assert statuses(peer, 2) == [200, 429]
    assert statuses(connect("127.0.0.2"), 1) == [200]


def test_each_route_has_its_own(client):
    routes = [
        {"match": {"path": "/a"}, "respond": {}},
        {"match": {"path": "/b"}, "respond": {}, "rate_limit": {"key": "route", "rate": SLOW, "burst": 1}},
    ]
    connect = client(routes=routes, rate_limit={"key": "route", "rate": SLOW, "burst": 2})
    peer = connect()
    assert statuses(peer, 3, "/a") == [200, 200, 429]
    # The route's own limit is the tighter one here.
    assert statuses(connect("127.0.0.2"), 2, "/b") == [200, 429]
    # What no route matches has one, too; nobody is behind the listener's pool.
    assert statuses(peer, 3, "/c") == [503, 503, 429]


def test_behind_a_trusted_proxy_the_client_is_whom_it_names(client):
    connect = client(
        rate_limit={"rate": SLOW}, deny=["192.0.2.0/24"],
        forwarded={"trusted": ["127.0.0.2", "198.51.100.0/24"]})
    proxy, stranger = connect("127.0.0.2"), connect("127.0.0.3")
    ask = lambda peer, value: peer.get("/", x_forwarded_for=value).status
    assert [ask(proxy, one) for one in ("10.0.0.1", "10.0.0.2", "10.0.0.1")] == [200, 200, 429]
    # The last that is not trusted; what a client wrote itself stands before it.
    assert ask(proxy, "10.0.0.3, 10.0.0.4, 198.51.100.1") == 200
    assert ask(proxy, ["10.0.0.3", "10.0.0.4"]) == 429
    assert ask(proxy, "10.0.0.3") == 200
    assert ask(proxy, "10.0.0.1, 192.0.2.1") == 403
    assert ask(proxy, "192.0.2.1, nonsense, 198.51.100.1") == 200
    assert ask(proxy, "[2001:db8::1]:4711") == 200
    assert ask(proxy, "2001:db8::2") == 429
    # Nobody else is believed.
    assert [ask(stranger, one) for one in ("10.0.1.1", "10.0.1.2")] == [200, 429]
    assert ask(connect("127.0.0.4"), "192.0.2.1") == 200


def test_lists_in_http_mode(client):
    connect = client(allow=["127.0.0.0/30", "127.0.1.0/24"], deny=["127.0.0.2", "127.0.1.128/25"])
    sources = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.1.5", "127.0.1.200"]
    assert [connect(source).get().status for source in sources] == [200, 403, 200, 403, 200, 403]
    peer = connect("127.0.0.2")
    assert statuses(peer, 3) == [403] * 3
    assert connect.weir.stop()
    assert {record["reason"] for record in connect.weir.sessions() if record["status"] == 403} == {"denied"}


def test_lists_in_tcp_mode(start_weir, new_server):
    weir = start_weir(new_server(echo), listener={"deny": "127.0.0.2"})
    denied = weir.connect(source="127.0.0.2")
    assert ending_of(denied) in ("fin", "reset")
    allowed = weir.connect(source="127.0.0.3")
    allowed.sendall(b"hello")
    assert allowed.recv(5) == b"hello"
    allowed.close()
    assert weir.stop()["reasons"] == {"ok": 1, "denied": 1}


def test_a_rate_of_sessions_in_tcp_mode(start_weir, new_server):
    weir = start_weir(new_server(echo), listener={"rate_limit": {"rate": SLOW, "burst": 2}}, workers=2)
    for number in range(5):
        peer = weir.connect()
        if number < 2:
            peer.sendall(b"hello")
            assert peer.recv(5) == b"hello"
            peer.close()
        else:
            assert ending_of(peer) in ("fin", "reset")
    assert weir.stop()["reasons"] == {"ok": 2, "rate_limited": 3}


def test_a_client_of_a_unix_socket_has_no_address(start_weir, tmp_path):
    weir = start_weir(
        configuration={
            "listeners": {
                "web": {
                    "bind": f"unix:{tmp_path}/web.sock", "mode": "http", "allow": "10.0.0.0/8",
                    "rate_limit": {"rate": SLOW}, "routes": [{"respond": {}}],
                }
            },
            "pools": {"p": {"backends": ["127.0.0.1:1"]}},
        })
    assert statuses(Client(weir.connect()), 3) == [200] * 3


def test_explain_names_the_limits_and_says_who_is_denied(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps({
        "listeners": {
            "web": {
                "bind": "127.0.0.1:80", "mode": "http", "pool": "p", "deny": "192.0.2.0/24",
                "rate_limit": {"rate": "5/s", "burst": 7}, "forwarded": {"trusted": ["127.0.0.1"]},
            }
        },
        "pools": {"p": {"backends": ["127.0.0.1:1"]}},
    }))
    explain = lambda *more: run_weir("explain", "-c", str(file), *more, "GET", "http://a/").stdout
    assert "listener: 5/s for each network of clients (/32 of IPv4, /64 of IPv6), 7 at once" in explain()
    assert "denied    403: 192.0.2.7 is not served" in explain("--client", "192.0.2.7")
    forwarded = json.loads(
        explain("--json", "--client", "127.0.0.1", "-H", "x-forwarded-for: 10.0.0.1, 192.0.2.9"))
    assert (forwarded["action"], forwarded["status"]) == ("deny", 403)
    assert forwarded["denied_client"] == "192.0.2.9"
