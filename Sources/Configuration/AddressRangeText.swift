// Blocks of addresses as text: `10.0.0.0/8`, `2001:db8::/32`; an address alone is a block of one.

extension AddressRange: CustomStringConvertible {
    /// The block in CIDR notation; reading it back gives an equal block.
    public var description: String {
        switch self {
        case .ipv4(let bits, let length):
            return Self.withoutPort(.ipv4(bits, port: 0)) + "/\(length)"
        case .ipv6(let high, let low, let length):
            return Self.withoutPort(.ipv6(high: high, low: low, port: 0)) + "/\(length)"
        }
    }

    private static func withoutPort(_ address: Address) -> String {
        let text = address.description.dropLast(2)
        return text.hasPrefix("[") ? String(text.dropFirst().dropLast()) : String(text)
    }

    static func parse(_ text: String) throws(TextProblem) -> AddressRange {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let host = String(parts[0])
        let length = parts.count == 2 ? String(parts[1]) : nil
        let given: AddressRange
        if let bits = Address.parseIPv4(host) {
            given = .ipv4(bits, prefixLength: try parseLength(length, of: text, limit: 32))
        } else if let (high, low) = Address.parseIPv6(host) {
            given = .ipv6(high: high, low: low, prefixLength: try parseLength(length, of: text, limit: 128))
        } else {
            throw TextProblem(message: "\(text.quotedForMessage) is not a block of addresses")
        }
        if given == given.masked { return given }
        throw TextProblem(
            message: "\(text.quotedForMessage) has bits beyond its prefix",
            suggestion: given.masked.description)
    }

    private static func parseLength(
        _ digits: String?, of text: String, limit: Int
    ) throws(TextProblem) -> Int {
        guard let digits else { return limit }
        let isNumber = digits.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        guard isNumber, digits == "0" || !digits.hasPrefix("0"), let length = Int(digits), length <= limit
        else {
            throw TextProblem(
                message: "the prefix of \(text.quotedForMessage) is not from 0 to \(limit)", isComplete: true)
        }
        return length
    }

    /// The same with all bits beyond the prefix zero.
    private var masked: AddressRange {
        // A shift by the whole width gives zero in Swift.
        switch self {
        case .ipv4(let bits, let length):
            return .ipv4(bits & (UInt32.max << UInt32(32 - length)), prefixLength: length)
        case .ipv6(let high, let low, let length):
            return .ipv6(
                high: high & (UInt64.max << UInt64(64 - min(length, 64))),
                low: low & (UInt64.max << UInt64(64 - max(length - 64, 0))), prefixLength: length)
        }
    }
}
