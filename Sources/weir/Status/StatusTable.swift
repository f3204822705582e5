// The figures of an interval as lines: the process, its listeners, its backends.

import LogReading

struct StatusTable {
    let interval: Interval
    let style: DisplayStyle
    var order = BackendOrder.file
    /// nil: no sparklines.
    var history: RateHistory?
    var selected: BackendKey?

    private typealias Cell = TextTable.Cell

    /// All of it.
    var lines: [String] { head + [""] + listeners + [""] + backends }

    /// The process.
    var head: [String] {
        let now = interval.after
        let status = now.status == "serving" ? Colour.green : .yellow
        var lines = [
            "weir \(now.version)  " + status.paint(DisplayText.escaped(now.status), if: style.hasColours)
                + "  \(now.engine), up \(UnitText.duration(microseconds: now.uptimeMicroseconds))",
            "sessions \(UnitText.count(now.sessions)) of \(UnitText.count(now.sessionLimit))"
                + "  memory \(UnitText.bytes(now.residentBytes))"
                + "  cores \(UnitText.oneDecimal(interval.cores))",
        ]
        if let drain = now.drain {
            let text =
                "draining for \(drain.lastedSeconds)s: \(UnitText.count(drain.sessions)) sessions left, "
                + "cut in \(drain.leftSeconds)s"
            lines.append(Colour.yellow.paint(text, if: style.hasColours))
        }
        if now.differsFromFile {
            let text =
                "configuration \(now.configurationNumber), of \(now.configurationSource): "
                + "not what the file says (weir history)"
            lines.append(Colour.yellow.paint(DisplayText.escaped(text), if: style.hasColours))
        }
        if now.logDropped > 0 {
            let text = "log records lost: \(UnitText.count(now.logDropped))"
            lines.append(Colour.yellow.paint(text, if: style.hasColours))
        }
        if let differing {
            lines.append(Colour.yellow.paint(DisplayText.escaped(differing), if: style.hasColours))
        }
        for pool in now.panickingPools {
            let text = "pool \(DisplayText.escaped(pool)): too few backends are well, health is ignored"
            lines.append(Colour.red.paint(text, if: style.hasColours))
        }
        return lines
    }

    /// What operators changed of backends beside the file; nil for nothing.
    private var differing: String? {
        let now = interval.after
        let changed = now.backends.filter { !$0.differs.isEmpty }.map {
            "\($0.pool)/\($0.name) (\($0.differs.joined(separator: ", ")))"
        }
        let all = changed + now.removedBackends.map { "\($0) (removed)" }
        if all.isEmpty { return nil }
        let most = 8
        let more = all.count > most ? " and \(all.count - most) more" : ""
        return "not as in the file: " + all.prefix(most).joined(separator: ", ") + more
    }

    var listeners: [String] {
        let rows = interval.after.listeners.map { now in
            let then = interval.listener(before: now)
            let failures = interval.rate(now.failed, since: then?.failed)
            return [
                Cell(text: now.name), Cell(text: now.mode), Cell(text: now.addresses.joined(separator: ",")),
                .number(UnitText.count(now.sessions)),
                .number(UnitText.oneDecimal(interval.rate(now.done, since: then?.done))),
                .number(UnitText.oneDecimal(failures), failures > 0 ? .red : .plain),
                .number(Self.duration(interval.percentile(50, now))),
                .number(Self.duration(interval.percentile(99, now))),
                .number(bytes(now.bytesIn, since: then?.bytesIn)),
                .number(bytes(now.bytesOut, since: then?.bytesOut)),
            ]
        }
        return table(
            ["LISTENER", "MODE", "ADDRESS", "SESSIONS", "RATE/S", "FAILED/S", "P50", "P99", "IN/S", "OUT/S"],
            rows)
    }

    /// The order in which they are shown.
    var backendKeys: [BackendKey] { sortedFigures.map { BackendKey($0.now) } }

    private var sortedFigures: [BackendFigures] {
        let before = Dictionary(
            interval.before.backends.map { (BackendKey($0), $0) }, uniquingKeysWith: { first, _ in first })
        let figures = interval.after.backends.map { now in
            BackendFigures(now, since: before[BackendKey(now)], interval)
        }
        return order.sorted(figures)
    }

    var backends: [String] {
        let headings = [
            "POOL", "BACKEND", "ADDRESS", "STATE", "WEIGHT", "ACTIVE", "RATE/S", "FAILED/S", "ANSWER",
        ]
        let figures = sortedFigures
        return table(
            headings + (history == nil ? [] : ["RATE"]), figures.map(cells),
            selected: figures.firstIndex { BackendKey($0.now) == selected })
    }

    private func cells(_ figures: BackendFigures) -> [Cell] {
        let now = figures.now
        let cells = [
            Cell(text: now.pool), Cell(text: now.name), Cell(text: now.address),
            Cell(text: Self.state(now), colour: Self.colour(now.state)), .number(String(now.weight)),
            .number(UnitText.count(now.active)), .number(UnitText.oneDecimal(figures.rate)),
            .number(UnitText.oneDecimal(figures.failures), figures.failures > 0 ? .red : .plain),
            .number(Self.duration(figures.answerMicroseconds)),
        ]
        return cells + (history.map { [Cell(text: $0.sparkline(BackendKey(now)), colour: .cyan)] } ?? [])
    }

    // MARK: - Cells

    private static func state(_ backend: Sample.Backend) -> String {
        let isPart = backend.sharePercent > 0 && backend.sharePercent < 100
        let time = backend.takenOutSeconds.map { " \(UnitText.duration(microseconds: $0 * 1_000_000))" } ?? ""
        return backend.state + time + (isPart ? " \(backend.sharePercent)%" : "")
            + (backend.isBackup ? " backup" : "")
    }

    private static func colour(_ state: String) -> Colour {
        switch state {
        case "healthy": .green
        case "unhealthy", "ejected": .red
        default: .yellow
        }
    }

    private static func duration(_ microseconds: UInt64?) -> String {
        microseconds.map { UnitText.duration(microseconds: $0) } ?? "-"
    }

    private func bytes(_ now: UInt64, since then: UInt64?) -> String {
        UnitText.bytes(UInt64(interval.rate(now, since: then)))
    }

    private func table(_ headings: [String], _ rows: [[Cell]], selected: Int? = nil) -> [String] {
        TextTable(headings: headings, rows: rows, style: style, selected: selected).lines
    }
}
