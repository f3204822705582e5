// Reads one line of Weir's logs as a JSON object (RFC 8259): strict in its grammar, bounded in depth, and
// never a trap, whatever the bytes are. Bytes in a string that are no UTF-8 become U+FFFD.

/// A JSON value. Numbers stay text: a log's numbers are compared and shown, not reckoned with, and none
/// loses digits on the way.
public enum JSONValue: Equatable, Sendable {
    case string(String)
    case number(String)
    case boolean(Bool)
    case null
    case array([JSONValue])
    case object([JSONMember])

    /// The value of a string; nil for all else.
    public var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The value of a whole number that fits in 64 bits without a sign; nil for all else.
    public var wholeNumber: UInt64? {
        if case .number(let text) = self { UInt64(text) } else { nil }
    }
}

/// A name and its value, in the order of the line. A name may come twice: RFC 8259, section 4, leaves open
/// what that means.
public struct JSONMember: Equatable, Sendable {
    public let name: String
    public let value: JSONValue

    public init(name: String, value: JSONValue) {
        self.name = name
        self.value = value
    }
}

public enum JSONObject {
    /// Arrays and objects within each other, at most; deeper is not read.
    public static let depthLimit = 16

    /// The members of the object that `line` is; nil where the line is anything else, or more than that.
    public static func members(of line: [UInt8]) -> [JSONMember]? {
        var reader = JSONReader(bytes: line)
        reader.skipWhitespace()
        guard reader.peek() == UInt8(ascii: "{"), case .object(let members)? = reader.value(depth: 0) else {
            return nil
        }
        reader.skipWhitespace()
        return reader.isAtEnd ? members : nil
    }

    /// The string that the octets are, quotes included; nil where they are anything else.
    static func string(_ octets: ArraySlice<UInt8>) -> String? {
        var reader = JSONReader(bytes: Array(octets))
        guard case .string(let text)? = reader.value(depth: 0), reader.isAtEnd else { return nil }
        return text
    }

    /// How many octets the string takes that they begin with; nil where it has no end.
    static func stringLength(_ octets: ArraySlice<UInt8>) -> Int? {
        var isEscaped = false
        for (index, octet) in octets.enumerated().dropFirst() {
            if isEscaped {
                isEscaped = false
            } else if octet == UInt8(ascii: "\\") {
                isEscaped = true
            } else if octet == UInt8(ascii: "\"") {
                return index + 1
            }
        }
        return nil
    }
}

/// A position in the line. Each function reads one thing and answers nil where it is not there; nil ends
/// the whole.
private struct JSONReader {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func take(_ wanted: UInt8) -> Bool {
        guard peek() == wanted else { return false }
        position += 1
        return true
    }

    mutating func skipWhitespace() {
        while let byte = peek(), byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            position += 1
        }
    }

    mutating func value(depth: Int) -> JSONValue? {
        switch peek() {
        case UInt8(ascii: "{"): return depth < JSONObject.depthLimit ? object(depth: depth + 1) : nil
        case UInt8(ascii: "["): return depth < JSONObject.depthLimit ? array(depth: depth + 1) : nil
        case UInt8(ascii: "\""): return string().map { .string($0) }
        case UInt8(ascii: "t"): return word("true") ? .boolean(true) : nil
        case UInt8(ascii: "f"): return word("false") ? .boolean(false) : nil
        case UInt8(ascii: "n"): return word("null") ? .null : nil
        default: return number().map { .number($0) }
        }
    }

    private mutating func word(_ word: String) -> Bool {
        for byte in word.utf8 where !take(byte) { return false }
        return true
    }

    private mutating func object(depth: Int) -> JSONValue? {
        position += 1
        var members: [JSONMember] = []
        skipWhitespace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipWhitespace()
            guard let name = string() else { return nil }
            skipWhitespace()
            guard take(UInt8(ascii: ":")) else { return nil }
            skipWhitespace()
            guard let value = value(depth: depth) else { return nil }
            members.append(JSONMember(name: name, value: value))
            skipWhitespace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            guard take(UInt8(ascii: ",")) else { return nil }
        }
    }

    private mutating func array(depth: Int) -> JSONValue? {
        position += 1
        var values: [JSONValue] = []
        skipWhitespace()
        if take(UInt8(ascii: "]")) { return .array(values) }
        while true {
            skipWhitespace()
            guard let value = value(depth: depth) else { return nil }
            values.append(value)
            skipWhitespace()
            if take(UInt8(ascii: "]")) { return .array(values) }
            guard take(UInt8(ascii: ",")) else { return nil }
        }
    }

    private mutating func number() -> String? {
        let start = position
        _ = take(UInt8(ascii: "-"))
        let leadingZero = peek() == UInt8(ascii: "0")
        let wholeDigits = digits()
        guard wholeDigits == 1 || wholeDigits > 1 && !leadingZero else { return nil }
        if take(UInt8(ascii: ".")), digits() == 0 { return nil }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            if digits() == 0 { return nil }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// How many digits there were.
    private mutating func digits() -> Int {
        let start = position
        while let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position - start
    }

    private mutating func string() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        let start = position
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return String(decoding: bytes[start..<(position - 1)], as: UTF8.self)
            case UInt8(ascii: "\\"): return stringWithEscapes(from: start)
            case 0..<0x20: return nil
            default: position += 1
            }
        }
        return nil
    }

    /// The rest of a string whose first escape is at `position`.
    private mutating func stringWithEscapes(from start: Int) -> String? {
        var text = Array(bytes[start..<position])
        while let byte = peek() {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let scalar = escape() else { return nil }
                text.append(contentsOf: Character(scalar).utf8)
            case 0..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }

    /// What follows a backslash. Half of a surrogate pair becomes U+FFFD.
    private mutating func escape() -> Unicode.Scalar? {
        guard let letter = peek() else { return nil }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return escapedScalar()
        default: return nil
        }
    }

    private mutating func escapedScalar() -> Unicode.Scalar? {
        guard let unit = fourHexadecimalDigits() else { return nil }
        guard (0xD800...0xDBFF).contains(unit) else { return Unicode.Scalar(unit) ?? "\u{FFFD}" }
        let afterHigh = position
        if take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")), let low = fourHexadecimalDigits(),
            (0xDC00...0xDFFF).contains(low)
        {
            return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
        }
        position = afterHigh
        return "\u{FFFD}"
    }

    private mutating func fourHexadecimalDigits() -> UInt32? {
        var number: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                return nil
            }
            number = number << 4 | UInt32(digit)
            position += 1
        }
        return number
    }
}
