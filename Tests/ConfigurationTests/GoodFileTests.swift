// What a good file means: values, defaults, positions, YAML's several spellings.

import Configuration
import Testing

@Test func minimalFileTakesEveryDefault() throws {
    let configuration = try read(
        "listeners: {a: {bind: 127.0.0.1:80, pool: p}}\npools: {p: {backends: [b:1]}}")
    var expected = Configuration()
    expected.listeners = [
        Listener(
            name: "a", bind: [.ipv4(0x7F00_0001, port: 80)], pool: "p",
            position: SourcePosition(line: 1, column: 13))
    ]
    let backend = Backend(
        name: "b:1", address: .name("b", port: 1), position: SourcePosition(line: 2, column: 24))
    expected.pools = [
        Pool(name: "p", backends: [backend], position: SourcePosition(line: 2, column: 9))
    ]
    #expect(configuration == expected)
}

@Test func everyKeyIsRead() throws {
    let configuration = try read(fullFile)
    #expect(configuration.workers == .count(4))
    #expect(configuration.engine == .epoll)
    #expect(configuration.watch)
    let reload = try #require(configuration.reload)
    #expect(reload.rollbackAbovePercent == 7)
    #expect(reload.withinNanoseconds == 120_000_000_000)
    #expect(reload.minimum == 50)
    #expect(configuration.limits.sessions == 1000)
    #expect(configuration.limits.buffers == 64)
    #expect(configuration.limits.bufferSizeBytes == 4096)
    #expect(configuration.admin?.bind == [.unix(path: "/run/weir/admin.sock"), .ipv4(0, port: 9900)])
    #expect(configuration.admin?.token == "0123456789abcdef")
    let alerts = try #require(configuration.alerts)
    #expect(alerts.command == ["/usr/bin/page", "two words", "--now"])
    #expect(
        alerts.webhook == Webhook(address: .name("hooks.internal", port: 9000), target: "/weir?a=1"))
    #expect(alerts.errorRatePercent == 10)
    #expect(configuration.logs.access == .file(path: "/var/log/weir.log"))
    #expect(configuration.logs.events == .off)
    #expect(configuration.logs.format == .text)
    #expect(configuration.logs.successSampleShare == 0.125)
    #expect(configuration.listeners.map(\.name) == ["web", "cache"])
    let web = configuration.listeners[0]
    #expect(
        web.bind == [
            .ipv4(0, port: 8080), .ipv6(high: 0, low: 0, port: 8080), .unix(path: "/run/w eb.sock"),
        ])
    #expect(web.mode == .tcp)
    #expect(web.pool == "site")
    #expect(web.timeouts.connectNanoseconds == 250_000_000)
    #expect(web.timeouts.idleNanoseconds == 90_000_000_000)
    #expect(web.limits.sessions == 100)
    #expect(web.limits.sessionsPerClient == 10)
    #expect(web.relay == .splice)
    let site = configuration.pools[0]
    #expect(site.balance == .random)
    #expect(
        site.backends.map(\.name) == ["10.0.0.1:80", "[2001:0db8::0001]:80", "named", "unix:/run/a pp.sock"])
    #expect(site.backends.map(\.weight) == [1, 1, 5, 0])
    #expect(site.backends.map(\.maxSessions) == [nil, nil, 7, nil])
    #expect(site.backends[1].address == .ipv6(high: 0x2001_0DB8_0000_0000, low: 1, port: 80))
}

@Test func adminIsOffUnlessGiven() throws {
    #expect(try read(file()).admin == nil)
    let admin = try #require(try read(file(top: "admin: {}")).admin)
    #expect(admin.bind == [AdminSettings.defaultBind] && admin.token == nil)
    #expect(try read(file(top: "admin: { bind: \"[::1]:9900\" }")).admin?.token == nil)
    #expect(try read(file(top: "admin: { bind: 127.1.2.3:9900 }")).admin?.token == nil)
}

@Test func aTokenIsNotShown() throws {
    let shown = try read(fullFile).withoutSecrets.rendered()
    #expect(!shown.contains("0123456789abcdef") && shown.contains("(hidden)"))
}

