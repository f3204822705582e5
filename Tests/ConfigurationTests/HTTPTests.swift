// Listeners with `mode: http`: what their keys mean, and what is said about wrong ones.

import Configuration
import Testing

/// A file with one http listener; `lines` go into it, four spaces deep.
private func httpFile(_ lines: String, top: String = "", pool: String = "") -> String {
    """
    \(top)
    listeners:
      web:
        bind: 127.0.0.1:80
        mode: http
    \(lines.split(separator: "\n", omittingEmptySubsequences: false).map { "    " + $0 }.joined(separator: "\n"))
    pools:
      site: { backends: [10.0.0.1:80] }
      api:
        backends: [10.0.0.2:80]
        \(pool)
    """
}

/// A file whose listener has one route with these keys.
private func routeFile(_ keys: String) -> String { httpFile("routes:\n  - { \(keys) }") }

private func route(_ keys: String) throws -> Route { try read(routeFile(keys)).listeners[0].routes[0] }

// MARK: - Good files

@Test func httpListenerTakesItsDefaults() throws {
    let listener = try read(httpFile("pool: site")).listeners[0]
    #expect(listener.mode == .http)
    #expect(listener.timeouts.connectNanoseconds == 5_000_000_000)
    #expect(listener.timeouts.idleNanoseconds == 300_000_000_000)
    #expect(listener.timeouts.http.requestHeadNanoseconds == 10_000_000_000)
    #expect(listener.timeouts.http.requestBodyIdleNanoseconds == 30_000_000_000)
    #expect(listener.timeouts.http.keepAliveNanoseconds == 75_000_000_000)
    #expect(listener.timeouts.http.responseHeadNanoseconds == 30_000_000_000)
    #expect(listener.timeouts.http.tunnelNanoseconds == 3_600_000_000_000)
    #expect(listener.forwarded == ForwardedSettings())
    #expect(listener.forwarded.xForwarded == .append)
    #expect(listener.forwarded.requestID == "x-request-id")
    #expect(listener.forwarded.via == nil)
    #expect(listener.forwarded.forwarded == .off)
    #expect(listener.routes == [])
}

@Test func idleTimeoutThatIsGivenStays() throws {
    #expect(
        try read(httpFile("pool: site\ntimeouts: { idle: 1h }")).listeners[0].timeouts.idleNanoseconds
            == 3_600_000_000_000)
}

@Test func everyKeyOfHTTPIsRead() throws {
    let configuration = try read(fullHTTPFile)
    #expect(configuration.limits.headerSizeBytes == 8192)
    #expect(configuration.limits.headers == 50)
    let listener = configuration.listeners[0]
    #expect(listener.pool == nil)
    #expect(listener.timeouts.http.requestHeadNanoseconds == 1_000_000_000)
    #expect(listener.timeouts.http.tunnelNanoseconds == 5_000_000_000)
    #expect(listener.forwarded.xForwarded == .replace)
    #expect(
        listener.forwarded.trusted == [
            .ipv4(0x0A00_0000, prefixLength: 8), .ipv4(0xC0A8_0101, prefixLength: 32),
            .ipv6(high: 0x2001_0DB8_0000_0000, low: 0, prefixLength: 32),
        ])
    #expect(listener.forwarded.via == "weir")
    #expect(listener.forwarded.requestID == nil)
    #expect(listener.forwarded.forwarded == .append)
    #expect(listener.routes.count == 5)

    let first = listener.routes[0]
    #expect(first.match.host == .exact("api.example.com"))
    #expect(first.match.path == .below("/v1"))
    #expect(first.match.methods == ["GET", "POST"])
    #expect(first.match.headers == [FieldCondition(name: "x-canary", value: "1")])
    #expect(first.match.query == [FieldCondition(name: "beta", value: nil)])
    #expect(first.action == .pool("api"))

    guard case .redirect(let redirect) = listener.routes[1].action else { throw Missing() }
    #expect(redirect.location == "/new")
    #expect(redirect.status == 308)
    #expect(listener.routes[1].match.path == .exact("/old"))

    guard case .respond(let response) = listener.routes[2].action else { throw Missing() }
    #expect(response.status == 200)
    #expect(response.body == "pong\n")
    #expect(response.contentType == "text/plain; charset=utf-8")

    let fourth = listener.routes[3]
    #expect(fourth.match.host == .below("shop.example.com"))
    #expect(
        fourth.action == .split([PoolShare(pool: "api", share: 0.95), PoolShare(pool: "site", share: 0.05)]))
    #expect(fourth.requestHeaders.fieldsSet == [HeaderField(name: "x-env", value: "prod")])
    #expect(fourth.requestHeaders.namesRemoved == ["x-debug"])
    #expect(fourth.responseHeaders.fieldsAdded == [HeaderField(name: "vary", value: "x-env")])
    #expect(fourth.rewrite.stripPrefix == "/shop")
    #expect(fourth.rewrite.addPrefix == "/store")
    #expect(listener.routes[4].match.isEverything)

    #expect(configuration.pools[0].hash == nil)
    #expect(configuration.pools[1].hash?.key == .header("x-user"))
    #expect(configuration.pools[1].hash?.fallback == .cookie("sid"))
    #expect(configuration.pools[1].keepAlive.idle == 8)
    #expect(configuration.pools[1].keepAlive.idleTimeoutNanoseconds == 5_000_000_000)
    #expect(configuration.pools[0].keepAlive.batch == 1)
    #expect(configuration.pools[1].keepAlive.maxRequests == 1000)
    #expect(configuration.pools[1].keepAlive.batch == 8)
}

