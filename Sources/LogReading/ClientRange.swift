// The addresses that `--client` names: one, or a block (RFC 4632 and RFC 4291, section 2.3), IPv4 or IPv6.
// An IPv4 address that came over an IPv6 socket (::ffff:10.0.0.1) counts as the IPv4 address that it is.

import Glibc

/// An address or a block of addresses.
public struct ClientRange: Equatable, Sendable {
    /// Four or sixteen, in network byte order.
    public let octets: [UInt8]
    /// In bits; at most those of `octets`.
    public let prefixLength: Int

    /// From `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`, `[2001:db8::1]`; nil where it is none of these.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var host = parts[0]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let octets = Self.octets(of: host) else { return nil }
        self.octets = octets
        if parts.count == 1 {
            prefixLength = octets.count * 8
            return
        }
        let isPlain = parts[1].utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isPlain, let length = Int(parts[1]), length <= octets.count * 8 else { return nil }
        prefixLength = length
    }

    /// True where `client`, as a record has it (`10.1.2.3:40000`, `[::1]:40000`), is in this range.
    public func contains(client: String) -> Bool {
        guard let address = Self.address(ofClient: client) else { return false }
        return contains(address)
    }

    /// The octets of a record's client; nil for `unix` and `unknown`.
    private static func address(ofClient client: String) -> [UInt8]? {
        if client.hasPrefix("[") { return octets(of: client.dropFirst().prefix { $0 != "]" }) }
        return octets(of: client.prefix { $0 != ":" })
    }

    private func contains(_ address: [UInt8]) -> Bool {
        guard address.count == octets.count else { return false }
        let (wholeOctets, bits) = prefixLength.quotientAndRemainder(dividingBy: 8)
        guard address[..<wholeOctets] == octets[..<wholeOctets] else { return false }
        return bits == 0 || (address[wholeOctets] ^ octets[wholeOctets]) >> (8 - bits) == 0
    }

    /// Four octets or sixteen; nil where the text is no address.
    private static func octets(of host: Substring) -> [UInt8]? {
        let isIPv6 = host.contains(":")
        var octets = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        // A nul would end the text early for C.
        guard !host.utf8.contains(0),
            unsafe inet_pton(isIPv6 ? AF_INET6 : AF_INET, String(host), &octets) == 1
        else { return nil }
        let mappedPrefix = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
        return isIPv6 && Array(octets[..<12]) == mappedPrefix ? Array(octets[12...]) : octets
    }
}
