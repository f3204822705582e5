import Testing

@testable import LogReading

@Suite struct SummaryTests {
    private let plain = DisplayStyle(hasColours: false, width: nil)

    @Test func percentilesAreAtMostOneThirtySecondTooHigh() {
        var histogram = DurationHistogram()
        #expect(histogram.percentile(0.5) == nil)
        for value in 1...10_000 as ClosedRange<UInt64> { histogram.add(value * 7) }
        for share in [0.01, 0.5, 0.9, 0.95, 0.99, 0.999] {
            let exact = share * 10_000 * 7
            let shown = Double(histogram.percentile(share) ?? 0)
            #expect(shown >= exact && shown <= exact * (1 + 1.0 / 32))
        }
        #expect(histogram.percentile(1) == 70_000 && histogram.largest == 70_000)
    }

    @Test func smallDurationsAreExactAndTheLargestFits() {
        var histogram = DurationHistogram()
        for value in [0, 1, 2, 3, 31, 32, 63] as [UInt64] { histogram.add(value) }
        #expect(
            histogram.percentile(0) == 0 && histogram.percentile(0.5) == 3 && histogram.percentile(1) == 63)
        histogram.add(.max)
        #expect(histogram.percentile(1) == .max && histogram.percentile(0.8) == 63)
        for shift in 0..<64 {
            var single = DurationHistogram()
            single.add(1 << UInt64(shift))
            #expect(single.percentile(0.5) == 1 << UInt64(shift))
        }
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T00:00:00.000001Z", 951_782_400_000_001),
            ("2026-01-31T12:00:00.5Z", 1_769_860_800_500_000),
            ("2100-03-01T00:00:00.0Z", 4_107_542_400_000_000),
        ] as [(String, UInt64)])
    func timesAreRead(text: String, microseconds: UInt64) {
        #expect(Timestamp.microseconds(text) == microseconds)
    }

    @Test(
        arguments: [
            "", "Z", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-13-31T12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+00:00", "1969-12-31T23:59:59Z", "2026-01-31T24:00:00Z",
            "20é6-01-31T12:00:00Z",
        ])
    func whatIsNoTimeIsRefused(text: String) {
        #expect(Timestamp.microseconds(text) == nil)
    }

    @Test func figuresAreThoseOfTheRecords() {
        var summary = Summary()
        for index in 0..<100 {
            let status = index < 90 ? 200 : index < 95 ? 404 : 503
            summary.add(
                made(
                    #""time":"2026-01-31T12:00:\#(index < 50 ? "00" : "10")Z","pool":"api","#
                        + #""backend":"\#(index % 4 == 0 ? "a" : "b")","status":\#(status),"reason":"ok","#
                        + #""total_us":\#(index < 99 ? 20 : 5_000_000)"#))
        }
        summary.add(made(#""event":"draining""#))
        summary.addUnreadable()
        let lines = summary.lines(style: plain, recentRate: 3.25)
        #expect(
            lines == [
                "records 100   rate 10.0/s over 10s   now 3.3/s   errors 5.0%   events 1   unreadable 1",
                "p50 20us   p95 20us   p99 20us   max 5.0s",
                "",
                "outcome              count     share",
                "2xx                     90     90.0%",
                "4xx                      5      5.0%",
                "5xx                      5      5.0%",
                "",
                "backend              count    errors       p50       p99",
                "api/b                   75      5.3%      20us      5.0s",
                "api/a                   25      4.0%      20us      20us",
            ])
    }

    @Test func withoutRecordsThereAreNoFigures() {
        #expect(
            Summary().lines(style: plain, recentRate: nil) == [
                "records 0   errors -", "p50 -   p95 -   p99 -   max -",
            ])
    }

    @Test func tablesAreBounded() {
        var summary = Summary()
        for index in 0..<1000 {
            summary.add(made(#""reason":"r\#(index)","backend":"b\#(index)","total_us":1"#))
        }
        let lines = summary.lines(style: plain, recentRate: nil)
        #expect(lines.count <= Summary.rowLimit + 20)
        #expect(
            lines.contains { $0.hasPrefix("(others)") && $0.contains("872") }, "what has no row is counted")
    }

    @Test func linesOfFiguresAreCutToTheTerminal() {
        var summary = Summary()
        summary.add(
            made(#""reason":"\u001b[2Jx","backend":"\#(String(repeating: "b", count: 500))","total_us":1"#))
        for width in [1, 20, 80] {
            for line in summary.lines(style: DisplayStyle(hasColours: false, width: width), recentRate: 1) {
                #expect(DisplayText.width(line) <= width && line == DisplayText.escaped(line))
            }
        }
    }
}

@Suite struct LineSplitterTests {
    private func lines(_ text: String, piece: Int, limit: Int = 100) -> [String] {
        var splitter = LineSplitter(limit: limit)
        var lines: [String] = []
        let keep = { (line: LineSplitter.Line) in
            lines.append(String(decoding: line.bytes, as: UTF8.self) + (line.wasCut ? "(cut)" : ""))
        }
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: piece) {
            splitter.append(bytes[start..<min(start + piece, bytes.count)], each: keep)
        }
        if let last = splitter.finish() { keep(last) }
        return lines
    }

    @Test(arguments: [1, 2, 3, 5, 100])
    func linesAreTheSameHoweverTheyArrive(piece: Int) {
        #expect(lines("one\n\nthree\nrest", piece: piece) == ["one", "", "three", "rest"])
        #expect(lines("one\n", piece: piece) == ["one"])
        #expect(lines("", piece: piece) == [])
    }

    @Test(arguments: [1, 3, 100])
    func aLineBeyondTheLimitIsCutAndTheNextIsWhole(piece: Int) {
        #expect(lines("12345\n123456\nabc\n", piece: piece, limit: 5) == ["12345", "12345(cut)", "abc"])
    }
}
