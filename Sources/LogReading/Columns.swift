// Records as aligned columns: time, outcome, duration, listener, client, backend, and what was asked for.
// Columns grow with what they have seen, so that lines align without looking ahead. On a terminal they grow
// only while the last column keeps enough room, a line is cut to the width, and where that is narrow client,
// listener and backend are left out, in this order.

/// What output looks like.
public struct DisplayStyle: Sendable {
    public var hasColours: Bool
    /// Columns of the terminal; nil where output is no terminal, and nothing is cut.
    public var width: Int?

    public init(hasColours: Bool, width: Int?) {
        self.hasColours = hasColours
        self.width = width
    }
}

/// Writes lines, and remembers how wide the columns are.
public struct ColumnPrinter: Sendable {
    private struct Cell {
        let text: String
        /// What is shown where the text does not fit.
        var short: String?
        let colour: Colour
        var alignedRight = false
    }

    /// All but the last have a width; it takes what is left.
    private enum Column: Int, CaseIterable {
        case time, outcome, duration, listener, client, backend, request
    }

    private static let gap = 2
    private static let leastRequestWidth = 24
    private static let firstToGo: [Column] = [.client, .listener, .backend]
    /// Enough for common names; with these a terminal of 80 columns shows the backend.
    private static let firstWidths = [12, 12, 6, 8, 21, 16]
    /// Where output is no terminal; longer text is not cut, but no later line is aligned with it.
    private static let widestAligned = 64

    private var widths = firstWidths
    private var widthOfTerminal: Int?

    public init() {}

    /// One line without its end.
    public mutating func line(for record: LogRecord, style: DisplayStyle) -> String {
        switch record.kind {
        case .access: return accessLine(record, style)
        case .event, .other: return eventLine(record, style)
        }
    }

    /// A line that is no record, or none of Weir's: dimmed, and safe to show.
    public func line(forUnreadable bytes: [UInt8], style: DisplayStyle) -> String {
        Colour.dim.paint(Self.fit(String(decoding: bytes, as: UTF8.self), style.width), if: style.hasColours)
    }

    // MARK: Access records

    private mutating func accessLine(_ record: LogRecord, _ style: DisplayStyle) -> String {
        if style.width != widthOfTerminal {
            widthOfTerminal = style.width
            widths = Self.firstWidths
        }
        let cells = Self.cells(of: record, isTerminal: style.width != nil)
        let columns = visibleColumns(style.width)
        for column in columns.dropLast() { grow(column, for: cells[column.rawValue], columns, style.width) }
        var line = ""
        var room = style.width ?? .max
        for column in columns where room > 0 {
            let cell = cells[column.rawValue]
            if column == .request {
                line += cell.colour.paint(
                    Self.fit(cell.text, style.width == nil ? nil : room), if: style.hasColours)
                break
            }
            let text = text(of: cell, in: min(room, widths[column.rawValue]), isCut: style.width != nil)
            line += cell.colour.paint(text, if: style.hasColours)
            room -= DisplayText.width(text)
            line += String(repeating: " ", count: max(0, min(room, Self.gap)))
            room -= Self.gap
        }
        return line
    }

    /// Depends on the terminal alone, so that columns do not come and go.
    private func visibleColumns(_ width: Int?) -> [Column] {
        var columns = Column.allCases
        guard let width else { return columns }
        for column in Self.firstToGo where Self.used(by: columns, Self.firstWidths) > width {
            columns.removeAll { $0 == column }
        }
        return columns
    }

    /// What columns of such widths and the least request take.
    private static func used(by columns: [Column], _ widths: [Int]) -> Int {
        columns.dropLast().reduce(leastRequestWidth) { $0 + widths[$1.rawValue] + gap }
    }

    private mutating func grow(_ column: Column, for cell: Cell, _ columns: [Column], _ width: Int?) {
        let present = widths[column.rawValue]
        let wanted = DisplayText.width(DisplayText.escaped(cell.text)) - present
        let room = max(0, width.map { $0 - Self.used(by: columns, widths) } ?? Self.widestAligned - present)
        // Where the short text will be shown all the same, the column need not grow.
        guard wanted > 0, wanted <= room || cell.short == nil else { return }
        widths[column.rawValue] += min(wanted, room)
    }