private struct Missing: Error {}

@Test func httpConfigurationReadsBackEqual() throws {
    for text in [fullHTTPFile, httpFile("pool: site")] {
        let configuration = try read(text)
        let written = configuration.rendered()
        #expect(try read(written).withoutPositions == configuration.withoutPositions, "\(written)")
        #expect(try read(written).rendered() == written)
    }
}

@Test func poolsThatOnlyRoutesNameAreUsed() throws {
    #expect(try read(fullHTTPFile).warnings(file: "weir.yaml") == [])
    #expect(try read(httpFile("pool: site")).warnings(file: "weir.yaml").count == 1)
}

@Test(arguments: [
    ("client_ip", HashKey.clientAddress), ("header:X-User", .header("X-User")),
    ("cookie:sid", .cookie("sid")),
    ("query:id", .query("id")), ("path", .path), ("uri", .uri),
])
func hashKeys(text: String, key: HashKey) throws {
    let configuration = try read(httpFile("pool: api", pool: "hash: { key: \"\(text)\" }"))
    #expect(configuration.pools[1].hash?.key == key)
    #expect(configuration.pools[1].hash?.fallback == .clientAddress)
}

@Test func headerSizeFollowsASmallBuffer() throws {
    #expect(try read(file(top: "limits: { buffer_size: 4KiB }")).limits.headerSizeBytes == 4096)
    #expect(try read(file(top: "limits: { buffer_size: 64KiB }")).limits.headerSizeBytes == 16_384)
}

@Test func hostsAreComparedInLowerCase() throws {
    #expect(try route("match: { host: API.Example.COM }, pool: api").match.host == .exact("api.example.com"))
    #expect(try route("match: { host: \"*.Example.COM.\" }, pool: api").match.host == .below("example.com"))
    #expect(try route("match: { host: \"[::1]\" }, pool: api").match.host == .exact("[::1]"))
}

@Test func numbersAndWordsAreTextInHeaders() throws {
    let route = try route(
        "match: { headers: { a: 1, b: true, c: any, d: \"\" } }, pool: api, "
            + "request_headers: { set: { x: 5, host: \"api.internal:8080\" } }")
    #expect(route.match.headers.map(\.value) == ["1", "true", nil, ""])
    #expect(route.requestHeaders.fieldsSet.map(\.value) == ["5", "api.internal:8080"])
}

// MARK: - Modes

@Test func keysOfHTTPSayThatTheyAre() {
    let text = file(
        listener:
            "routes: [{ pool: site }]\n    forwarded: { via: off }\n    timeouts: { tunnel: 1h, idle: 1h }")
    #expect(
        messages(in: text) == [
            "6:5 `routes` has no meaning with `mode: tcp`", "7:5 `forwarded` has no meaning with `mode: tcp`",
            "8:17 `tunnel` has no meaning with `mode: tcp`",
        ])
    #expect(
        errorList(in: text).first?.hint
            == "it belongs to a listener with `mode: http`; without `mode` a listener is `tcp`")
}

@Test func missingModeIsNotAlsoAMissingPool() {
    #expect(
        messages(
            in: "listeners: {a: {bind: 127.0.0.1:80, routes: [{pool: p}]}}\npools: {p: {backends: [b:1]}}")
            == ["1:37 `routes` has no meaning with `mode: tcp`"])
}

@Test func modeThatIsUnknownMakesNoOtherErrors() {
    let text = file(listener: "mode: htpp\n    routes: [{ pool: site }]")
    #expect(messages(in: text) == ["6:11 unknown mode `htpp`"])
}

@Test func listenerThatLeadsNowhere() {
    #expect(
        messages(in: httpFile("relay: auto")) == [
            "3:3 a listener with `mode: http` needs `routes` or a `pool`"
        ])
    #expect(
        messages(in: "listeners: {a: {bind: 127.0.0.1:80}}\npools: {p: {backends: [b:1]}}") == [
            "1:13 a listener needs the key `pool`"
        ])
}

