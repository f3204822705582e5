"""What a backend is told and what a client gets back: fields that belong to one connection only, what Weir
adds, and what routes change."""

import pytest

from addresses import free_port
from conftest import address_of
from http_peers import Client, chunked, request, response

OWN = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id"}


def forwarded(start_http, new_script, sent, listener=None, source=None):
    """What a backend gets of a request, with the record of it."""
    script = new_script()
    weir = start_http(script, listener=listener)
    client = Client(weir.connect(source=source))
    assert client.ask(sent).status == 200
    (seen,) = script.requests
    return seen, weir.wait_for_session(), weir


# -- Fields of one connection


def test_fields_of_one_connection_stay_there(start_http, new_script):
    seen, _, _ = forwarded(
        start_http, new_script,
        request(
            fields={
                "Connection": ["keep-alive, X-Hop", "x-other"], "X-Hop": "1", "X-Other": "2",
                "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "TE": "gzip, trailers",
                "Upgrade": "h2c", "HTTP2-Settings": "AAA", "X-Kept": "3", "Proxy-Authorization": "Basic eA==",
            }))
    assert seen.names - OWN == {"x-kept", "proxy-authorization", "te", "connection"}
    assert seen.get("te") == "trailers" and seen.get("connection") == "te"


def test_connection_cannot_take_away_what_says_who_and_what(start_http, new_script):
    fields = {
        "Connection": "Host, Content-Length, Authorization, Cookie, X-Forwarded-For, X-Forwarded-Proto,"
                      " X-Forwarded-Host, X-Forwarded-Port, X-Request-Id, X-Forwarded-Prefix, Content-Type",
        "Authorization": "Basic eDp5", "Cookie": "a=b", "X-Request-Id": "mine", "X-Forwarded-Prefix": "/p",
        "Content-Type": "text/plain",
    }
    seen, _, _ = forwarded(start_http, new_script, request("POST", fields=fields, body=b"hello"))
    assert seen.body == b"hello" and seen.get("host") == "site.test"
    assert seen.get("authorization") == "Basic eDp5" and seen.get("cookie") == "a=b"
    assert seen.get("x-request-id") == "mine" and seen.get("x-forwarded-prefix") == "/p"
    assert seen.get("content-type") == "text/plain"
    assert seen.get("connection") is None


def test_fields_keep_their_order_and_spelling(start_http, new_script):
    sent = (
        b"GET / HTTP/1.1\r\nX-b:  1 \t\r\nHost: a\r\nX-A: 2\r\nx-B: 3\r\nEmpty:\r\n"
        b"Utf: caf\xc3\xa9\r\nTab: a\tb\r\n\r\n")
    seen, _, _ = forwarded(start_http, new_script, sent)
    lines = seen.head.split(b"\r\n")
    kept = [line for line in lines if line.split(b":")[0] in (b"X-b", b"X-A", b"x-B", b"Empty", b"Utf", b"Tab")]
    assert [line.rstrip() for line in kept] == [
        b"X-b: 1", b"X-A: 2", b"x-B: 3", b"Empty:", b"Utf: caf\xc3\xa9", b"Tab: a\tb"]
    assert lines[1] == b"Host: a"


def test_te_without_trailers_is_dropped(start_http, new_script):
    seen, _, _ = forwarded(start_http, new_script, request(fields={"TE": "gzip", "Connection": "te"}))
    assert seen.get("te") is None and seen.get("connection") is None


