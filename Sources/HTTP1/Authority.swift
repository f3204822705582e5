// Reads `uri-host [ ":" port ]`, the value of Host and the authority of a target in absolute form
// (RFC 9110, sections 4.2 and 7.2; RFC 3986, section 3.2).

/// A host and, where one is named, a port.
public struct Authority: BitwiseCopyable, Sendable {
    /// The whole of it, as it was received.
    public internal(set) var range = HeadRange.empty
    /// The host without the port; an IPv6 address keeps its brackets. Never empty in an accepted request but
    /// one of HTTP/1.0 without Host.
    public internal(set) var host = HeadRange.empty
    /// Nil where none is named: the scheme's own is meant.
    public internal(set) var port: UInt16?

    init() {}

    /// Refuses what is not a host with, perhaps, a port; user information too (RFC 9110, section 4.2.4). An
    /// empty host is no place that a request could be for (section 4.2.1).
    init(_ octets: Octets, _ range: HeadRange) throws(Refusal) {
        self.range = range
        if range.isEmpty { throw .badHost }
        let hostEnd: Int
        if octets[range.start] == 0x5B {
            hostEnd = octets.first(0x5D, from: range.start, to: range.end) &+ 1
            if hostEnd > range.end { throw .badHost }
            if !isIPv6Address(octets, HeadRange(range.start &+ 1, hostEnd &- 1)) { throw .badHost }
        } else {
            hostEnd = try Self.registeredName(octets, range)
        }
        host = HeadRange(range.start, hostEnd)
        if host.isEmpty { throw .badHost }
        if hostEnd == range.end { return }
        if octets[hostEnd] != Octet.colon { throw .badHost }
        port = try Self.port(octets, HeadRange(hostEnd &+ 1, range.end))
    }

    /// Where the name that begins the range ends (RFC 3986, section 3.2.2). IPv4 addresses are names here.
    private static func registeredName(_ octets: Octets, _ range: HeadRange) throws(Refusal) -> Int {
        var index = range.start
        while index < range.end {
            let octet = octets[index]
            if octet == Octet.colon { return index }
            if octet == 0x25 {
                guard index &+ 2 < range.end, Octet.hexadecimal(octets[index &+ 1]) != nil,
                    Octet.hexadecimal(octets[index &+ 2]) != nil
                else { throw .badHost }
                index &+= 2
            } else if !Octet.isRegisteredName(octet) {
                throw .badHost
            }
            index &+= 1
        }
        return index
    }

    /// The port of at most five digits; nil for the empty one, which the grammar allows.
    private static func port(_ octets: Octets, _ range: HeadRange) throws(Refusal) -> UInt16? {
        if range.isEmpty { return nil }
        guard range.count <= 5, let number = decimal(octets, range), number <= 65_535 else { throw .badHost }
        return UInt16(truncatingIfNeeded: number)
    }

    /// Whether both name the same place: the case of letters aside, and the scheme's own port named or not.
    func isSame(as other: Authority, defaultPort: UInt16, _ octets: Octets) -> Bool {
        octets.matches(host, other.host) && (port ?? defaultPort) == (other.port ?? defaultPort)
    }
}

/// IPv6address (RFC 3986, section 3.2.2): up to eight groups of hexadecimal digits, one `::` for at least one
/// group of zeros, the last two groups perhaps as an IPv4 address. Zones have no place in a host.
func isIPv6Address(_ octets: Octets, _ range: HeadRange) -> Bool {
    var index = range.start
    var groups = 0
    var hasGap = false
    while index < range.end {
        if octets[index] == Octet.colon {
            // Only `::` may begin a turn with a colon: single ones are passed with their group below.
            guard !hasGap, index &+ 1 < range.end, octets[index &+ 1] == Octet.colon else { return false }
            hasGap = true
            index &+= 2
            continue
        }
        let groupStart = index
        while index < range.end, Octet.hexadecimal(octets[index]) != nil { index &+= 1 }
        if index < range.end, octets[index] == 0x2E {
            guard isIPv4Address(octets, HeadRange(groupStart, range.end)) else { return false }
            groups &+= 2
            index = range.end
            break
        }
        guard index > groupStart, index &- groupStart <= 4, groups < 8 else { return false }
        groups &+= 1
        if index == range.end { break }
        guard octets[index] == Octet.colon, index &+ 1 < range.end else { return false }
        if octets[index &+ 1] != Octet.colon { index &+= 1 }
    }
    return hasGap ? groups < 8 : groups == 8
}

/// IPv4address (RFC 3986, section 3.2.2): four numbers of 0 to 255 without leading zeros.
func isIPv4Address(_ octets: Octets, _ range: HeadRange) -> Bool {
    var start = range.start
    for number in 0..<4 {
        let end = octets.first(0x2E, from: start, to: range.end)
        let digits = HeadRange(start, end)
        guard digits.count <= 3, let value = decimal(octets, digits), value <= 255 else { return false }
        if digits.count > 1, octets[start] == 0x30 { return false }
        if number == 3 { return end == range.end }
        if end == range.end { return false }
        start = end &+ 1
    }
    return false
}