@Test func headerSizeBeyondABuffer() {
    let text = file(top: "limits: { header_size: 32KiB }")
    #expect(messages(in: text) == ["1:24 `header_size` is more than `buffer_size`, 16KiB"])
    #expect(messages(in: file(top: "limits: { header_size: 32KiB, buffer_size: 32KiB }")) == [])
}

// MARK: - Wrong values

@Test(
    arguments: [
        ("pool: apj", "there is no pool `apj`", "api"),
        ("split: { api: 50%, sit: 50% }", "there is no pool `sit`", "site"),
        ("split: { api: 50%, site: 49% }", "the shares add up to 99%, not to 100%", nil),
        ("split: { api: 50%, site: 51% }", "the shares add up to 101%, not to 100%", nil),
        ("split: { api: 50, site: 50% }", "`50` has no `%`", "50%"),
        ("split: {}", "the mapping is empty", nil),
        ("split: [api]", "found a list", nil),
        ("redirect: { to: /a, status: 304 }", "`304` is not a status for this", nil),
        ("redirect: { to: /a, status: 200 }", "`200` is not a status for this", nil),
        ("redirect: { status: 301 }", "`redirect` needs the key `to`", nil),
        ("redirect: { to: new }", "`new` is neither a URL nor a path", "/new"),
        ("redirect: { to: \"ftp://a/\" }", "`ftp://a/` is neither a URL nor a path", nil),
        ("redirect: { to: //a/b }", "`//a/b` has no scheme", "https://a/b"),
        ("redirect: { to: \"https:///a\" }", "`https:///a` has no host", nil),
        ("redirect: { to: \"/a b\" }", "`/a b` has characters that no URL has", nil),
        ("redirect: { to: \"/a\\r\\nb\" }", "`/a\u{FFFD}\u{FFFD}b` has characters that no URL has", nil),
        ("redirect: { to: \"/a#b\" }", "`/a#b` has a fragment (`#`)", nil),
        ("respond: { status: 100 }", "`100` is not a status for this", nil),
        ("respond: { status: 204, body: x }", "a response with status 204 has no body", nil),
        ("respond: { content_type: \"a\\nb\" }", "`a\u{FFFD}b` has control characters in it", nil),
        ("match: { path: old }, pool: api", "`old` does not start with `/`", "/old"),
        ("match: { path: \"/v1*\" }, pool: api", "`/v1*` does not end at a segment", "/v1/*"),
        ("match: { path: \"/*/x\" }, pool: api", "`/*/x`: `*` stands only at the end, as in `/v1/*`", nil),
        ("match: { path: \"/a?b\" }, pool: api", "`/a?b` is more than a path", nil),
        ("match: { path: \"/ä\" }, pool: api", "`/ä` has characters that no path has", nil),
        ("match: { host: \"a b\" }, pool: api", "`a b` is not a host name", nil),
        ("match: { host: \"a:80\" }, pool: api", "`a:80` has a port; hosts are compared without", "a"),
        (
            "match: { host: \"a.*\" }, pool: api",
            "`a.*`: `*` stands only at the start, as in `*.example.com`", nil
        ),
        ("match: { method: get }, pool: api", "`get` is not a method: case counts", "GET"),
        ("match: { method: [GET, \"P T\"] }, pool: api", "`P T` is not a method", nil),
        ("match: { method: CONNECT }, pool: api", "`CONNECT` is refused before routes are asked", nil),
        ("match: { headers: { \"a b\": 1 } }, pool: api", "`a b` cannot name a header", nil),
        ("match: { headers: { a: \" 1\" } }, pool: api", "` 1` begins or ends in a space", nil),
        ("match: { query: { \"a=b\": 1 } }, pool: api", "`a=b` cannot name a query parameter", nil),
        (
            "match: { query: { a: \"b&c\" } }, pool: api", "`b&c` cannot be the value of a query parameter",
            nil
        ),
        ("match: { paht: /a }, pool: api", "unknown key `paht` in `match`", "path"),
        (
            "pool: api, request_headers: { set: { a: \"b\\0\" } }",
            "`b\u{FFFD}` has control characters in it", nil
        ),
        ("pool: api, request_headers: { set: { \"a:\": b } }", "`a:` cannot name a header", nil),
        (
            "pool: api, request_headers: { set: { Connection: b } }",
            "`Connection` is not for routes to change", nil
        ),
        (
            "pool: api, response_headers: { remove: Transfer-Encoding }",
            "`Transfer-Encoding` is not for routes to change", nil
        ),
        (
            "pool: api, response_headers: { add: { content-length: 1 } }",
            "`content-length` is not for routes to change", nil
        ),
        ("pool: api, request_headers: { remove: host }", "`host` cannot be in `remove` here", nil),
        ("pool: api, request_headers: { set: { host: \"a/b\" } }", "`a/b` is not a host", nil),
        ("pool: api, request_headers: { set: { A: 1 }, remove: [a] }", "`a` is set or removed twice", nil),
        ("pool: api, rewrite: { strip_prefix: /a/ }", "`/a/` ends in `/`", "/a"),
        ("pool: api, rewrite: { add_prefix: a }", "`a` does not start with `/`", "/a"),
        ("pool: api, rewrite: { add_prefix: \"/a/*\" }", "`/a/*`: a prefix has no `*`", nil),
        ("match: { path: /a }", "a route needs an action", nil),
        (
            "pool: api, redirect: { to: /a }", "a route has one action, but here is `redirect` beside `pool`",
            nil
        ),
        (
            "redirect: { to: /a }, rewrite: { add_prefix: /a }", "`rewrite` has no meaning with `redirect`",
            nil
        ),
        ("mirror: { pool: api }, pool: api", "unknown key `mirror` in a route", nil),
    ] as [(String, String, String?)])