def test_fields_of_a_response(start_http, new_script):
    head = (
        b"HTTP/1.1 200 Perfectly Fine\r\nServer: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nUpgrade: h2c\r\n"
        b"Proxy-Connection: close\r\nContent-Length: 2\r\nX-Kept: yes\r\n\r\nok")
    script = new_script(lambda r: head)
    weir = start_http(script)
    answer = Client(weir.connect()).get()
    assert answer.first == "HTTP/1.1 200 Perfectly Fine"
    assert answer.fields == [
        ("server", "x"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-length", "2"), ("x-kept", "yes")]


# -- Who asks


TRUSTED = {"forwarded": {"trusted": ["127.0.0.0/24"]}}
CLAIMS = {
    "X-Forwarded-For": ["1.2.3.4", "5.6.7.8"], "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outer.test",
    "X-Forwarded-Port": "443",
}


def test_what_an_unknown_peer_says_of_others_is_replaced(start_http, new_script):
    seen, _, weir = forwarded(start_http, new_script, request(fields=CLAIMS))
    port = weir.configuration["listeners"]["front"]["bind"].rpartition(":")[2]
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("x-forwarded-proto") == "http"
    assert seen.get("x-forwarded-host") == "site.test"
    assert seen.get("x-forwarded-port") == port


def test_what_a_trusted_peer_says_is_kept_and_added_to(start_http, new_script):
    seen, _, _ = forwarded(start_http, new_script, request(fields=CLAIMS), TRUSTED)
    assert seen.get("x-forwarded-for") == "1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert seen.get("x-forwarded-proto") == "https"
    assert seen.get("x-forwarded-host") == "outer.test"
    assert seen.get("x-forwarded-port") == "443"


def test_trust_has_an_end(start_http, new_script):
    seen, _, _ = forwarded(start_http, new_script, request(fields=CLAIMS), TRUSTED, source="127.0.1.1")
    assert seen.get("x-forwarded-for") == "127.0.1.1"


def test_a_trusted_peer_that_says_nothing(start_http, new_script):
    seen, _, _ = forwarded(start_http, new_script, request(), TRUSTED)
    assert seen.get("x-forwarded-for") == "127.0.0.1" and seen.get("x-forwarded-proto") == "http"


def test_replacing_asks_nobody(start_http, new_script):
    listener = {"forwarded": {"trusted": ["127.0.0.0/8"], "x_forwarded": "replace"}}
    seen, _, _ = forwarded(start_http, new_script, request(fields=CLAIMS), listener)
    assert seen.get("x-forwarded-for") == "127.0.0.1" and seen.get("x-forwarded-proto") == "http"


def test_x_forwarded_off_passes_on_what_came(start_http, new_script):
    listener = {"forwarded": {"x_forwarded": "off"}}
    seen, _, _ = forwarded(start_http, new_script, request(fields=CLAIMS), listener)
    assert seen.all("x-forwarded-for") == ["1.2.3.4", "5.6.7.8"] and seen.get("x-forwarded-proto") == "https"


def test_forwarded(start_http, new_script):
    """RFC 7239."""
    listener = {"forwarded": {"trusted": ["127.0.0.0/8"], "x_forwarded": "off", "forwarded": "append"}}
    seen, _, _ = forwarded(
        start_http, new_script, request(host="a.test:81", fields={"Forwarded": "for=1.2.3.4"}), listener)
    assert seen.get("forwarded") == 'for=1.2.3.4, for=127.0.0.1;host="a.test:81";proto=http'


def test_forwarded_of_an_unknown_peer(start_http, new_script):
    listener = {"forwarded": {"forwarded": "append"}}
    seen, _, _ = forwarded(start_http, new_script, request(fields={"Forwarded": "for=1.2.3.4"}), listener)
    assert seen.get("forwarded") == 'for=127.0.0.1;host="site.test";proto=http'


def test_via(start_http, new_script):
    listener = {"forwarded": {"via": "edge"}}
    seen, _, _ = forwarded(start_http, new_script, request(fields={"Via": "1.0 fred"}), listener)
    assert seen.get("via") == "1.0 fred, 1.1 edge"


def test_an_ipv6_client(start_http, new_script):
    listener = {"bind": f"[::1]:{free_port('::1')}", "forwarded": {"forwarded": "replace"}}
    seen, record, _ = forwarded(start_http, new_script, request(host="[::1]:80"), listener)
    assert seen.get("x-forwarded-for") == "::1"
    assert seen.get("forwarded") == 'for="[::1]";host="[::1]:80";proto=http'
    assert record["client"].startswith("[::1]:")


def test_a_client_of_a_unix_socket(start_http, new_script, short_folder):
    listener = {"bind": f"unix:{short_folder}/weir.sock", "forwarded": {"trusted": ["0.0.0.0/0", "::/0"]}}
    seen, _, _ = forwarded(start_http, new_script, request(fields=CLAIMS), listener)
    assert seen.get("x-forwarded-for") == "unknown"


# -- Requests find their way through logs


def test_a_request_gets_an_id_that_the_log_has_too(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    for _ in range(3):
        client.get()
    ids = [seen.get("x-request-id") for seen in script.requests]
    assert len(set(ids)) == 3 and all(len(one) == 16 for one in ids)
    assert [record["request_id"] for record in weir.wait_for_sessions(3)] == ids


def test_requests_of_several_connections_have_ids_of_their_own(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    clients = [Client(weir.connect()) for _ in range(5)]
    for client in clients * 5:
        client.get()
    assert len({seen.get("x-request-id") for seen in script.requests}) == 25
    assert len({record["id"] for record in weir.wait_for_sessions(25)}) == 25


def test_an_id_that_came_is_kept(start_http, new_script):
    seen, record, _ = forwarded(start_http, new_script, request(fields={"X-Request-ID": "abc"}))
    assert seen.get("x-request-id") == record["request_id"] == "abc"


def test_the_header_of_the_id_has_another_name(start_http, new_script):
    listener = {"forwarded": {"request_id": "x-trace"}}
    seen, record, _ = forwarded(start_http, new_script, request(fields={"X-Request-ID": "abc"}), listener)
    assert seen.get("x-request-id") == "abc" and seen.get("x-trace") == record["request_id"] != "abc"


def test_a_second_id_is_not_a_second_field(start_http, new_script):
    """What the log says and what the backend gets must not differ."""
    seen, record, _ = forwarded(start_http, new_script, request(fields={"X-Request-ID": ["abc", ""]}))
    assert record["request_id"] in seen.all("x-request-id")


def test_no_id_is_made_where_none_is_wanted(start_http, new_script):
    seen, record, _ = forwarded(start_http, new_script, request(), {"forwarded": {"request_id": "off"}})
    assert seen.get("x-request-id") is None and "request_id" not in record


def test_traceparent_passes_and_is_logged(start_http, new_script):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = {"traceparent": parent, "tracestate": "a=b", "User-Agent": 'evil "agent" \\'}
    seen, record, _ = forwarded(start_http, new_script, request(fields=fields))
    assert seen.get("traceparent") == record["traceparent"] == parent and seen.get("tracestate") == "a=b"
    assert record["user_agent"] == 'evil "agent" \\'


def test_the_record_of_a_request(start_http, new_script):
    script = new_script(lambda r: response(201, b"x" * 100))
    weir = start_http(script)
    client = Client(weir.connect())
    sent = request("PUT", "/a/b?secret=1", host="A.Test:81", body=b"12345")
    answer = client.ask(sent)
    record = weir.wait_for_session()
    assert record["method"] == "PUT" and record["host"] == "A.Test:81" and record["path"] == "/a/b"
    assert record["protocol"] == "HTTP/1.1" and record["status"] == 201 and record["reason"] == "ok"
    assert record["listener"] == "front" and record["pool"] == "back" and record["mode"] == "http"
    assert record["backend"] == address_of(script) and record["attempts"] == 1
    assert record["bytes_in"] == len(sent) and record["bytes_out"] == len(answer.head) + 100
    assert "secret" not in str(record)
    host, port = client.sock.getsockname()
    assert record["client"] == f"{host}:{port}"


# -- Whom a request is for


def test_the_authority_of_an_absolute_target_is_the_host(start_http, new_script):
    """RFC 9112, section 3.2.2; what goes on has the origin form."""
    sent = request(target="http://Site.Test:80/a?b", host="site.test")
    seen, record, _ = forwarded(start_http, new_script, sent)
    assert seen.target == "/a?b" and seen.get("host") == "Site.Test:80" and record["path"] == "/a"


@pytest.mark.parametrize("target, expected", [("http://site.test", "/"), ("http://site.test?q", "/?q")])
def test_an_absolute_target_without_a_path(start_http, new_script, target, expected):
    seen, _, _ = forwarded(start_http, new_script, request(target=target))
    assert seen.target == expected


def test_options_for_the_whole_server(start_http, new_script):
    seen, _, _ = forwarded(start_http, new_script, request("OPTIONS", "*"))
    assert seen.first == "OPTIONS * HTTP/1.1"


def test_methods_of_all_kinds_pass(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    methods = ["PUT", "DELETE", "PATCH", "PROPFIND", "get", "X-OWN!", "M" * 40]
    for method in methods:
        assert client.ask(request(method)).status == 200
    assert [seen.method for seen in script.requests] == methods
    assert [record["method"] for record in weir.wait_for_sessions(7)] == methods[:-1] + ["M" * 16]


def test_a_request_of_http_1_0_without_a_host(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    client = Client(weir.connect())
    answer = client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.status == 200 and answer.get("connection") == "close"
    assert client.ending() == "fin"
    (seen,) = script.requests
    assert seen.first == "GET / HTTP/1.1" and seen.all("host") == [""]


# -- Routes


def start_routes(start_weir, routes, **pools):
    port = free_port()
    # A configuration without any pool is refused.
    pools = pools or {"nobody": "127.0.0.1:1"}
    return start_weir(
        configuration={
            "workers": 1,
            "listeners": {"web": {"bind": f"127.0.0.1:{port}", "mode": "http", "routes": routes}},
            "pools": {name: {"backends": [address_of(one)]} for name, one in pools.items()},
        })


def named(name):
    return lambda request: response(body=name.encode())


def test_routes_by_host_path_method_header_and_query(start_weir, new_script):
    names = ["exact", "wild", "prefix", "posts", "canary", "beta"]
    scripts = {name: new_script(named(name)) for name in names}
    routes = [
        {"match": {"headers": {"x-canary": "1"}}, "pool": "canary"},
        {"match": {"query": {"beta": "any"}}, "pool": "beta"},
        {"match": {"host": "api.test"}, "pool": "exact"},
        {"match": {"host": "*.shop.test"}, "pool": "wild"},
        {"match": {"path": "/v1/*"}, "pool": "prefix"},
        {"match": {"method": ["POST"]}, "pool": "posts"},
    ]
    weir = start_routes(start_weir, routes, **scripts)
    client = Client(weir.connect())
    asked = [
        (request(host="API.test:8080"), "exact"),
        (request(host="a.b.shop.test"), "wild"),
        (request(host="shop.test"), 404),
        (request(host="xshop.test"), 404),
        (request(target="/v1"), "prefix"),
        (request(target="/v1/x?y"), "prefix"),
        (request(target="/v10"), 404),
        (request(target="/v%31/x"), 404),
        (request("POST", body=b""), "posts"),
        (request("post", body=b""), 404),
        (request(fields={"X-Canary": "1"}, host="api.test"), "canary"),
        (request(fields={"X-Canary": "2"}), 404),
        (request(target="/?a&beta=7"), "beta"),
        (request(target="http://api.test/", host="api.test"), "exact"),
    ]
    wrong = []
    for sent, expected in asked:
        answer = client.ask(sent)
        got = answer.status if answer.status != 200 else answer.body.decode()
        if got != expected:
            wrong.append((sent, got, expected))
    assert wrong == []
    records = weir.wait_for_sessions(len(asked))
    assert [r.get("route") for r in records][:3] == [3, 4, None]
    assert records[2]["reason"] == "no_route" and records[2]["status"] == 404


def test_changes_of_a_route(start_weir, new_script):
    script = new_script(lambda r: response(body=b"x", fields={"Server": "secret", "X-Old": "1", "Vary": "a"}))
    routes = [{
        "match": {"path": "/shop/*"}, "pool": "one",
        "request_headers": {"set": {"x-env": "prod", "accept": "*/*"}, "add": {"x-more": "2"},
                            "remove": ["x-debug"]},
        "response_headers": {"set": {"x-old": "2"}, "add": {"vary": "b"}, "remove": ["server"]},
        "rewrite": {"strip_prefix": "/shop", "add_prefix": "/store"},
    }]
    weir = start_routes(start_weir, routes, one=script)
    client = Client(weir.connect())
    fields = {"X-Env": ["test", "more"], "X-Debug": "1", "X-More": "1", "Accept": "text/html"}
    answer = client.ask(request(target="/shop/a%20b?c=/shop", fields=fields))
    (seen,) = script.requests
    assert seen.target == "/store/a%20b?c=/shop"
    assert seen.get("x-env") == "prod" and seen.all("x-more") == ["1", "2"] and seen.get("accept") == "*/*"
    assert seen.get("x-debug") is None
    assert answer.get("server") is None and answer.get("x-old") == "2" and answer.all("vary") == ["a", "b"]
    assert client.get("/shop").status == 200
    assert script.requests[-1].target in ("/store", "/store/")


def test_a_redirect(start_weir, new_script):
    routes = [
        {"match": {"path": "/old"}, "redirect": {"to": "/new", "status": 308}},
        {"match": {"path": "/away/*"}, "redirect": {"to": "https://other.test/?a"}},
    ]
    weir = start_routes(start_weir, routes)
    client = Client(weir.connect())
    answer = client.ask(request("POST", "/old?x=1", body=b"12345"))
    assert (answer.status, answer.get("location"), answer.body) == (308, "/new?x=1", b"")
    answer = client.get("/away/x?q=1")
    assert (answer.status, answer.get("location")) == (302, "https://other.test/?a")
    records = weir.wait_for_sessions(2)
    assert [(r["reason"], r["status"], r["route"]) for r in records] == [("ok", 308, 1), ("ok", 302, 2)]
    assert "backend" not in records[0] and "pool" not in records[0]


def test_a_fixed_answer(start_weir, new_script):
    routes = [
        {"match": {"path": "/ping"}, "respond": {"status": 200, "body": "pong\n"},
         "response_headers": {"set": {"x-a": "1"}}},
        {"match": {"path": "/none"}, "respond": {"status": 204}},
        {"match": {"path": "/gone"}, "respond": {"status": 410, "body": "<p>", "content_type": "text/html"}},
    ]
    weir = start_routes(start_weir, routes)
    client = Client(weir.connect())
    answer = client.get("/ping")
    assert (answer.status, answer.body, answer.get("x-a")) == (200, b"pong\n", "1")
    answer = client.ask(request("HEAD", "/ping"), "HEAD")
    assert (answer.status, answer.get("content-length")) == (200, "5")
    answer = client.get("/none")
    assert answer.status == 204 and answer.get("content-length") is None
    answer = client.get("/gone")
    assert (answer.status, answer.body, answer.get("content-type")) == (410, b"<p>", "text/html")


def test_a_body_that_nobody_wants(start_weir, new_script):
    """One that came whole is passed over; another one ends the connection, after the answer."""
    routes = [{"match": {"path": "/ping"}, "respond": {"body": "pong"}}]
    weir = start_routes(start_weir, routes)
    client = Client(weir.connect())
    for body in (b"", b"x", b"x" * 1000):
        answer = client.ask(request("POST", "/ping", body=body))
        assert answer.body == b"pong"
    client.send(request("POST", "/ping", fields={"Content-Length": "300000"}) + b"x" * 300_000)
    answer = client.response()
    assert answer.body == b"pong" and answer.get("connection") == "close"
    assert client.ending() == "fin"
    client = Client(weir.connect())
    client.send(request("POST", "/ping", fields={"Transfer-Encoding": "chunked"}) + chunked(b"x"))
    assert client.response().body == b"pong"


def test_a_split_by_shares(start_weir, new_script):
    scripts = {name: new_script(named(name)) for name in ("api", "next")}
    routes = [{"match": {"path": "/*"}, "split": {"api": "75%", "next": "25%"}}]
    weir = start_routes(start_weir, routes, **scripts)
    client = Client(weir.connect())
    bodies = [client.get("/").body for _ in range(400)]
    assert 60 <= bodies.count(b"next") <= 140


def test_a_split_sticks_to_the_key_of_its_pool(start_weir, new_script):
    scripts = {name: new_script(named(name)) for name in ("api", "next")}
    port = free_port()
    weir = start_weir(
        configuration={
            "workers": 1,
            "listeners": {
                "web": {
                    "bind": f"127.0.0.1:{port}", "mode": "http",
                    "routes": [{"match": {"path": "/*"}, "split": {"api": "50%", "next": "50%"}}],
                }
            },
            "pools": {
                "api": {"backends": [address_of(scripts["api"])], "hash": {"key": "header:x-user"}},
                "next": {"backends": [address_of(scripts["next"])]},
            },
        })
    client = Client(weir.connect())
    seen = {
        user: {client.get("/", X_User=f"u{user}").body for _ in range(5)} for user in range(40)
    }
    assert all(len(bodies) == 1 for bodies in seen.values())
    assert len({min(bodies) for bodies in seen.values()}) == 2


def test_an_error_is_json_for_who_wants_json(start_weir, new_script):
    weir = start_routes(start_weir, [{"match": {"path": "/a"}, "respond": {}}])
    client = Client(weir.connect())
    answer = client.get("/", Accept="application/json")
    assert answer.get("content-type") == "application/json"
    assert answer.body == b'{"status":404,"error":"Not Found"}\n'
    answer = client.get("/", Accept="text/html, */*")
    assert answer.body == b"404 Not Found\n"


def test_a_browser_sized_request(start_http, new_script):
    fields = {
        "Connection": "keep-alive", "Cache-Control": "max-age=0", "sec-ch-ua": '"Chromium";v="120"',
        "sec-ch-ua-mobile": "?0", "Upgrade-Insecure-Requests": "1",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120",
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1",
        "Sec-Fetch-Dest": "document", "Accept-Encoding": "gzip, deflate, br",
        "Accept-Language": "en-US,en;q=0.9", "Cookie": "; ".join(f"c{n}={'v' * 100}" for n in range(60)),
        "If-None-Match": 'W/"abc"', "Range": "bytes=0-99", "Referer": "http://site.test/" + "a" * 500,
    }
    seen, record, _ = forwarded(start_http, new_script, request(fields=fields))
    assert record["status"] == 200
    for name, value in fields.items():
        if name != "Connection":
            assert seen.get(name) == value
