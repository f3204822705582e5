// How a pool chooses a backend: what is read, what is written back, and what goes wrong.

import Configuration
import Testing

private let hashed = "balance: consistent_hash"

@Test(arguments: BalancePolicy.allCases) func everyPolicyIsReadAndWritten(policy: BalancePolicy) throws {
    let more: String =
        switch policy {
        case .consistentHash: "\n    hash: { key: client_ip }"
        case .prequal: "\n    prequal: { path: /load }"
        default: ""
        }
    let configuration = try read(file(pool: "balance: \(policy.rawValue)\(more)"))
    #expect(configuration.pools[0].balance == policy)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test func hashKeysAreReadAndWritten() throws {
    let configuration = try read(
        file(pool: hashed + "\n    hash: { key: client_ip, algorithm: ketama, bounded_load: 125% }"))
    #expect(configuration.pools[0].hash?.algorithm == .ketama)
    #expect(configuration.pools[0].hash?.boundedLoadPercent == 125)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
    let plain = try read(file(pool: hashed + "\n    hash: { key: client_ip }"))
    #expect(plain.pools[0].hash?.algorithm == .maglev)
    #expect(plain.pools[0].hash?.boundedLoadPercent == nil)
}

/// A split may stick while backends are chosen otherwise; what belongs to consistent hashing is not written then.
@Test func aHashWithoutConsistentHashReadsBack() throws {
    let configuration = try read(file(pool: "hash: { key: client_ip }"))
    #expect(configuration.pools[0].hash?.key == .clientAddress)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test func prequalKeysAreReadAndWritten() throws {
    let configuration = try read(
        file(pool: "balance: prequal\n    prequal: { path: \"/load?short\", rate: 20 }"))
    #expect(configuration.pools[0].prequal?.path == "/load?short")
    #expect(configuration.pools[0].prequal?.probesPerSecond == 20)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
    let plain = try read(file(pool: "balance: prequal\n    prequal: { path: /load }"))
    #expect(plain.pools[0].prequal?.probesPerSecond == 100)
    #expect(try read(file()).pools[0].prequal == nil)
}

@Test func backupsAreReadAndWritten() throws {
    let configuration = try read(
        file(backends: "[10.0.0.1:80, { address: \"10.0.0.2:80\", backup: true }]"))
    #expect(configuration.pools[0].backends.map(\.isBackup) == [false, true])
    #expect(configuration.rendered().contains("backup: true"))
    #expect(!configuration.rendered().contains("backup: false"))
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test(
    arguments: [
        ("balance: least_conn", "10:14 unknown balance policy `least_conn`"),
        ("balance: prequal", "10:14 `prequal` needs `prequal` with a `path`"),
        ("prequal: { path: /load }", "10:5 `prequal` has no meaning with `balance: round_robin`"),
        ("balance: prequal\n    prequal: { path: load }", "11:22 `load` is not a path"),
        ("balance: prequal\n    prequal: { path: /a b }", "11:22 `/a b` is not a path"),
        ("balance: prequal\n    prequal: { rate: 5 }", "11:14 `prequal` needs the key `path`"),
        (
            "balance: prequal\n    prequal: { path: /load, rate: 0 }",
            "11:35 `0` is out of range"
        ),
        (hashed, "10:14 `consistent_hash` needs `hash` with a `key`"),
        (
            "hash: { key: client_ip, algorithm: maglev }",
            "10:29 `algorithm` has no meaning with `balance: round_robin`"
        ),
        (
            "balance: ip_hash\n    hash: { key: client_ip, bounded_load: 125% }",
            "11:29 `bounded_load` has no meaning with `balance: ip_hash`"
        ),
        (hashed + "\n    hash: { key: client_ip, algorithm: ketma }", "11:40 unknown algorithm `ketma`"),
        (hashed + "\n    hash: { key: client_ip, bounded_load: 125 }", "11:43 `125` is not a percentage"),
        (hashed + "\n    hash: { key: client_ip, bounded_load: 99% }", "11:43 `99%` is out of range"),
        (hashed + "\n    hash: { key: client_ip, bounded_load: -5% }", "11:43 `-5%` is not a percentage"),
        (
            hashed + "\n    hash: { key: \"header:x-user\" }",
            "11:18 `header:x-user` is something of requests, and only listeners with `mode: tcp` use this pool"
        ),
        (
            hashed + "\n    hash: { key: client_ip, fallback: path }",
            "11:39 `path` is something of requests, and only listeners with `mode: tcp` use this pool"
        ),
    ] as [(String, String)])
func wrongBalance(pool: String, message: String) {
    #expect(messages(in: file(pool: pool)) == [message])
}

@Test func aPoolThatHTTPUsesTooMayHashRequests() throws {
    let web = "\n  other: { bind: 127.0.0.1:81, mode: http, pool: site }"
    let text = file(listener: web, pool: hashed + "\n    hash: { key: uri }")
        .replacing("    \(web)", with: web)
    #expect(errors(in: text) == "")
    // Nothing is said of the key where a mode is wrong already.
    let wrong = text.replacing("mode: http", with: "mode: htp")
    #expect(messages(in: wrong) == ["7:38 unknown mode `htp`"])
}

@Test func aRingOfTooManyPointsIsRefused() {
    let backends = "[{ address: \"a:1\", weight: 32768 }, b:1]"
    let pool = hashed + "\n    hash: { key: client_ip, algorithm: "
    #expect(
        messages(in: file(pool: pool + "ketama }", backends: backends)) == [
            "11:40 the weights of the pool add up to 32769, too much for a `ketama` ring"
        ])
    #expect(errors(in: file(pool: pool + "maglev }", backends: backends)) == "")
}

@Test(arguments: [
    ("[{ address: \"a:1\", backup: yes }]", "9:42 `yes` is neither `true` nor `false`"),
    ("[{ address: \"a:1\", backup: \"true\" }]", "9:42 `true` in quotes is text"),
    ("[{ address: \"a:1\", backup: true }]", "9:15 all backends of the pool are backups"),
])
func wrongBackup(backends: String, message: String) {
    #expect(messages(in: file(backends: backends)) == [message])
}