@Test(
    arguments: [
        ("http://127.0.0.1", Address.ipv4(0x7F00_0001, port: 80), "/"),
        ("http://127.0.0.1:9000/a?b=c", .ipv4(0x7F00_0001, port: 9000), "/a?b=c"),
        ("http://[::1]/", .ipv6(high: 0, low: 1, port: 80), "/"),
        ("http://[::1]:81?b", .ipv6(high: 0, low: 1, port: 81), "/?b"),
        ("http://hooks/x", .name("hooks", port: 80), "/x"),
    ])
func webhooksAreRead(text: String, address: Address, target: String) throws {
    let configuration = try read(file(top: "alerts: { webhook: \"\(text)\" }"))
    #expect(configuration.alerts?.webhook == Webhook(address: address, target: target))
    #expect(try read(configuration.rendered()).alerts == configuration.alerts)
}

@Test func alertsMayBeForTheLogAlone() throws {
    #expect(try read(file(top: "alerts: {}")).alerts == AlertSettings())
    #expect(try read(file()).alerts == nil)
}

@Test func jsonIsRead() throws {
    let json = """
        {
        \t"workers": "auto", "limits": {"sessions": 5},
        \t"listeners": {"web": {"bind": ["[::1]:80"], "pool": "site"}},
        \t"pools": {"site": {"backends": [{"address": "10.0.0.1:80", "weight": 2}]}}
        }
        """
    let configuration = try read(json)
    #expect(configuration.workers == .automatic)
    #expect(configuration.limits.sessions == 5)
    #expect(configuration.pools[0].backends[0].weight == 2)
}

@Test func lineEndsAndByteOrderMarkDoNotMatter() throws {
    let expected = try read(fullFile)
    let windows = fullFile.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
    #expect(try read(windows) == expected)
    #expect(try read("\u{FEFF}" + fullFile) == expected)
    let old = fullFile.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r")
    #expect(try read(old) == expected)
}

@Test(
    arguments: [
        ("1us", 1_000), ("500ms", 500_000_000), ("10s", 10_000_000_000), ("5m", 300_000_000_000),
        ("1h", 3_600_000_000_000), ("30d", 2_592_000_000_000_000),
    ] as [(String, UInt64)])
func durations(text: String, nanoseconds: UInt64) throws {
    let configuration = try read(file(listener: "timeouts: { idle: \(text) }"))
    #expect(configuration.listeners[0].timeouts.idleNanoseconds == nanoseconds)
}

@Test(arguments: [("1024", 1024), ("1KiB", 1024), ("16KiB", 16_384), ("1MiB", 1_048_576)])
func sizes(text: String, bytes: Int) throws {
    #expect(try read(file(top: "limits: { buffer_size: \(text) }")).limits.bufferSizeBytes == bytes)
}

@Test(arguments: [("0%", 0), ("5%", 0.05), ("0.5%", 0.005), ("33.3333%", 0.333333), ("100%", 1)])
func shares(text: String, share: Double) throws {
    #expect(try read(file(top: "logs: { sample: \(text) }")).logs.successSampleShare == share)
}

@Test(arguments: [
    ("10.0.0.1:80", "10.0.0.1:80"), ("[::1]:80", "[::1]:80"),
    ("[2001:DB8:0:0:1:0:0:1]:80", "[2001:db8::1:0:0:1]:80"),
    ("[::ffff:1.2.3.4]:80", "[::ffff:102:304]:80"), ("[1:2:3:4:5:6:7:8]:65535", "[1:2:3:4:5:6:7:8]:65535"),
    ("[1::]:1", "[1::]:1"), ("[1:0:3:4:5:6:7:8]:1", "[1:0:3:4:5:6:7:8]:1"),
    ("a_b.example.com:80", "a_b.example.com:80"),
    ("unix:/run/x", "unix:/run/x"),
])
func addressesReadAndWrite(text: String, written: String) throws {
    let configuration = try read(file(backends: "[\"\(text)\"]"))
    #expect(configuration.pools[0].backends[0].address.description == written)
    #expect(configuration.pools[0].backends[0].name == text)
}

@Test func poolThatNobodyUsesIsAWarning() throws {
    let configuration = try read(file(pool: "balance: random") + "\n  spare: { backends: [10.0.0.2:80] }")
    #expect(
        configuration.warnings(file: "weir.yaml") == [
            "weir.yaml:11:3: warning: no listener uses the pool `spare`"
        ])
}
