// Writes JSON (RFC 8259) for programs, without spaces, straight into octets: answers of the admin API may have tens of
// thousands of backends.

struct JSONWriter {
    private var octets: [UInt8] = []
    private var needsComma = false

    /// The text, with a line end behind it.
    mutating func finish() -> [UInt8] {
        octets.append(UInt8(ascii: "\n"))
        return octets
    }

    /// Within an object `key` names the value; within an array, and at the top, there is none.
    mutating func object(_ key: StaticString? = nil, _ members: (inout JSONWriter) -> Void) {
        begin(key)
        nest("{", members, "}")
    }

    mutating func array(_ key: StaticString? = nil, _ elements: (inout JSONWriter) -> Void) {
        begin(key)
        nest("[", elements, "]")
    }

    mutating func string(_ key: StaticString? = nil, _ value: String) {
        begin(key)
        quote(value)
    }

    /// null where there is none.
    mutating func string(_ key: StaticString, orNull value: String?) {
        begin(key)
        if let value { quote(value) } else { octets += "null".utf8 }
    }

    mutating func number(_ key: StaticString? = nil, _ value: some BinaryInteger) {
        begin(key)
        octets += String(value).utf8
    }

    /// null where there is none.
    mutating func number(_ key: StaticString, orNull value: Int?) {
        begin(key)
        octets += (value.map { String($0) } ?? "null").utf8
    }

    /// A value that is JSON already.
    mutating func raw(_ value: [UInt8]) {
        begin(nil)
        octets += value
    }

    mutating func flag(_ key: StaticString, _ value: Bool) {
        begin(key)
        octets += (value ? "true" : "false").utf8
    }

    // MARK: - Pieces

    private mutating func begin(_ key: StaticString?) {
        if needsComma { octets.append(UInt8(ascii: ",")) }
        needsComma = true
        guard let key else { return }
        octets.append(UInt8(ascii: "\""))
        octets += UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
        octets.append(UInt8(ascii: "\""))
        octets.append(UInt8(ascii: ":"))
    }

    private mutating func nest(
        _ opening: Unicode.Scalar, _ inner: (inout JSONWriter) -> Void, _ closing: Unicode.Scalar
    ) {
        octets.append(UInt8(ascii: opening))
        needsComma = false
        inner(&self)
        octets.append(UInt8(ascii: closing))
        needsComma = true
    }

    private mutating func quote(_ value: String) {
        octets.append(UInt8(ascii: "\""))
        for octet in value.utf8 {
            switch octet {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                octets.append(UInt8(ascii: "\\"))
                octets.append(octet)
            case 0..<0x20, 0x7F:
                octets += "\\u00".utf8
                octets.append(Self.digit(octet >> 4))
                octets.append(Self.digit(octet & 15))
            default: octets.append(octet)
            }
        }
        octets.append(UInt8(ascii: "\""))
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
