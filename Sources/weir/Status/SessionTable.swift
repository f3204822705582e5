// What /lb/sessions answered, as lines: a session each.

import LogReading

struct SessionTable {
    private let fields: JSONFields
    private let style: DisplayStyle
    /// In place of what a session has not.
    private static let none = "-"

    init(_ fields: JSONFields, style: DisplayStyle) {
        self.fields = fields
        self.style = style
    }

    var lines: [String] {
        let sessions = fields.objects("list")
        var lines = [head]
        let matched = fields.number("matched")
        if matched > sessions.count {
            let text =
                "\(UnitText.count(UInt64(sessions.count))) of \(UnitText.count(matched)) that match are listed"
            lines.append(Colour.yellow.paint(text, if: style.hasColours))
        }
        if sessions.isEmpty { return lines + ["none matches"] }
        let headings = [
            "LISTENER", "CLIENT", "STATE", "AGE", "IDLE", "IN", "OUT", "BACKEND", "REQUEST",
        ]
        let table = TextTable(
            headings: headings, rows: sessions.map(cells), style: style,
            firstToGo: [["IN", "OUT"], ["LISTENER"], ["IDLE"]])
        return lines + [""] + table.lines
    }

    private var head: String {
        "sessions \(UnitText.count(fields.number("sessions"))) of \(UnitText.count(fields.number("session_limit")))"
            + "  pending \(UnitText.count(fields.number("pending")))"
    }

    private func cells(_ session: JSONFields) -> [TextTable.Cell] {
        let state = session.text("state")
        return [
            TextTable.Cell(text: session.text("listener"), colour: .cyan),
            TextTable.Cell(text: session.text("client"), colour: .dim),
            TextTable.Cell(text: String(state.map { $0 == "_" ? " " : $0 }), colour: Self.colour(state)),
            .number(UnitText.duration(microseconds: session.number("age_us"))),
            .number(UnitText.duration(microseconds: session.number("idle_us"))),
            .number(UnitText.bytes(session.number("bytes_in"))),
            .number(UnitText.bytes(session.number("bytes_out"))),
            TextTable.Cell(text: target(session), colour: .blue),
            TextTable.Cell(text: request(session)),
        ]
    }

    private static func colour(_ state: String) -> Colour {
        switch state {
        case "relaying": .green
        case "pending", "connecting", "awaiting_answer": .yellow
        default: .plain
        }
    }

    private func target(_ session: JSONFields) -> String {
        guard let pool = session.value("pool")?.string else { return Self.none }
        return "\(pool)/\(session.value("backend")?.string ?? Self.none)"
    }

    /// The one under way; of a session without, how many there were.
    private func request(_ session: JSONFields) -> String {
        let request = session.object("request")
        if request.value("method") != nil {
            return "\(request.text("method")) \(request.text("host"))\(request.text("path"))"
        }
        guard let count = session.value("requests")?.wholeNumber else { return Self.none }
        return count == 1 ? "1 so far" : "\(UnitText.count(count)) so far"
    }
}