    private func text(of cell: Cell, in width: Int, isCut: Bool) -> String {
        var text = DisplayText.escaped(cell.text)
        if isCut, DisplayText.width(text) > width, let short = cell.short { text = short }
        let columns = isCut ? width : max(width, DisplayText.width(text))
        return DisplayText.padded(text, to: columns, alignedRight: cell.alignedRight)
    }

    private static func cells(of record: LogRecord, isTerminal: Bool) -> [Cell] {
        let severity = record.severity
        return [
            Cell(text: timeText(record, isTerminal: isTerminal), colour: .dim),
            Cell(
                text: outcome(of: record), short: record.status.map { "\($0)" }, colour: severity.colour),
            Cell(
                text: record.totalMicroseconds.map { UnitText.duration(microseconds: $0) } ?? "-",
                colour: .plain, alignedRight: true),
            Cell(text: record.listener ?? "-", colour: .cyan),
            Cell(text: record.client ?? "-", colour: .dim),
            Cell(text: target(of: record), short: record.backend, colour: .blue),
            Cell(text: request(of: record), colour: severity == .failed ? .bold : .plain),
        ]
    }

    /// On a terminal the time of day; else all of it.
    private static func timeText(_ record: LogRecord, isTerminal: Bool) -> String {
        guard let time = record.time else { return "-" }
        guard isTerminal, Timestamp.microseconds(time) != nil else { return time }
        return String(time.dropFirst(11).prefix(12).filter { $0 != "Z" })
    }

    /// The status; without one, or where all is not well, the reason.
    private static func outcome(of record: LogRecord) -> String {
        guard let status = record.status else { return record.reason ?? "-" }
        guard let reason = record.reason, reason != "ok" else { return "\(status)" }
        return "\(status) \(reason)"
    }

    private static func target(of record: LogRecord) -> String {
        guard let pool = record.pool else { return record.backend ?? "-" }
        return "\(pool)/\(record.backend ?? "-")"
    }

    private static func request(of record: LogRecord) -> String {
        var words = record.cause.map { [$0] } ?? []
        if record.method != nil || record.path != nil {
            words += [record.method ?? "-", (record.host ?? "") + (record.path ?? "")]
        } else if let bytesIn = record.bytesIn, let bytesOut = record.bytesOut {
            words.append("in \(UnitText.bytes(bytesIn)), out \(UnitText.bytes(bytesOut))")
        }
        if let attempts = record.attempts, attempts > 1 { words.append("(\(attempts) attempts)") }
        return words.joined(separator: " ")
    }

    // MARK: Events

    private func eventLine(_ record: LogRecord, _ style: DisplayStyle) -> String {
        let time = Self.timeText(record, isTerminal: style.width != nil)
        let name = record.event ?? "-"
        let rest = record.members.filter { !["time", "level", "event"].contains($0.name) }
            .map { "\($0.name)=\($0.value.shown)" }.joined(separator: " ")
        let colour: Colour =
            switch record.level {
            case "error": .red
            case "warning": .yellow
            default: record.kind == .event ? .bold : .dim
            }
        var room = style.width
        var parts: [String] = []
        for (text, colour) in [
            (time, Colour.dim), (name, colour), (rest, record.kind == .event ? .plain : .dim),
        ] {
            if let left = room, left <= 0 { break }
            let shown = Self.fit(text, room)
            parts.append(colour.paint(shown, if: style.hasColours))
            room = room.map { $0 - DisplayText.width(shown) - Self.gap }
        }
        return parts.joined(separator: String(repeating: " ", count: Self.gap))
    }

    private static func fit(_ text: String, _ width: Int?) -> String {
        width.map { DisplayText.cut(text, to: $0) } ?? DisplayText.escaped(text)
    }
}

extension JSONValue {
    /// For a person: strings without quotes unless they have spaces, objects as `{a=1 b=2}`.
    var shown: String {
        switch self {
        case .string(let text): text.isEmpty || text.contains(" ") ? "\"\(text)\"" : text
        case .number(let text): text
        case .boolean(let value): value ? "true" : "false"
        case .null: "null"
        case .array(let values): "[" + values.map(\.shown).joined(separator: " ") + "]"
        case .object(let members):
            "{" + members.map { "\($0.name)=\($0.value.shown)" }.joined(separator: " ") + "}"
        }
    }
}
