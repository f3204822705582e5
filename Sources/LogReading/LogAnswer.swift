// Reads what /lb/log answers, and keeps each record as the octets that came, because programs are handed them on.

public struct LogAnswer: Sendable {
    /// False where the log is off.
    public let isOn: Bool
    /// The share of successful requests that is recorded, as `5%`.
    public let sample: String
    /// How many records are in memory, and the time of the oldest.
    public let kept: UInt64
    public let oldest: String?
    /// To ask from the next time.
    public let last: UInt64
    /// Something came since that is not here.
    public let hasGap: Bool
    /// One line of the log each.
    public let lines: [[UInt8]]

    /// Nil where the octets are no such answer.
    public init?(_ octets: [UInt8]) {
        let opening = Array("\"records\":[".utf8)
        // Nothing before it has a text of a client's in it.
        guard let start = Self.position(of: opening, in: octets) else { return nil }
        guard let members = JSONObject.members(of: octets[..<start] + Array("]}".utf8)),
            let lines = Self.elements(octets[start...])
        else { return nil }
        func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }
        guard let kept = value("kept")?.wholeNumber, let last = value("last")?.wholeNumber else { return nil }
        isOn = value("on") != .boolean(false)
        sample = value("sample")?.string ?? "100%"
        oldest = value("oldest")?.string
        hasGap = value("gap") == .boolean(true)
        self.lines = lines
        (self.kept, self.last) = (kept, last)
    }

    /// Behind it.
    private static func position(of wanted: [UInt8], in octets: [UInt8]) -> Int? {
        guard octets.count >= wanted.count else { return nil }
        for start in 0...(octets.count - wanted.count) where octets[start...].starts(with: wanted) {
            return start + wanted.count
        }
        return nil
    }

    /// Objects as they are, strings as what they say; nil where something else is there, or no end.
    private static func elements(_ octets: ArraySlice<UInt8>) -> [[UInt8]]? {
        var elements: [[UInt8]] = []
        var rest = octets
        while let octet = rest.first, octet != UInt8(ascii: "]") {
            if octet == UInt8(ascii: ",") {
                rest = rest.dropFirst()
            } else if octet == UInt8(ascii: "{"), let length = objectLength(rest) {
                elements.append(Array(rest.prefix(length)))
                rest = rest.dropFirst(length)
            } else if octet == UInt8(ascii: "\""), let length = JSONObject.stringLength(rest),
                let line = JSONObject.string(rest.prefix(length))
            {
                elements.append(Array(line.utf8))
                rest = rest.dropFirst(length)
            } else {
                return nil
            }
        }
        return rest.isEmpty ? nil : elements
    }

    private static func objectLength(_ octets: ArraySlice<UInt8>) -> Int? {
        var depth = 0
        var index = octets.startIndex
        while index < octets.endIndex {
            switch octets[index] {
            case UInt8(ascii: "\""):
                guard let length = JSONObject.stringLength(octets[index...]) else { return nil }
                index += length
                continue
            case UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "}"): depth -= 1
            default: break
            }
            index += 1
            if depth == 0 { return index - octets.startIndex }
        }
        return nil
    }
}
