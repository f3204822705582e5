// What limits and lists of addresses are read as.

import Configuration
import Testing

private func listener(_ keys: String, mode: String = "tcp") throws -> Listener {
    let text = """
        listeners: { a: { bind: 127.0.0.1:80, mode: \(mode), pool: p, \(keys) } }
        pools: { p: { backends: [10.0.0.1:80] } }
        """
    return try read(text).listeners[0]
}

@Test func rateLimitAsInTheFile() throws {
    let limit = try #require(try listener("rate_limit: { rate: 100/s, burst: 200 }").rateLimit)
    #expect(limit.key == .clientNetwork(ipv4Bits: 32, ipv6Bits: 64))
    #expect(limit.rate == Rate(count: 100, unit: .second))
    #expect(limit.burst == 200)
    #expect(limit.keys == 65_536)
    #expect(try listener("relay: copy").rateLimit == nil)
}

@Test func burstIsTheRatesCountUnlessGiven() throws {
    #expect(try listener("rate_limit: { rate: 7/m }").rateLimit?.burst == 7)
}

@Test(arguments: [
    ("client_ip", RateKey.clientNetwork(ipv4Bits: 32, ipv6Bits: 64)),
    ("client_ip/24", .clientNetwork(ipv4Bits: 24, ipv6Bits: 64)),
    ("client_ip/32/128", .clientNetwork(ipv4Bits: 32, ipv6Bits: 128)),
    ("\"header:X-User\"", .header("X-User")),
    ("route", .route),
])
func keyOfALimit(text: String, key: RateKey) throws {
    let read = try listener("rate_limit: { rate: 1/s, key: \(text) }", mode: "http").rateLimit?.key
    #expect(read == key)
}

@Test func routesHaveLimits() throws {
    let routes = try listener(
        "routes: [{ match: { path: /a }, respond: {}, rate_limit: { key: route, rate: 5/s } }, { pool: p }]",
        mode: "http"
    ).routes
    #expect(routes[0].rateLimit?.key == .route)
    #expect(routes[1].rateLimit == nil)
}

@Test func listsOfAddresses() throws {
    let read = try listener("allow: 10.0.0.0/8, deny: [10.1.0.0/16, \"::1\"]")
    #expect(read.allow == [.ipv4(0x0A00_0000, prefixLength: 8)])
    #expect(read.deny == [.ipv4(0x0A01_0000, prefixLength: 16), .ipv6(high: 0, low: 1, prefixLength: 128)])
    #expect(try listener("relay: copy").allow == [])
}