func wrongRoute(keys: String, message: String, suggestion: String?) {
    let found = errorList(in: routeFile(keys))
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test(
    arguments: [
        ("trusted: [10.0.0.1/8]", "`10.0.0.1/8` has bits beyond its prefix", "10.0.0.0/8"),
        ("trusted: [\"2001:db8::1/32\"]", "`2001:db8::1/32` has bits beyond its prefix", "2001:db8::/32"),
        ("trusted: [10.0.0.0/33]", "the prefix of `10.0.0.0/33` is not from 0 to 32", nil),
        ("trusted: [\"::/129\"]", "the prefix of `::/129` is not from 0 to 128", nil),
        ("trusted: [10.0.0.0/]", "the prefix of `10.0.0.0/` is not from 0 to 32", nil),
        ("trusted: [10.0.0.0/08]", "the prefix of `10.0.0.0/08` is not from 0 to 32", nil),
        ("trusted: [10.0.0/8]", "`10.0.0/8` is not a block of addresses", nil),
        ("trusted: [localhost]", "`localhost` is not a block of addresses", nil),
        ("x_forwarded: appnd", "unknown word `appnd`", "append"),
        ("via: \"a b\"", "`a b` is not a name for Via", nil),
        ("request_id: te", "`te` is not for routes to change", nil),
    ] as [(String, String, String?)])
func wrongForwarded(keys: String, message: String, suggestion: String?) {
    let found = errorList(in: httpFile("pool: site\nforwarded: { \(keys) }"))
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test(
    arguments: [
        ("hash: { key: heder:x }", "unknown key `heder:x`", "header:x"),
        ("hash: { key: client_io }", "unknown key `client_io`", "client_ip"),
        ("hash: { key: sni }", "unknown key `sni`", nil),
        ("hash: { key: \"header:\" }", "`` cannot name a header", nil),
        ("hash: { fallback: path }", "`hash` needs the key `key`", nil),
        ("keep_alive: { idle: -1 }", "`-1` is not a whole number", nil),
        ("keep_alive: { idle_timeout: 0s }", "`0s` is out of range", nil),
        ("keep_alive: { batch: 17 }", "`17` is out of range", nil),
        ("keep_alive: { batch: 0 }", "`0` is out of range", nil),
    ] as [(String, String, String?)])
func wrongPoolOfHTTP(keys: String, message: String, suggestion: String?) {
    let found = errorList(in: httpFile("pool: site", pool: keys))
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test func routesThatNoRequestReaches() {
    let text = httpFile(
        """
        routes:
          - { match: { path: /a, method: GET }, pool: api }
          - { match: { method: GET, path: /a }, pool: site }
          - { match: { path: "/*" }, pool: site }
          - { match: { path: /b }, pool: site }
        """)
    #expect(
        messages(in: text) == ["8:9 no request reaches this route", "10:9 no request reaches this route"])
    #expect(
        errorList(in: text).map(\.hint) == [
            "the route in line 7 has the same `match`", "the route in line 9 takes every request",
        ])
}

@Test func routeThatIsWrongHidesNoOther() {
    let text = httpFile(
        "routes:\n  - { mtach: { path: /a }, pool: api }\n  - { match: { path: /b }, pool: site }")
    #expect(messages(in: text) == ["7:11 unknown key `mtach` in a route"])
}

@Test func errorOfARouteShowsItsPlace() {
    #expect(
        errors(in: routeFile("match: { path: old }, pool: api")) == """
            weir.yaml:7:26: error: `old` does not start with `/`
              7 |       - { match: { path: old }, pool: api }
                |                          ^~~
              did you mean `/old`?
              expected a path such as `/old`, or `/v1/*`
            """)
}
