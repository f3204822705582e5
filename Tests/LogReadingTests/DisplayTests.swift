import Testing

@testable import LogReading

@Suite struct DisplayTests {
    private let plain = DisplayStyle(hasColours: false, width: nil)

    private func terminal(_ width: Int, colours: Bool = false) -> DisplayStyle {
        DisplayStyle(hasColours: colours, width: width)
    }

    @Test(
        arguments: [
            ("plain ~", "plain ~"), ("\u{1B}[2J", #"\u001b[2J"#),
            ("a\r\n\t\0\u{7F}", #"a\u000d\u000a\u0009\u0000\u007f"#),
            ("\u{9B}31m", #"\u009b31m"#), ("\u{202E}gpj", #"\u202egpj"#), ("größe 日本", "größe 日本"),
            ("\u{E0001}", #"\udb40\udc01"#), ("\u{200B}", #"\u200b"#),
        ])
    func whatSteersATerminalIsEscaped(text: String, shown: String) {
        #expect(DisplayText.escaped(text) == shown)
    }

    @Test(
        arguments: [
            ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", 1, "…"), ("abcdef", 0, ""),
            ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
        ])
    func textIsCutByColumns(text: String, columns: Int, shown: String) {
        #expect(DisplayText.cut(text, to: columns) == shown)
        #expect(DisplayText.width(DisplayText.padded(text, to: columns)) == columns)
    }

    @Test func marksThatTakeNoColumnAreBounded() {
        let heap = "a" + String(repeating: "\u{301}", count: 10_000)
        #expect(DisplayText.cut(heap, to: 5).unicodeScalars.count <= 21)
    }

    @Test func aLineHasItsColumnsInOrder() throws {
        var columns = ColumnPrinter()
        let line = columns.line(for: try #require(record(session)), style: plain)
        #expect(
            line == "2026-01-31T12:00:00.123456Z  ok             326us  cache     127.0.0.1:60940        "
                + "redis/127.0.0.1:6379  in 78B, out 82B")
        let web = made(
            #""time":"2026-01-31T12:00:01.5Z","listener":"web","client":"[::1]:5","pool":"api","backend":"a","#
                + #""reason":"connect_refused","status":503,"attempts":2,"method":"GET","host":"h.example","#
                + #""path":"/x?y=1","total_us":1234567"#)
        #expect(
            columns.line(for: web, style: plain)
                == "2026-01-31T12:00:01.5Z       503 connect_refused    1.2s  web       [::1]:5                "
                + "api/a                 GET h.example/x?y=1 (2 attempts)")
    }

    @Test func aTerminalGetsWhatItHasRoomFor() throws {
        let read = try #require(record(session))
        var columns = ColumnPrinter()
        #expect(
            columns.line(for: read, style: terminal(120))
                == "12:00:00.123  ok             326us  cache     127.0.0.1:60940        redis/127.0.0.1:6379  in 78B, out 82B"
        )
        #expect(
            columns.line(for: read, style: terminal(80))
                == "12:00:00.123  ok             326us  127.0.0.1:6379    in 78B, out 82B",
            "the pool goes before the backend's name is cut")
        #expect(
            columns.line(for: read, style: terminal(60))
                == "12:00:00.123  ok             326us  in 78B, out 82B")
        #expect(columns.line(for: read, style: terminal(20)) == "12:00:00.123  ok    ")
    }

    @Test func linesAlignWhateverCameBefore() {
        let members = [
            #""reason":"ok","pool":"p","backend":"b","method":"M","path":"/1""#,
            #""reason":"a_reason_longer_than_most_are","pool":"a-long-pool-name","backend":"b","method":"M","path":"/2""#,
            #""reason":"ok","pool":"p","backend":"b","method":"M","path":"/3""#,
        ]
        for width in [80, 120, 200] {
            var columns = ColumnPrinter()
            let lines = members.map { columns.line(for: made($0), style: terminal(width)) }
            let places = lines.map { line in
                line.firstRange(of: "M /").map { line.distance(from: line.startIndex, to: $0.lowerBound) }
            }
            #expect(places[1] == places[2] && places[1] != nil)
        }
    }

    @Test func coloursEndWhereTheyBegan() throws {
        var columns = ColumnPrinter()
        for text in [
            session, #"{"event":"stopped","level":"error","x":{"a":[1,"b c"]}}"#, #"{"status":500}"#,
        ] {
            let line = columns.line(for: try #require(record(text)), style: terminal(100, colours: true))
            let codes = line.split(separator: "\u{1B}[", omittingEmptySubsequences: false).dropFirst().map {
                $0.prefix { $0 != "m" }
            }
            #expect(codes.count >= 2 && codes.count.isMultiple(of: 2))
            #expect(codes.enumerated().allSatisfy { ($0.offset % 2 == 1) == ($0.element == "0") })
        }
        let unreadable = columns.line(
            forUnreadable: Array("\u{1B}[1mx".utf8), style: terminal(100, colours: true))
        #expect(unreadable == "\u{1B}[2m\\u001b[1mx\u{1B}[0m")
    }

    @Test func eventsShowAllTheirKeys() {
        var columns = ColumnPrinter()
        let event = made(
            #""time":"2026-01-31T12:00:00.123456Z","level":"error","event":"log_dropped","n":3,"cause":"too slow","o":{"a":true,"b":[null]}"#
        )
        #expect(
            columns.line(for: event, style: plain)
                == #"2026-01-31T12:00:00.123456Z  log_dropped  n=3 cause="too slow" o={a=true b=[null]}"#)
        #expect(columns.line(for: event, style: terminal(30)) == "12:00:00.123  log_dropped  n=…")
    }

    @Test(
        arguments: [
            (0, "0us"), (999, "999us"), (1000, "1.0ms"), (9_999, "9.9ms"), (10_000, "10ms"),
            (999_999, "999ms"),
            (1_000_000, "1.0s"), (59_999_999, "59s"), (60_000_000, "1m00s"), (3_599_000_000, "59m59s"),
            (3_600_000_000, "1h00m"), (90_000_000_000, "1d01h"), (UInt64.max, "213503982d08h"),
        ] as [(UInt64, String)])
    func durationsAreShort(microseconds: UInt64, text: String) {
        #expect(UnitText.duration(microseconds: microseconds) == text)
    }

    @Test(
        arguments: [
            (0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (10 << 10, "10KiB"), (1 << 20, "1.0MiB"),
            (UInt64.max, "15EiB"),
        ] as [(UInt64, String)])
    func sizesAreShort(count: UInt64, text: String) {
        #expect(UnitText.bytes(count) == text)
    }

    @Test func countsAndSharesAreReadable() {
        #expect(
            UnitText.count(0) == "0" && UnitText.count(999) == "999"
                && UnitText.count(1_234_567) == "1,234,567")
        #expect(UnitText.percent(1, of: 0) == "-" && UnitText.percent(1, of: 3) == "33.3%")
    }
}
