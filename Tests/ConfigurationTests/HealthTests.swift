// When backends are taken out of rotation: what is read, what is written back, and what goes wrong.

import Configuration
import Testing

private func expectRoundTrip(_ configuration: Configuration) throws {
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test func passiveHealthIsOnUnlessItIsOff() throws {
    let plain = try read(file())
    #expect(plain.pools[0].health == HealthSettings())
    #expect(plain.pools[0].health.passive?.consecutiveFailures == 5)
    #expect(plain.pools[0].slowStartNanoseconds == 0)
    let off = try read(file(pool: "health: { passive: off, panic_below: 0% }"))
    #expect(off.pools[0].health.passive == nil)
    #expect(off.pools[0].health.panicBelowPercent == 0)
    try expectRoundTrip(off)
}

@Test func passiveHealthIsReadAndWritten() throws {
    let text = """
        slow_start: 30s
            health:
              passive: { consecutive_failures: off, failure_rate: 50%, window: 50, minimum: 10, eject_for: 1s, max_eject_for: 1m, max_ejected: 100% }
              degrade_at: 30%
              panic_below: 40%
        """
    let configuration = try read(file(pool: text))
    let health = configuration.pools[0].health
    var passive = PassiveSettings()
    passive.consecutiveFailures = nil
    passive.failureRatePercent = 50
    passive.window = 50
    passive.minimum = 10
    passive.ejectNanoseconds = 1_000_000_000
    passive.longestEjectNanoseconds = 60_000_000_000
    passive.maxEjectedPercent = 100
    #expect(health.passive == passive)
    #expect(health.degradeAtPercent == 30)
    #expect(health.panicBelowPercent == 40)
    #expect(configuration.pools[0].slowStartNanoseconds == 30_000_000_000)
    try expectRoundTrip(configuration)
}

@Test func checksAreReadAndWritten() throws {
    let http = try read(
        file(
            pool: "health: { active: { http: { path: /healthz?a=1, method: GET, host: x.test, "
                + "headers: { x-check: \"1\" }, expect: [200, 300-399], body: ok }, interval: 1s, timeout: 500ms, "
                + "fall: 2, rise: 1, jitter: 0% } }"))
    let active = try #require(http.pools[0].health.active)
    #expect(active.http?.path == "/healthz?a=1")
    #expect(active.http?.host == "x.test")
    #expect(active.http?.headers == [HeaderField(name: "x-check", value: "1")])
    #expect(active.http?.expect.map(\.statuses) == [200...200, 300...399])
    #expect(active.http?.body == "ok")
    #expect(active.intervalNanoseconds == 1_000_000_000)
    #expect((active.fall, active.rise, active.jitterPercent) == (2, 1, 0))
    try expectRoundTrip(http)
    for kind in ["tcp: {}", "redis: {}", "postgres: {}", "http: {}", #"send: "PING\r\n", expect: "+PONG""#] {
        try expectRoundTrip(try read(file(pool: "health: { active: { \(kind) } }")))
    }
    let plain = try read(file(pool: "health: { active: { tcp: {} } }")).pools[0].health.active
    #expect(plain?.intervalNanoseconds == 5_000_000_000)
    #expect(plain?.tcp != nil && plain?.http == nil)
}

@Test(
    arguments: [
        ("{ interval: 1m }", "10:23 a check needs to know what to ask"),
        ("{ send: x }", "10:25 `send` needs `expect`"),
        ("{ tcp: {}, http: {} }", "10:34 `http` beside `tcp`: a backend is checked in one way"),
        ("{ redis: {}, send: x }", "10:36 `send` has no meaning with `redis`"),
        ("{ tcp: {}, timeout: 6s }", "10:43 a check may take 6s, and the next one begins after 5s"),
        ("{ tcp: {}, fall: 0 }", "10:40 `0` is out of range"),
        ("{ tcp: {}, jitter: 60% }", "10:42 `60%` is out of range"),
        ("{ tcp: { port: 5 } }", "10:32 unknown key `port` in `tcp`"),
        ("{ http: { path: healthz } }", "10:39 `healthz` cannot be asked for"),
        ("{ http: { expect: 99 } }", "10:41 `99` is no status"),
        ("{ http: { expect: 300-200 } }", "10:41 `300-200` is no status"),
        ("{ http: { method: POST } }", "10:41 unknown method `POST`"),
        ("{ http: { method: HEAD, body: x } }", "10:47 an answer to `HEAD` has no body"),
        ("{ http: { headers: { host: x } } }", "10:44 `host` is a key beside `headers`"),
    ] as [(String, String)])
func wrongChecks(active: String, message: String) {
    #expect(messages(in: file(pool: "health: { active: \(active) }")) == [message])
}

@Test(
    arguments: [
        ("slow_start: 30", "10:17 `30` has no unit"),
        ("health: { pasive: off }", "10:15 unknown key `pasive` in `health`"),
        ("health: { passive: on }", "10:24 found `on`"),
        ("health: { passive: [5] }", "10:24 found a list"),
        ("health: { passive: { consecutive_failures: 0 } }", "10:48 `0` is out of range"),
        ("health: { passive: { consecutive_failures: of } }", "10:48 unknown word `of`"),
        ("health: { passive: { consecutive_failures: off } }", "10:26 nothing is left that ejects"),
        ("health: { passive: { failure_rate: 50 } }", "10:40 `50` is not a percentage"),
        ("health: { passive: { failure_rate: 101% } }", "10:40 `101%` is out of range"),
        ("health: { passive: { window: 10 } }", "10:34 a window of 10 never holds 20 outcomes"),
        ("health: { passive: { minimum: 101 } }", "10:35 a window of 100 never holds 101 outcomes"),
        ("health: { passive: { eject_for: 1ms } }", "10:37 `1ms` is out of range"),
        (
            "health: { passive: { eject_for: 10m } }",
            "10:37 the longest ejection, 5m, is shorter than the first, 10m"
        ),
        ("health: { passive: { max_ejected: 0% } }", "10:39 `0%` is out of range"),
        (
            "health: { passive: off, degrade_at: 30% }",
            "10:29 `degrade_at` needs passive health, which is `off`"
        ),
        (
            "health: { passive: { failure_rate: 30% }, degrade_at: 30% }",
            "10:59 a backend is ejected at `failure_rate: 30%`, before it could be degraded"
        ),
        ("health: { panic_below: 200% }", "10:28 `200%` is out of range"),
    ] as [(String, String)])
func wrongHealth(pool: String, message: String) {
    #expect(messages(in: file(pool: pool)) == [message])
}
