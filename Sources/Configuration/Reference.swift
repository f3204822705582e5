// The tables of keys in docs/configuration.md, made from the key table; a test keeps the page in step.

/// The reference of all keys.
public enum ConfigurationReference {
    /// Markdown: a heading and a table for the file, each kind of named section, and each list of sections.
    public static func markdown() -> String {
        var chapters: [Chapter] = []
        collect(Keys.file.shape, title: "The file", into: &chapters)
        return chapters.map(\.markdown).joined(separator: "\n")
    }

    /// The path of each key that the tables show, such as `limits.sessions`.
    public static func keys() -> [String] {
        var chapters: [Chapter] = []
        collect(Keys.file.shape, title: "The file", into: &chapters)
        return chapters.flatMap { $0.rows.map(\.key) }
    }

    private struct Row {
        var key: String
        var field: FieldShape
    }

    private struct Chapter {
        var title: String
        var rows: [Row] = []

        var markdown: String {
            var text = "### \(title)\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
            for row in rows {
                let cells = [
                    "`\(row.key)`", row.field.expectation, defaultText(of: row.field),
                    row.field.documentation,
                ]
                let escaped = cells.map { cell in
                    cell.unicodeScalars.map { $0 == "|" ? "\\|" : String($0) }.joined()
                }
                text += "| " + escaped.joined(separator: " | ") + " |\n"
            }
            return text
        }

        private func defaultText(of field: FieldShape) -> String {
            if field.isRequired { return "required" }
            if case .scalar(let text)? = field.defaultValue, !text.isEmpty { return "`\(text)`" }
            return field.absent ?? ""
        }
    }

    private static func collect(_ section: SectionShape, title: String, into chapters: inout [Chapter]) {
        let index = chapters.count
        chapters.append(Chapter(title: title))
        var rows: [Row] = []
        for field in section.fields {
            collect(field, key: field.name, into: &rows, &chapters)
        }
        chapters[index].rows = rows
    }

    /// A section within a section goes into its table; what has many members gets a table of its own.
    private static func collect(
        _ field: FieldShape, key: String, into rows: inout [Row], _ chapters: inout [Chapter]
    ) {
        switch field.shape {
        case .section(let section) where section.fields.isEmpty:
            rows.append(Row(key: key, field: field))
        case .section(let section):
            for inner in section.fields {
                collect(inner, key: "\(key).\(inner.name)", into: &rows, &chapters)
            }
        case .named(let section):
            rows.append(Row(key: key, field: field))
            collect(section, title: "Each of `\(key)`", into: &chapters)
        case .list(.either(let shapes), limit: _):
            rows.append(Row(key: key, field: field))
            for case .section(let section) in shapes {
                collect(section, title: "Each of `\(key)`", into: &chapters)
            }
        case .list(.section(let section), limit: _):
            rows.append(Row(key: key, field: field))
            collect(section, title: "Each of `\(key)`", into: &chapters)
        case .either(let shapes):
            rows.append(Row(key: key, field: field))
            for case .section(let section) in shapes {
                for inner in section.fields {
                    collect(inner, key: "\(key).\(inner.name)", into: &rows, &chapters)
                }
            }
        case .truth, .integer, .text, .anyText, .choice, .list, .mapping:
            rows.append(Row(key: key, field: field))
        }
    }
}
