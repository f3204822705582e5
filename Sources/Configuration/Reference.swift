// The reference of all keys, made from the key table: the tables of docs/configuration.md, where a test
// keeps the page in step, and the manual page weir.yaml(5).

/// The reference of all keys.
public enum ConfigurationReference {
    /// The file, or one kind of section of which there may be many.
    public struct Chapter {
        /// May hold `code` in backticks, as all texts here.
        public var title: String
        public var rows: [Row] = []
    }

    /// One key.
    public struct Row {
        /// With the sections that it stands in: `limits.sessions`.
        public var key: String
        /// What may stand there.
        public var value: String
        /// What it means to leave the key out: the default, or a text; empty where that says itself.
        public var absence: String
        public var isRequired: Bool
        public var meaning: String

        fileprivate init(key: String, field: FieldShape) {
            self.key = key
            value = field.expectation
            meaning = field.documentation
            isRequired = field.isRequired
            if case .scalar(let text)? = field.defaultValue, !text.isEmpty {
                absence = "`\(text)`"
            } else {
                absence = field.absent ?? ""
            }
        }
    }

    /// A chapter for the file, each kind of named section, and each list of sections.
    public static func chapters() -> [Chapter] {
        var chapters: [Chapter] = []
        collect(Keys.file.shape, title: "The file", into: &chapters)
        return chapters
    }

    /// Markdown: a heading and a table for each chapter.
    public static func markdown() -> String {
        chapters().map(markdown).joined(separator: "\n")
    }

    /// The path of each key that the tables show, such as `limits.sessions`.
    public static func keys() -> [String] {
        chapters().flatMap { $0.rows.map(\.key) }
    }

    private static func markdown(_ chapter: Chapter) -> String {
        var text = "### \(chapter.title)\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
        for row in chapter.rows {
            let cells = ["`\(row.key)`", row.value, row.isRequired ? "required" : row.absence, row.meaning]
            let escaped = cells.map { cell in
                cell.unicodeScalars.map { $0 == "|" ? "\\|" : String($0) }.joined()
            }
            text += "| " + escaped.joined(separator: " | ") + " |\n"
        }
        return text
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
