// Reads HTTP/1.1 messages that Weir wrote, out of all the bytes of a stream: an independent reading of RFC 9112,
// slow and plain, and strict, because what Weir writes is to be in the simplest form there is.

/// The first line and the fields of a message, names in lower case.
struct MessageHead {
    var firstLine: String
    var fields: [(name: String, value: String)]

    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// The value of a field that is there once.
    func only(_ name: String) -> String? {
        let all = values(name)
        return all.count == 1 ? all[0] : nil
    }

    func number(_ name: String) -> Int? { only(name).flatMap { Int($0) } }

    /// The words of the first line.
    var words: [Substring] { firstLine.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false) }
}

enum MessageFraming: Equatable {
    case none
    case length(Int)
    case chunked
    case untilClose
}

/// What a step of the reader came to. Ranges are places in the stream.
enum MessageEvent {
    case head(MessageHead)
    case body(Range<Int>)
    case end
    case malformed(String)
}

struct MessageReader {
    enum State {
        case head
        /// The head was read; whoever reads says how the body is framed.
        case framing
        /// So many bytes of a body with a length are still to come.
        case length(Int)
        case untilClose
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers
        case broken
    }

    private(set) var state = State.head
    /// Everything before it is understood.
    private(set) var position = 0
    private var scanned = 0

    /// True between two messages.
    var isBetween: Bool { if case .head = state { true } else { false } }

    /// In a body that the end of the stream ends.
    var isUntilClose: Bool { if case .untilClose = state { true } else { false } }

    /// To be called after each head.
    mutating func begin(_ framing: MessageFraming) {
        switch framing {
        case .none: state = .length(0)
        case .length(let count): state = .length(count)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    /// The stream ended. True where that was the end of a message.
    mutating func streamEnds() -> Bool {
        guard case .untilClose = state else { return false }
        state = .head
        return true
    }

    /// The next thing in the stream; nil where more has to come first.
    mutating func next(_ stream: UnsafeBufferPointer<UInt8>) -> MessageEvent? {
        switch state {
        case .head: return readHead(stream)
        case .framing, .broken: return nil
        case .length(0):
            state = .head
            scanned = position
            return .end
        case .length(let left):
            guard let range = takeBody(stream, left) else { return nil }
            state = .length(left - range.count)
            return .body(range)
        case .untilClose: return takeBody(stream, Int.max).map { .body($0) }
        case .chunk(0):
            state = .chunkEnd
            return next(stream)
        case .chunk(let left):
            guard let range = takeBody(stream, left) else { return nil }
            state = .chunk(left - range.count)
            return .body(range)
        case .chunkSize, .chunkEnd, .trailers: return readFraming(stream)
        }
    }

    private mutating func takeBody(_ stream: UnsafeBufferPointer<UInt8>, _ most: Int) -> Range<Int>? {
        let count = min(stream.count - position, most)
        guard count > 0 else { return nil }
        defer { position += count }
        return position..<(position + count)
    }

    /// The bytes of a line without its end; nil where it has not all come.
    private mutating func takeLine(_ stream: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var end = position
        while end + 1 < stream.count {
            if stream[end] == 13, stream[end + 1] == 10 {
                defer { position = end + 2 }
                return Array(stream[position..<end])
            }
            end += 1
        }
        return nil
    }

    private mutating func readFraming(_ stream: UnsafeBufferPointer<UInt8>) -> MessageEvent? {
        guard let line = takeLine(stream) else {
            return stream.count - position > 16 * 1024 ? broken("a line of framing has no end") : nil
        }
        switch state {
        case .chunkEnd:
            guard line.isEmpty else { return broken("a chunk is longer than its size") }
            state = .chunkSize
        case .chunkSize:
            let text = String(decoding: line, as: UTF8.self)
            guard !line.isEmpty, line.count < 15, line.allSatisfy(isHexadecimal),
                let size = Int(text, radix: 16)
            else { return broken("a chunk's size is '\(text)'") }
            state = size == 0 ? .trailers : .chunk(size)
        default:
            if line.isEmpty {
                state = .head
                scanned = position
                return .end
            }
            if !line.contains(58) { return broken("a trailer has no colon") }
        }
        return next(stream)
    }

    private func isHexadecimal(_ octet: UInt8) -> Bool {
        (48...57).contains(octet) || (65...70).contains(octet) || (97...102).contains(octet)
    }

    private mutating func broken(_ what: String) -> MessageEvent {
        state = .broken
        return .malformed(what)
    }

    private mutating func readHead(_ stream: UnsafeBufferPointer<UInt8>) -> MessageEvent? {
        var end = max(position, scanned)
        while end + 3 < stream.count {
            if stream[end] == 13, stream[end + 1] == 10, stream[end + 2] == 13, stream[end + 3] == 10 {
                let octets = stream[position..<(end + 2)]
                position = end + 4
                return parse(octets)
            }
            end += 1
        }
        scanned = max(position, end)
        return nil
    }

    private mutating func parse(_ octets: Slice<UnsafeBufferPointer<UInt8>>) -> MessageEvent {
        var lines: [[UInt8]] = [[]]
        var place = octets.startIndex
        while place < octets.endIndex {
            let octet = octets[place]
            if octet == 13, place + 1 < octets.endIndex, octets[place + 1] == 10 {
                lines.append([])
                place += 2
                continue
            }
            if octet == 13 || octet == 10 || octet == 0 { return broken("a control octet in a head") }
            lines[lines.count - 1].append(octet)
            place += 1
        }
        // The last line's end is behind it.
        lines.removeLast()
        guard let first = lines.first, !first.isEmpty else { return broken("an empty first line") }
        var head = MessageHead(firstLine: String(decoding: first, as: UTF8.self), fields: [])
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: 58), colon > 0 else {
                return broken("a field without name")
            }
            let name = line[..<colon]
            if name.contains(32) || name.contains(9) { return broken("a space in a field's name") }
            let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
            head.fields.append(
                (String(decoding: name, as: UTF8.self).lowercased(), trimmed(value)))
        }
        state = .framing
        return .head(head)
    }

    private func trimmed(_ text: String) -> String {
        var rest = Substring(text)
        while rest.first == " " || rest.first == "\t" { rest.removeFirst() }
        while rest.last == " " || rest.last == "\t" { rest.removeLast() }
        return String(rest)
    }
}

/// How the body of a message is framed (RFC 9112, section 6.3); nil where its fields contradict each other.
func framing(of head: MessageHead, isRequest: Bool, hasNoBody: Bool) -> MessageFraming? {
    let codings = head.values("transfer-encoding")
    let lengths = head.values("content-length")
    if !codings.isEmpty {
        guard codings == ["chunked"], lengths.isEmpty else { return nil }
        return hasNoBody ? MessageFraming.none : .chunked
    }
    if !lengths.isEmpty {
        guard lengths.count == 1, lengths[0].allSatisfy({ $0.isASCII && $0.isNumber }),
            let count = Int(lengths[0])
        else { return nil }
        return hasNoBody ? MessageFraming.none : .length(count)
    }
    return hasNoBody || isRequest ? MessageFraming.none : .untilClose
}
