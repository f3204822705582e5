"""`weir explain` says of a made-up request what the file would do with it, by the code that serves."""

import http.client
import json

import pytest

from addresses import free_port
from weir_process import ROOT, run_weir

FILE = """\
listeners:
  cache: { bind: "127.0.0.1:6379", mode: tcp, pool: site }
  web:
    bind: "127.0.0.1:8080"
    mode: http
    limits: { body_size: 1MiB }
    forwarded: { trusted: [10.0.0.0/8, "2001:db8::/32"] }
    routes:
      - { match: { path: /ping }, respond: { status: 202, body: "pong" } }
      - { match: { path: /old }, redirect: { to: /new, status: 308 } }
      - match: { host: "*.example.com", path: /shop/*, method: [GET, POST], headers: { x-a: any }, query: { q: "1" } }
        pool: weighted
        rewrite: { strip_prefix: /shop, add_prefix: /store }
        request_headers: { set: { x-env: prod }, add: { x-more: yes }, remove: x-debug }
        response_headers: { set: { x-served-by: weir } }
      - { match: { path: /sticky/* }, split: { site: 30%, weighted: 70% } }
      - { match: { path: /drawn/* }, split: { weighted: 50%, other: 50% } }
  closed:
    bind: "127.0.0.1:8081"
    mode: http
    routes: [{ match: { path: /a }, pool: other }]
pools:
  site: { backends: ["127.0.0.1:9001"], hash: { key: "cookie:s", fallback: "header:x-user" } }
  weighted:
    balance: random
    backends:
      - { name: large, address: "127.0.0.1:9002", weight: 3, max_sessions: 9 }
      - { name: small, address: "127.0.0.1:9003" }
      - { name: spare, address: "127.0.0.1:9004", weight: 0 }
  other: { backends: ["no.such.name.invalid:9"] }
"""


