// What is wrong with a configuration file, said so that the reader can repair it: place, offending text,
// what was expected, the nearest right spelling. `Configuration.read` throws all errors of a file at
// once; the commands print `rendered()`.

/// One thing that is wrong with a configuration file.
public struct ConfigurationError: Error, Equatable, Sendable {
    /// Name of the file as it was given to `Configuration.read`.
    public var file: String
    /// Where the offending text starts.
    public var position: SourcePosition
    /// What is wrong, with the offending text in back quotes; one line.
    public var message: String
    /// What belongs there, as in "expected …".
    public var expected: String?
    /// The nearest right spelling, as in "did you mean `…`?".
    public var suggestion: String?
    /// Advice that is neither of the two, a sentence.
    public var hint: String?
    /// The line of the file, where there is one to show.
    public var excerpt: SourceExcerpt?

    public init(
        file: String, position: SourcePosition, message: String, expected: String? = nil,
        suggestion: String? = nil, hint: String? = nil, excerpt: SourceExcerpt? = nil
    ) {
        self.file = file
        self.position = position
        self.message = message
        self.expected = expected
        self.suggestion = suggestion
        self.hint = hint
        self.excerpt = excerpt
    }

    /// The error as lines for a terminal, without a line end after the last one:
    /// place and message, the line of the file with a caret under the offending text, then advice.
    public func rendered() -> String {
        var lines = ["\(file):\(position.line):\(position.column): error: \(message)"]
        if let excerpt {
            let number = String(position.line)
            let margin = String(repeating: " ", count: number.utf8.count)
            lines.append("  \(number) | \(excerpt.line)")
            lines.append("  \(margin) | \(excerpt.marker)")
        }
        if let suggestion { lines.append("  did you mean \(suggestion.quotedForMessage)?") }
        if let expected { lines.append("  expected \(expected)") }
        if let hint { lines.append("  \(hint)") }
        return lines.joined(separator: "\n")
    }
}

/// A line of the file (a long one is cut around the error) and a line of carets to print below it.
public struct SourceExcerpt: Equatable, Sendable {
    public var line: String
    /// Spaces and tabs, then `^~~~` under the offending text.
    public var marker: String
}

/// All errors of one file, sorted by position. Never empty.
public struct ConfigurationErrors: Error, Equatable, Sendable, CustomStringConvertible {
    public var errors: [ConfigurationError]
    /// How many more there were beyond those kept (`ReadingContext.errorLimit`).
    public var omitted = 0

    /// All errors as text for a terminal, ending in a line end.
    public func rendered() -> String {
        var text = errors.map { $0.rendered() + "\n" }.joined()
        if omitted > 0 { text += "and \(omitted) more errors\n" }
        return text
    }

    public var description: String { rendered() }
}

extension SourceText {
    /// How many scalars of a line an excerpt shows.
    private static let excerptWidth = 120

    /// The line that holds the start of the span, marked as far as the span goes on this line. nil when
    /// the line has nothing on it.
    func excerpt(of span: SourceSpan) -> SourceExcerpt? {
        let line = lineRange(around: span.start)
        if scalars[line].allSatisfy({ $0 == " " || $0 == "\t" }) { return nil }
        let start = min(max(span.start, line.lowerBound), line.upperBound)
        let end = min(max(span.end, start + 1), max(line.upperBound, start + 1))
        let shown = window(of: line, around: start)

        var text = shown.lowerBound > line.lowerBound ? "…" : ""
        var marker = text.isEmpty ? "" : " "
        for index in shown {
            let scalar = scalars[index]
            let isTab = scalar == "\t"
            text.unicodeScalars.append(scalar.isUnprintable && !isTab ? "\u{FFFD}" : scalar)
            if index < start {
                marker += isTab ? "\t" : String(repeating: " ", count: scalar.displayWidth)
            }
        }
        if shown.upperBound < line.upperBound { text += "…" }
        let marked = start..<min(end, max(shown.upperBound, start + 1))
        let width = marked.reduce(0) { $0 + ($1 < line.upperBound ? scalars[$1].displayWidth : 1) }
        marker += "^" + String(repeating: "~", count: max(width - 1, 0))
        return SourceExcerpt(line: text, marker: marker)
    }

    /// The part of a line to show, so that the error stands in it.
    private func window(of line: Range<Int>, around index: Int) -> Range<Int> {
        if line.count <= Self.excerptWidth { return line }
        let latest = line.upperBound - Self.excerptWidth
        let start = max(line.lowerBound, min(index - Self.excerptWidth / 3, latest))
        return start..<min(start + Self.excerptWidth, line.upperBound)
    }
}
