// Session affinity: what is read, what is written back, and what goes wrong.

import Configuration
import Testing

/// A file whose pool serves an http listener.
private func httpFile(_ affinity: String) -> String {
    """
    listeners:
      web: { bind: 127.0.0.1:80, mode: http, pool: site }
    pools:
      site:
        backends: [10.0.0.1:80]
        affinity: \(affinity)
    """
}

private func affinity(_ text: String) throws -> AffinitySettings {
    let configuration = try read(text)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
    return try #require(configuration.pools[0].affinity)
}

@Test func aCookieNeedsNothingButItsName() throws {
    let settings = try affinity(httpFile("{ cookie: WEIR }"))
    #expect(settings.cookie == "WEIR")
    #expect(!settings.isByClientAddress)
    #expect(settings.timeToLiveNanoseconds == nil)
    #expect(settings.isSecure == nil)
    #expect(settings.isHTTPOnly)
    #expect(settings.sameSite == .lax)
    #expect(settings.path == "/")
    #expect(!(try read(httpFile("{ cookie: WEIR }")).rendered().contains("client")))
}

@Test func everyKeyOfACookieIsRead() throws {
    let settings = try affinity(
        httpFile(
            "{ cookie: __Secure-s, ttl: 30m, secure: true, http_only: false, same_site: none, path: /shop }"))
    #expect(settings.cookie == "__Secure-s")
    #expect(settings.timeToLiveNanoseconds == 1_800_000_000_000)
    #expect(settings.isSecure == true)
    #expect(!settings.isHTTPOnly)
    #expect(settings.sameSite == .none)
    #expect(settings.path == "/shop")
    #expect(try affinity(httpFile("{ cookie: a, secure: auto }")).isSecure == nil)
    #expect(try affinity(httpFile("{ cookie: a, secure: false }")).isSecure == false)
}

@Test func clientsAreRememberedForHalfAnHourUnlessGiven() throws {
    let plain = try affinity(file(pool: "affinity: { client_ip: true }"))
    #expect(plain.isByClientAddress)
    #expect(plain.timeToLiveNanoseconds == 1_800_000_000_000)
    #expect(plain.clients == 65_536)
    let given = try affinity(file(pool: "affinity: { client_ip: true, ttl: 90s, clients: 1000 }"))
    #expect(given.timeToLiveNanoseconds == 90_000_000_000)
    #expect(given.clients == 1000)
}

@Test(
    arguments: [
        ("{}", "6:15 `affinity` does nothing without `cookie` or `client_ip: true`"),
        ("{ client_ip: false }", "6:15 `affinity` does nothing without `cookie` or `client_ip: true`"),
        ("{ cookie: a, cooky: b }", "6:28 unknown key `cooky` in `affinity`"),
        ("{ cookie: \"a b\" }", "6:25 `a b` cannot name a cookie"),
        (
            "{ cookie: \(String(repeating: "a", count: 65)) }",
            "6:25 `\(String(repeating: "a", count: 65))` is too long"
        ),
        ("{ cookie: a, ttl: 999ms }", "6:33 `999ms` is out of range"),
        ("{ cookie: a, secure: yes }", "6:36 `yes` is neither `true` nor `false`"),
        ("{ cookie: a, same_site: lacks }", "6:39 unknown word `lacks`"),
        ("{ cookie: a, path: shop }", "6:34 `shop` does not start with `/`"),
        ("{ cookie: a, path: \"/a;b\" }", "6:34 `/a;b` has a `;`, which would end it"),
        ("{ cookie: a, clients: 5 }", "6:28 `clients` has no meaning with `cookie`"),
        ("{ client_ip: true, path: /a }", "6:34 `path` has no meaning with `client_ip: true`"),
        ("{ client_ip: true, clients: 0 }", "6:43 `0` is out of range"),
        ("{ cookie: a, client_ip: true }", "6:17 `affinity` is by `cookie` or by `client_ip`, not by both"),
        ("{ cookie: __Host-a }", "6:25 browsers take a cookie of this name only with `secure: true`"),
        (
            "{ cookie: __Host-a, secure: true, path: /a }",
            "6:55 browsers take a cookie of this name only with `path: /`"
        ),
        (
            "{ cookie: a, secure: false, same_site: none }",
            "6:54 browsers take `same_site: none` only with `secure: true`"
        ),
    ] as [(String, String)])
func wrongAffinity(text: String, message: String) {
    #expect(messages(in: httpFile(text)) == [message])
}

@Test func tcpSessionsHaveNoCookies() {
    #expect(
        messages(in: file(pool: "affinity: { cookie: a }")) == [
            "10:17 `cookie` is something of requests, and only listeners with `mode: tcp` use this pool"
        ])
}
