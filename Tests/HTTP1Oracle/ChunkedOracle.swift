// The slow reading of chunked bodies: RFC 9112, section 7.1, over the whole input at once.

/// What the octets are, as the beginning of a chunked body.
public struct OracleChunks: Equatable {
    public enum State: Equatable { case incomplete, refused, done }
    public var state = State.incomplete
    /// The data so far.
    public var data: [UInt8] = []
    /// The size lines, as they were written.
    public var sizeLines: [String] = []
    /// The trailer lines of a body that is done.
    public var trailers: [String] = []
    /// Octets of a body that is done.
    public var consumed = 0
}

private struct Reader {
    let octets: [UInt8]
    var index = 0

    enum Line {
        case incomplete(sofar: [UInt8]), refused
        case line([UInt8])
    }

    /// A line that ends in CRLF.
    mutating func line() -> Line {
        var line: [UInt8] = []
        while index < octets.count {
            let octet = octets[index]
            index += 1
            if octet == 13 {
                if index == octets.count { return .incomplete(sofar: line) }
                if octets[index] != 10 { return .refused }
                index += 1
                return .line(line)
            }
            if octet < 32 && octet != 9 || octet == 127 { return .refused }
            line.append(octet)
        }
        return .incomplete(sofar: line)
    }
}

/// Whether a line may be `chunk-size [ chunk-ext ]`, or the beginning of one.
private func isSizeLine(_ line: [UInt8], isWhole: Bool) -> Bool {
    let characters = text(line)
    let digits = characters.prefix { hexadecimalCharacters.contains($0) }
    if digits.count > 13 || digits.isEmpty && (isWhole || !characters.isEmpty) { return false }
    let rest = characters.dropFirst(digits.count)
    let afterBlanks = rest.drop { $0 == " " || $0 == "\t" }
    return afterBlanks.first == ";" || afterBlanks.isEmpty && (rest.isEmpty || !isWhole)
}

/// `keepsTrailers`: whether trailer lines are looked into.
public func oracleChunks(_ octets: [UInt8], keepsTrailers: Bool) -> OracleChunks {
    var chunks = OracleChunks()
    var reader = Reader(octets: octets)
    var extensionBytes = 0
    func extensionLength(_ line: [UInt8]) -> Int {
        text(line).drop { hexadecimalCharacters.contains($0) }.count
    }
    while true {
        switch reader.line() {
        case .refused: chunks.state = .refused
        case .incomplete(let line):
            // A CR that came alone ends the line: it must be whole before it.
            let isWhole = octets.last == 13
            let isGood = isSizeLine(line, isWhole: isWhole) && extensionBytes + extensionLength(line) <= 4096
            chunks.state = isGood ? .incomplete : .refused
            if line.isEmpty && !isWhole { chunks.state = .incomplete }
        case .line(let line):
            extensionBytes += extensionLength(line)
            guard isSizeLine(line, isWhole: true), extensionBytes <= 4096 else {
                chunks.state = .refused
                return chunks
            }
            chunks.sizeLines.append(text(line))
            let size = Int(text(line).prefix { hexadecimalCharacters.contains($0) }, radix: 16)!
            if size == 0 {
                readTrailers(&reader, &chunks, keepsTrailers)
                return chunks
            }
            let length = min(size, octets.count - reader.index)
            chunks.data += octets[reader.index..<reader.index + length]
            reader.index += length
            if length < size { return chunks }
            for expected in [13, 10] as [UInt8] {
                if reader.index == octets.count { return chunks }
                if octets[reader.index] != expected {
                    chunks.state = .refused
                    return chunks
                }
                reader.index += 1
            }
            continue
        }
        return chunks
    }
}

private func readTrailers(_ reader: inout Reader, _ chunks: inout OracleChunks, _ keepsTrailers: Bool) {
    let start = reader.index
    var lineBytes = 0
    while true {
        switch reader.line() {
        case .refused:
            chunks.state = .refused
            return
        case .incomplete(let line):
            let section = reader.octets.count - start
            let isTooLong = keepsTrailers ? section >= 4096 : lineBytes + line.count > 4096
            let endsInReturn = !keepsTrailers && !line.isEmpty && reader.octets.last == 13
            chunks.state =
                isTooLong || endsInReturn && lineBytes + line.count + 1 > 4096 ? .refused : .incomplete
            if keepsTrailers && lineBytes == 0 && line.isEmpty { chunks.state = .incomplete }
            return
        case .line(let line):
            if !line.isEmpty {
                lineBytes += line.count + 2
                chunks.trailers.append(text(line))
                continue
            }
            let isTooLong = lineBytes > (keepsTrailers && lineBytes > 0 ? 4094 : 4096)
            let isMalformed =
                keepsTrailers
                && !FieldReading(chunks.trailers, limit: .max).faults.isDisjoint(
                    with: ["folded_field", "bad_field_name", "space_before_colon"])
            chunks.state = isTooLong || isMalformed ? .refused : .done
            chunks.consumed = reader.index
            return
        }
    }
}

/// The lines of a trailer section that may be forwarded (RFC 9110, section 6.5.1).
public func oracleForwardedTrailers(_ lines: [String]) -> [String] {
    let forbidden: Set = [
        "te", "via", "age", "host", "date", "vary", "range", "allow", "cookie", "accept", "expect", "server",
        "origin", "pragma", "trailer", "upgrade", "referer", "expires", "location", "x-real-ip", "forwarded",
        "connection", "keep-alive", "user-agent", "set-cookie", "tracestate", "traceparent", "retry-after",
        "content-type", "x-request-id", "max-forwards", "authorization", "cache-control", "content-range",
        "last-modified", "content-length", "http2-settings", "accept-encoding", "accept-language",
        "content-encoding", "proxy-connection", "www-authenticate", "transfer-encoding",
        "proxy-authenticate", "proxy-authorization",
    ]
    return FieldReading(lines, limit: .max).fields.filter { field in
        let name = field.name.lowercased()
        return !forbidden.contains(name) && !name.hasPrefix("if-") && !name.hasPrefix("x-forwarded-")
    }.map { "\($0.name):\($0.value)" }
}
