// Running figures over the records that matched: how many, how fast, how they ended, how long they took,
// and on which backends. Takes bounded memory however long it runs: names beyond a table's places are
// counted together.

/// What `weir tail --stats` shows.
public struct Summary: Sendable {
    private struct Row: Sendable {
        var count: UInt64 = 0
        var failed: UInt64 = 0
        var durations = DurationHistogram()

        mutating func add(_ record: LogRecord) {
            count += 1
            if record.severity == .failed { failed += 1 }
            if let microseconds = record.totalMicroseconds { durations.add(microseconds) }
        }
    }

    /// Rows of a table that have a name; the rest is one more row.
    static let rowLimit = 128
    private static let rest = "(others)"
    private static let nameLimitCharacters = 64
    private static let backendRowsShown = 10

    private var all = Row()
    private var outcomes: [String: UInt64] = [:]
    private var severities: [String: Severity] = [:]
    private var backends: [String: Row] = [:]
    private var events: UInt64 = 0
    private var unreadable: UInt64 = 0
    private var firstTime: UInt64?
    private var lastTime: UInt64?

    public init() {}

    /// Records counted so far.
    public var count: UInt64 { all.count }

    public mutating func add(_ record: LogRecord) {
        guard record.kind == .access else {
            events += 1
            return
        }
        all.add(record)
        let name = record.status.map { "\($0 / 100)xx" } ?? record.reason ?? "-"
        let outcome = Self.place(for: name, isTaken: { outcomes[$0] != nil }, outcomes.count)
        outcomes[outcome, default: 0] += 1
        severities[outcome] = max(severities[outcome] ?? .good, record.severity)
        if let backend = record.backend {
            let name = (record.pool.map { $0 + "/" } ?? "") + backend
            let place = Self.place(for: name, isTaken: { backends[$0] != nil }, backends.count)
            backends[place, default: Row()].add(record)
        }
        if let time = record.time.flatMap(Timestamp.microseconds) {
            firstTime = min(firstTime ?? time, time)
            lastTime = max(lastTime ?? time, time)
        }
    }

    /// A line that is no record.
    public mutating func addUnreadable() { unreadable += 1 }

    private static func place(for name: String, isTaken: (String) -> Bool, _ taken: Int) -> String {
        let short = String(name.prefix(nameLimitCharacters))
        return isTaken(short) || taken < rowLimit ? short : rest
    }

    // MARK: As text

    /// The lines to show. `recentRate` is what a live display measured itself, in records a second.
    public func lines(style: DisplayStyle, recentRate: Double?) -> [String] {
        var lines = [overview(style, recentRate), durations(style)]
        if !outcomes.isEmpty {
            lines += [""] + table(outcomeRows, heads: ["outcome", "count", "share"], style)
        }
        if !backends.isEmpty {
            lines += [""] + table(backendRows, heads: ["backend", "count", "errors", "p50", "p99"], style)
        }
        return lines
    }

    private func overview(_ style: DisplayStyle, _ recentRate: Double?) -> String {
        var parts = ["records \(UnitText.count(all.count))"]
        if let firstTime, let lastTime {
            let span = lastTime - firstTime
            // Less than a second says nothing about a second.
            let rate = Double(all.count) / max(Double(span) / 1_000_000, 1)
            parts.append("rate \(UnitText.oneDecimal(rate))/s over \(UnitText.duration(microseconds: span))")
        }
        if let recentRate { parts.append("now \(UnitText.oneDecimal(recentRate))/s") }
        parts.append("errors \(UnitText.percent(all.failed, of: all.count))")
        if events > 0 { parts.append("events \(UnitText.count(events))") }
        if unreadable > 0 { parts.append("unreadable \(UnitText.count(unreadable))") }
        return fit(parts.joined(separator: "   "), all.failed > 0 ? .red : .bold, style)
    }

    private func durations(_ style: DisplayStyle) -> String {
        let parts = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].map {
            "\($0) \(Self.text(all.durations, $1))"
        }
        let most = all.durations.count > 0 ? UnitText.duration(microseconds: all.durations.largest) : "-"
        return fit((parts + ["max \(most)"]).joined(separator: "   "), .plain, style)
    }

    private var outcomeRows: [(cells: [String], colour: Colour)] {
        Self.byCount(outcomes.map { ($0.key, $0.value) }).map { name, count in
            (
                [name, UnitText.count(count), UnitText.percent(count, of: all.count)],
                (severities[name] ?? .good).colour
            )
        }
    }

    private var backendRows: [(cells: [String], colour: Colour)] {
        let busiest = Self.byCount(backends.map { ($0.key, $0.value.count) }).prefix(Self.backendRowsShown)
        return busiest.map { name, count in
            let row = backends[name] ?? Row()
            return (
                [
                    name, UnitText.count(count), UnitText.percent(row.failed, of: row.count),
                    Self.text(row.durations, 0.5), Self.text(row.durations, 0.99),
                ],
                row.failed > 0 ? .red : .plain
            )
        }
    }

    /// The most first; equals by name, so that rows stand still.
    private static func byCount(_ rows: [(String, UInt64)]) -> [(String, UInt64)] {
        rows.sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0 < $1.0 }
    }

    private static func text(_ histogram: DurationHistogram, _ share: Double) -> String {
        histogram.percentile(share).map { UnitText.duration(microseconds: $0) } ?? "-"
    }

    private func table(
        _ rows: [(cells: [String], colour: Colour)], heads: [String], _ style: DisplayStyle
    ) -> [String] {
        let nameWidth = min(
            40, max(16, rows.map { DisplayText.width(DisplayText.escaped($0.cells[0])) }.max() ?? 0))
        func line(_ cells: [String]) -> String {
            DisplayText.padded(cells[0], to: nameWidth)
                + cells.dropFirst().map { DisplayText.padded($0, to: 10, alignedRight: true) }.joined()
        }
        return [fit(line(heads), .dim, style)] + rows.map { fit(line($0.cells), $0.colour, style) }
    }

    private func fit(_ text: String, _ colour: Colour, _ style: DisplayStyle) -> String {
        let shown = style.width.map { DisplayText.cut(text, to: $0) } ?? text
        return colour.paint(shown, if: style.hasColours)
    }
}
