// The text of one configuration file as Unicode scalars with its lines. The YAML reader places nodes in
// it by scalar index; errors take line, column and an excerpt out of it.

/// A half-open range of Unicode scalars of a `SourceText`.
struct SourceSpan: Equatable {
    var start: Int
    var end: Int

    static let fileStart = SourceSpan(start: 0, end: 0)
}

/// A decoded file. Bytes that are not UTF-8 become U+FFFD; `firstInvalid` says where the first was.
struct SourceText {
    let file: String
    let scalars: [Unicode.Scalar]
    /// Index of the first scalar that stands for bytes that are not UTF-8.
    let firstInvalid: Int?
    /// Index of the first scalar of each line. A line ends at LF, CR LF or CR.
    private let lineStarts: [Int]

    init(file: String, decoding bytes: some Sequence<UInt8>) {
        var scalars: [Unicode.Scalar] = []
        var firstInvalid: Int?
        var parser = Unicode.UTF8.ForwardParser()
        var iterator = bytes.makeIterator()
        decoding: while true {
            switch parser.parseScalar(from: &iterator) {
            case .valid(let encoded):
                scalars.append(Unicode.UTF8.decode(encoded))
            case .error:
                firstInvalid = firstInvalid ?? scalars.count
                scalars.append("\u{FFFD}")
            case .emptyInput:
                break decoding
            }
        }
        self.file = file
        self.scalars = scalars
        self.firstInvalid = firstInvalid
        self.lineStarts = Self.lineStarts(of: scalars)
    }

    private static func lineStarts(of scalars: [Unicode.Scalar]) -> [Int] {
        var starts = [0]
        for (index, scalar) in scalars.enumerated() {
            let endsLine =
                scalar == "\n"
                || (scalar == "\r" && !(index + 1 < scalars.count && scalars[index + 1] == "\n"))
            if endsLine { starts.append(index + 1) }
        }
        return starts
    }

    /// Line and column of a scalar; an index past the end is the end.
    func position(of index: Int) -> SourcePosition {
        let index = min(max(index, 0), scalars.count)
        let line = lineNumber(of: index)
        return SourcePosition(line: line + 1, column: index - lineStarts[line] + 1)
    }

    /// The line (counted from 0) that holds the scalar: the last that starts at or before it.
    private func lineNumber(of index: Int) -> Int {
        var low = 0
        var high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= index { low = middle } else { high = middle }
        }
        return low
    }

    /// The scalars of the line that holds the index, without its end, as a range of `scalars`.
    func lineRange(around index: Int) -> Range<Int> {
        let line = lineNumber(of: min(max(index, 0), scalars.count))
        let start = lineStarts[line]
        var end = line + 1 < lineStarts.count ? lineStarts[line + 1] : scalars.count
        while end > start, scalars[end - 1] == "\n" || scalars[end - 1] == "\r" { end -= 1 }
        return start..<end
    }

    /// Index where the text first stands within the span, at or after `from`.
    func firstIndex(of text: String, in span: SourceSpan, from: Int) -> Int? {
        let wanted = Array(text.unicodeScalars)
        var index = max(from, span.start)
        let last = min(span.end, scalars.count) - wanted.count
        while index <= last {
            if scalars[index..<index + wanted.count].elementsEqual(wanted) { return index }
            index += 1
        }
        return nil
    }
}
