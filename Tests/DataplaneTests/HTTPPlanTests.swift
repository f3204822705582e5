// What a configuration becomes for the workers of an http listener.

import Configuration
import Routing
import Testing

@testable import Dataplane

private let text = """
    limits: { buffer_size: 8KiB, headers: 64 }
    listeners:
      tcp: { bind: 127.0.0.1:80, pool: b }
      web:
        bind: 127.0.0.1:81
        mode: http
        timeouts: { request_head: 1s, request_body_idle: 2s, keep_alive: 3s, response_head: 4s, tunnel: 5s }
        forwarded: { trusted: [10.0.0.0/8, "2001:db8::/33", 0.0.0.0/32], via: weir }
        routes:
          - { match: { host: a.example }, pool: c }
          - { match: { path: /s/* }, split: { a: 10%, b: 20%, c: 70% } }
          - { match: { path: /r }, redirect: { to: "/x?y" } }
      fallback: { bind: 127.0.0.1:82, mode: http, pool: c }
    pools:
      a: { backends: [10.0.0.1:80] }
      b: { backends: [10.0.0.1:80], hash: { key: path }, keep_alive: { max_requests: 7 } }
      c: { backends: [10.0.0.1:80], keep_alive: { idle: 0, idle_timeout: 9s } }
    """

private func generation() throws -> Generation {
    let configuration = try Configuration.read(Array(text.utf8), file: "test", environment: { _ in nil })
    return Generation(configuration, sockets: [], seed: 1) { _ in .init(ipv4: 0x0A00_0001, port: 80) }
}

@Test func listenersHaveWhatTheirModeNeeds() throws {
    let generation = try generation()
    defer { withExtendedLifetime(generation) {} }
    let snapshot = generation.snapshot
    #expect(snapshot.headerSizeBytes == 8192)
    #expect(snapshot.headerLimit == 64)
    #expect(snapshot.listener(0).pointee.http == nil)
    let http = try #require(snapshot.listener(1).pointee.http)
    #expect(http.pointee.requestHeadTimeoutNanoseconds == 1_000_000_000)
    #expect(http.pointee.requestBodyIdleTimeoutNanoseconds == 2_000_000_000)
    #expect(http.pointee.keepAliveTimeoutNanoseconds == 3_000_000_000)
    #expect(http.pointee.responseHeadTimeoutNanoseconds == 4_000_000_000)
    #expect(http.pointee.tunnelTimeoutNanoseconds == 5_000_000_000)
    #expect(snapshot.listener(1).pointee.idleTimeoutNanoseconds == 300_000_000_000)
    #expect(http.pointee.defaultPool == nil)
    #expect(snapshot.listener(2).pointee.http?.pointee.defaultPool == 2)
    #expect(String(decoding: http.pointee.forwarded.via, as: UTF8.self) == "weir")
    #expect(String(decoding: http.pointee.forwarded.requestID, as: UTF8.self) == "x-request-id")
}

@Test func routesNamePoolsByIndex() throws {
    let http = try #require(try snapshot().listener(1).pointee.http)
    let router = http.pointee.router
    #expect(router.routeCount == 3)
    #expect(router.plan(0).pointee.action == .pool)
    #expect(router.plan(0).pointee.pool == 2)
    #expect(router.plan(1).pointee.action == .split)
    #expect(router.plan(1).pointee.stickyPool == 1)
    #expect(router.plan(2).pointee.status == 302)
    #expect(!router.plan(2).pointee.keepsQuery)
}

@Test func poolsSayWhatTheyKeep() throws {
    let generation = try generation()
    defer { withExtendedLifetime(generation) {} }
    let snapshot = generation.snapshot
    #expect(snapshot.pool(0).pointee.hash == nil)
    #expect(snapshot.pool(0).pointee.idleConnections == 64)
    #expect(snapshot.pool(0).pointee.requestsPerConnection == Int.max)
    #expect(snapshot.pool(1).pointee.hash != nil)
    #expect(snapshot.pool(1).pointee.requestsPerConnection == 7)
    #expect(snapshot.pool(2).pointee.idleConnections == 0)
    #expect(snapshot.pool(2).pointee.idleConnectionTimeoutNanoseconds == 9_000_000_000)
}

@Test(arguments: [
    (ClientAddress(high: 0, low: 0x0A01_0203, port: 1, family: .ipv4), true),
    (ClientAddress(high: 0, low: 0x0B01_0203, port: 1, family: .ipv4), false),
    (ClientAddress(high: 0, low: 0, port: 1, family: .ipv4), true),
    (ClientAddress(high: 0, low: 0x0A01_0203, port: 1, family: .ipv6), false),
    (ClientAddress(high: 0x2001_0DB8_7FFF_FFFF, low: 5, port: 1, family: .ipv6), true),
    (ClientAddress(high: 0x2001_0DB8_8000_0000, low: 5, port: 1, family: .ipv6), false),
    (ClientAddress(high: 0, low: 0, port: 0, family: .unix), false),
    (ClientAddress(high: 0, low: 0, port: 0, family: .unknown), false),
])
func trustedPeers(peer: ClientAddress, isTrusted: Bool) throws {
    let http = try #require(try snapshot().listener(1).pointee.http)
    #expect(http.pointee.forwarded.trusts(peer) == isTrusted)
}

@Test func nobodyIsTrustedUnlessNamed() throws {
    let http = try #require(try snapshot().listener(2).pointee.http)
    #expect(!http.pointee.forwarded.trusts(ClientAddress(high: 0, low: 0x7F00_0001, port: 1, family: .ipv4)))
}

@Test func backupsStandBehindTheOthersAndPoliciesAreWhatTheFileSays() throws {
    let text = """
        listeners: { web: { bind: "127.0.0.1:80", mode: http, pool: a } }
        pools:
          a:
            balance: consistent_hash
            hash: { key: "header:x-user", fallback: path, algorithm: ketama }
            backends: [{ name: spare, address: "10.0.0.1:80", backup: true }, { name: one, address: "10.0.0.2:80" }]
        """
    let configuration = try Configuration.read(Array(text.utf8), file: "test", environment: { _ in nil })
    let generation = Generation(configuration, sockets: [], seed: 1) { _ in .init(ipv4: 0x0A00_0001, port: 80)
    }
    defer { withExtendedLifetime(generation) {} }
    let pool = generation.snapshot.pool(0)
    #expect(pool.pointee.balance.policy == .ketama)
    #expect(
        (0..<2).map { String(decoding: pool.pointee.backends[$0].name, as: UTF8.self) } == ["one", "spare"])
    let names = [HashKeyOrigin.key, .fallback, .clientAddress].map {
        String(decoding: pool.pointee.keyNames.name($0), as: UTF8.self)
    }
    #expect(names == ["header:x-user", "path", "client_ip"])
}