@pytest.fixture
def explain(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(FILE)

    def explain(*words, listener="web", fails=False):
        done = run_weir("explain", "-c", str(path), "--listener", listener, *words)
        assert done.returncode == (1 if fails else 0), done.stderr
        return done.stderr if fails else done.stdout

    return explain


@pytest.fixture
def decided(explain):
    return lambda *words, **options: json.loads(explain("--json", *words, **options))


def test_every_part_of_a_route_that_matches_is_shown(explain):
    text = explain(
        "POST", "http://a.example.com:81/shop/x?q=1&r", "-H", "X-A: b", "-H", "Connection: x-hop, close",
        "-H", "x-hop: 1", "--client", "10.1.2.3")
    for part in (
        "route     3 of 5 (line 11): host *.example.com, path /shop/*, method GET or POST, header x-a: any, "
        "query q=1\n",
        "action    pool weighted\n",
        "sends     POST /store/x?q=1&r\n",
        "left out: Connection, x-hop\n",
        "to the backend: set x-env: prod\n",
        "to the backend: add x-more: yes\n",
        "to the backend: remove x-debug\n",
        "to the client: set x-served-by: weir\n",
        "added to, because the client is in forwarded.trusted\n",
        "pool      weighted: random\n",
        "large  127.0.0.1:9002  weight 3  75% of requests, unless it has 9 sessions\n",
        "small  127.0.0.1:9003  weight 1  25% of requests\n",
        "-   spare  127.0.0.1:9004  weight 0  excluded\n",
        "a running Weir is somewhere in its rotation",
    ):
        assert part in text, f"{part!r} is not in\n{text}"
    assert all(len(line) <= 120 for line in text.splitlines() if "query" not in line)


def test_the_same_for_programs(decided):
    decision = decided("http://a.example.com/shop?q=1", "-H", "x-a: b", "--client", "2001:db8::1")
    assert (decision["route"], decision["line"], decision["action"]) == (3, 11, "pool")
    assert (decision["pool"], decision["target"]) == ("weighted", "/store?q=1")
    assert decision["request_headers"] == ["set x-env: prod", "add x-more: yes", "remove x-debug"]
    assert decision["response_headers"] == ["set x-served-by: weir"]
    assert decision["client_is_trusted"] is True
    assert {c["backend"]: c["share"] for c in decision["candidates"]} == {"large": "75%", "small": "25%"}
    assert decision["excluded"] == [{"backend": "spare", "why": "weight 0"}]
    assert decision["choice"] == decision["candidates"][0]["backend"]


def test_a_condition_that_does_not_hold_leaves_it_to_the_listeners_answer(decided):
    for words in (
        ["http://a.example.com/shop?q=1"],
        ["http://a.example.com/shop?q=2", "-H", "x-a: b"],
        ["PUT", "http://a.example.com/shop?q=1", "-H", "x-a: b"],
        ["http://example.com/shop?q=1", "-H", "x-a: b"],
        ["http://a.example.com/shopping?q=1", "-H", "x-a: b"],
    ):
        decision = decided(*words)
        assert (decision["action"], decision["status"]) == ("not_found", 404)
        assert "route" not in decision and "pool" not in decision


def test_answers_of_weirs_own(explain, decided):
    assert decided("http://a/old?x=1")["location"] == "/new?x=1"
    decision = decided("http://a/ping")
    assert (decision["action"], decision["status"], decision["body"]) == ("respond", 202, "pong")
    assert "redirect, status 308\n          Location: /new\n" in explain("http://a/old")
    assert "404, because the listener has no pool" in explain("http://a/b", listener="closed")


def test_a_split_says_by_what_it_sticks(decided):
    by_cookie = decided("http://a/sticky/1", "-H", "Cookie: a=b; s=1")
    assert by_cookie["split_by"] == "sticks by cookie:s, the hash of pool site"
    assert by_cookie["split"] == {"site": "30%", "weighted": "70%"}
    assert by_cookie["pool"] == decided("http://b/sticky/2", "-H", "Cookie: s=1", "--draw", "9")["pool"]
    by_header = decided("http://a/sticky/1", "-H", "X-User: me")["split_by"]
    assert by_header == "sticks by header:x-user, because it has no cookie:s"
    by_client = decided("http://a/sticky/1")["split_by"]
    assert by_client == "sticks by client_ip, because it has neither cookie:s nor header:x-user"
    keys = {decided("http://a/sticky/1", "-H", f"Cookie: s={n}")["pool"] for n in range(20)}
    assert keys == {"site", "weighted"}


def test_what_is_left_to_chance_is_drawn_anew_for_another_number(decided):
    draws = [decided("http://a/drawn/1", "--draw", str(n)) for n in range(20)]
    assert {d["split_by"] for d in draws} == {"drawn anew for each request"}
    assert {d["pool"] for d in draws} == {"weighted", "other"}
    assert decided("http://a/drawn/1", "--draw", "7") == draws[7]


@pytest.mark.parametrize("words, status, cause", [
    (["TRACE", "http://a/"], 405, "method_not_allowed"),
    (["G(T", "http://a/"], 400, "bad_method"),
    (["http://a/b c"], 400, "bad_target"),
    (["http://a b/"], 400, "bad_host"),
    (["http://a/", "-H", "a : b"], 400, "space_before_colon"),
    (["http://a/", "-H", "Content-Length: 1", "-H", "Transfer-Encoding: chunked"], 400, "conflicting_length"),
    (["http://a/", "-H", "Transfer-Encoding: gzip, chunked"], 501, "unsupported_transfer_encoding"),
    (["http://a/", "-H", "Host: b", "-H", "Host: c"], 400, "several_hosts"),
    (["PUT", "http://a/ping", "-H", "Content-Length: 1048577"], 413, "body_too_large"),
    (["http://a/" + "x" * 9000], 414, "target_too_long"),
    (["http://a/", *["-H", "a: b"] * 101], 431, "too_many_fields"),
    (["http://a/", "-H", "a: " + "b" * 17000], 431, "head_too_large"),
])
def test_a_request_that_is_refused_has_status_and_cause(explain, decided, words, status, cause):
    decision = decided(*words)
    assert (decision["action"], decision["status"], decision["cause"]) == ("refuse", status, cause)
    assert f"refused   {status}, cause {cause}" in explain(*words)


@pytest.mark.parametrize("words, listener, parts", [
    (["http://a/"], "wbe", ["no listener `wbe`", "web, closed"]),
    (["http://a/"], "cache", ["`cache` is of tcp mode", "web, closed"]),
    (["/path"], "web", ["`/path` has no host", "http://"]),
    (["http:///path"], "web", ["has no host"]),
    (["http://me:secret@a/"], "web", ["names a user", "authorization"]),
    (["http://a/", "-H", "novalue"], "web", ["`novalue` is no `name: value`"]),
    (["http://a/", "-H", ": b"], "web", ["is no `name: value`"]),
    (["http://a/", "-H", "a: b\r\nc: d"], "web", ["line break"]),
    (["http://a/", "--client", "me"], "web", ["`me` is no IPv4 or IPv6 address"]),
    (["http://a/", "--draw", "x"], "web", ["--draw"]),
    (["http://a/", "--cleint", "::1"], "web", ["--cleint", "did you mean `--client`?"]),
    (["GET", "http://a/", "more"], "web", ["`more`"]),
    ([], "web", ["URL is missing"]),
])
def test_what_cannot_be_asked_is_an_error(explain, words, listener, parts):
    error = explain(*words, listener=listener, fails=True)
    for part in parts:
        assert part in error


def test_the_listener_may_be_left_out_where_there_is_one(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(FILE)
    done = run_weir("explain", "-c", str(path), "http://a/ping")
    assert done.returncode == 1 and "web, closed" in done.stderr
    done = run_weir("explain", "-c", str(ROOT / "configs/http.yaml"), "http://a/ping")
    assert done.returncode == 0 and "respond, status 200" in done.stdout


def answer_with_request(connection):
    """Answers each request with its head."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (chunk := connection.recv(1 << 16)):
            return
        head += chunk
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


def test_weir_does_what_was_explained(start_weir, new_server):
    """The same file, explained and run."""
    servers = {name: new_server(answer_with_request) for name in ("plain", "canary")}
    pools = {
        name: {"backends": ["%s:%d" % server.listener.getsockname()], "hash": {"key": "header:x-user"}}
        for name, server in servers.items()
    }
    listener = {
        "bind": "127.0.0.1:%d" % free_port(), "mode": "http",
        "routes": [
            {"match": {"path": "/api/*"}, "split": {"plain": "50%", "canary": "50%"},
             "rewrite": {"strip_prefix": "/api", "add_prefix": "/v2"}},
            {"match": {"path": "/ping"}, "respond": {"status": 202}},
            {"match": {"path": "/old"}, "redirect": {"to": "/new"}},
        ],
    }
    weir = start_weir(configuration={"workers": 1, "listeners": {"web": listener}, "pools": pools})
    weir.owns_access_log = False
    host, port = listener["bind"].split(":")
    targets = ["/api", "/api/x?y=1", "/ping", "/old?z"] + [f"/api/{n}" for n in range(12)] + ["/none"]
    for number, target in enumerate(targets):
        headers = {"x-user": f"user {number}"}
        client = http.client.HTTPConnection(host, int(port))
        client.request("GET", target, headers=headers)
        response = client.getresponse()
        body = response.read().decode()
        client.close()
        done = run_weir(
            "explain", "-c", str(weir.configuration_path), "--json", f"http://{listener['bind']}{target}",
            "-H", f"x-user: user {number}")
        decision = json.loads(done.stdout)
        assert decision.get("location") == response.getheader("Location")
        if "pool" in decision:
            record = weir.wait_for_sessions(number + 1)[number]
            assert (decision["pool"], decision["route"]) == (record["pool"], record["route"])
            assert body.startswith(f"GET {decision['target']} HTTP/1.1\r\n")
        else:
            assert decision["status"] == response.status
