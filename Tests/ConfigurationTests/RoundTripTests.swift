// What Weir writes, it reads: the resolved configuration gives the same configuration again.

import Configuration
import Testing

private func expectRoundTrip(_ configuration: Configuration) throws {
    let written = configuration.rendered()
    let again = try read(written)
    #expect(again.withoutPositions == configuration.withoutPositions, "\(written)")
    #expect(again.rendered() == written)
}

@Test func renderedConfigurationReadsBackEqual() throws {
    try expectRoundTrip(read(fullFile))
    try expectRoundTrip(read(file()))
}

@Test func renderedConfigurationShowsDefaults() throws {
    #expect(
        try read(file()).rendered() == """
            workers: auto
            engine: auto
            watch: false
            limits:
              sessions: 16384
              buffers: auto
              buffer_size: 16KiB
              header_size: 16KiB
              headers: 100
            logs:
              access: stdout
              events: stderr
              format: json
              sample: 100%
            listeners:
              web:
                bind: 127.0.0.1:80
                mode: tcp
                pool: site
                timeouts:
                  connect: 5s
                  idle: 1h
                limits: {}
                relay: auto
            pools:
              site:
                balance: round_robin
                backends:
                  - { address: 10.0.0.1:80, weight: 1 }
                keep_alive:
                  idle: 64
                  idle_timeout: 1m
                  max_requests: 0
                  batch: 1
                health:
                  passive:
                    consecutive_failures: 5
                    failure_rate: off
                    window: 100
                    minimum: 20
                    eject_for: 10s
                    max_eject_for: 5m
                    max_ejected: 50%
                  panic_below: 1%
                slow_start: off
                breaker:
                  max_pending: 1024
                  pending_timeout: 1s
                on_remove: drain
                drain_timeout: 1h

            """)
}

@Test(arguments: [
    "null", "~", "true", "5", "a b/", "/x: y", "/#", "# /", "'/'", "\\\"/", "${HOME}/x", "$${/", "$$${A}/",
    "/日本語/é",
    "/\u{1F600}", "- /", "*/", "&/", "{/}", "[/", "/a:", "/\u{00A0}", "/{\u{0308}", "$\u{0308}{/",
])
func textsReadBackAsTheyAre(text: String) throws {
    var configuration = try read(file())
    configuration.logs.access = .file(path: "/" + text)
    configuration.logs.events = .file(path: text + "/")
    configuration.pools[0].backends[0].name = "x" + text.filter { $0 != " " && $0 != "\u{00A0}" }
    try expectRoundTrip(configuration)
}

@Test func randomConfigurationsReadBackEqual() throws {
    var random = SeededRandom(seed: 7)
    for _ in 0..<300 {
        var configuration = try read(fullFile)
        configuration.workers = random.next(below: 2) == 0 ? .automatic : .count(1 + random.next(below: 256))
        configuration.limits.sessions = 1 + random.next(below: 1_000_000)
        configuration.limits.buffers = random.next(below: 2) == 0 ? nil : 16 + random.next(below: 30_000)
        configuration.limits.bufferSizeBytes = 1024 + random.next(below: 1_047_553)
        configuration.limits.headerSizeBytes = min(
            1024 + random.next(below: 100_000), configuration.limits.bufferSizeBytes)
        configuration.logs.successSampleShare = Double(random.next(below: 1_000_001)) / 1_000_000
        configuration.listeners[0].timeouts.idleNanoseconds = UInt64(1 + random.next(below: 1 << 40)) * 1_000
        configuration.listeners[0].bind = [
            .ipv6(high: random.sparse(), low: random.sparse(), port: UInt16(random.next(below: 65_536)))
        ]
        configuration.pools[0].backends[0].address = .ipv6(
            high: random.sparse(), low: random.sparse() | 1, port: UInt16(1 + random.next(below: 65_535)))
        configuration.pools[0].backends[0].weight = random.next(below: 65_536)
        try expectRoundTrip(configuration)
    }
}
