// `weir history`: one line for each configuration that was applied or could not be, the oldest first.

import LogReading

struct HistoryTable {
    private let fields: JSONFields

    init(_ fields: JSONFields) { self.fields = fields }

    var text: String {
        let rows = fields.objects("entries").map(cells)
        let headings = ["NUMBER", "TIME", "FROM", "WHAT"]
        let widths = headings.indices.map { column in
            ([headings] + rows).map { DisplayText.width($0[column]) }.max()!
        }
        var lines = ([headings] + rows).map { row in
            row.indices.map { column in
                column == row.count - 1
                    ? row[column]
                    : DisplayText.padded(row[column], to: widths[column], alignedRight: column == 0)
            }.joined(separator: "  ")
        }
        let file = DisplayText.escaped(fields.text("file"))
        lines += [
            "",
            "in force: \(fields.number("number"))"
                + (fields.isTrue("differs_from_file")
                    ? ", which is not what \(file) says" : ", as in \(file)"),
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private func cells(_ entry: JSONFields) -> [String] {
        let number = entry.value("number")?.wholeNumber
        return [
            number.map { $0 == fields.number("number") ? "* \($0)" : "\($0)" } ?? "-",
            entry.text("time"), source(entry), what(entry),
        ].map(DisplayText.escaped)
    }

    private func source(_ entry: JSONFields) -> String {
        let source = entry.text("source")
        if let restored = entry.value("restored")?.wholeNumber { return "\(source) to \(restored)" }
        if let file = entry.value("file")?.string, file != fields.text("file") { return "\(source) \(file)" }
        return source
    }

    private func what(_ entry: JSONFields) -> String {
        if let cause = entry.value("cause")?.string { return "failed: \(cause)" }
        let changed = entry.texts("changed")
        if changed.isEmpty { return entry.text("source") == "start" ? "" : "no difference" }
        let left = Int(entry.number("changes")) - changed.count
        return changed.joined(separator: "; ") + (left > 0 ? "; and \(left) more" : "")
    }
}
