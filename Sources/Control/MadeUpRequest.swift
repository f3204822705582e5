// A request as somebody describes it on a command line: method, URL, headers, client. It becomes the very
// octets that such a client would send, so that `weir explain` can hand them to the code that serves.

import Base
import Configuration
import Glibc

/// A request that nobody sent.
public struct MadeUpRequest: Sendable {
    public var method = "GET"
    /// `http://` or `https://`, a host, and what follows.
    public var url: String
    /// Lines, `name: value`.
    public var headers: [String] = []
    /// An IPv4 or IPv6 address.
    public var client = "127.0.0.1"

    public init(url: String) {
        self.url = url
    }

    /// The head that it comes to. Its grammar is the server's to judge; refused here is what cannot be sent as it
    /// was meant.
    func head() throws(Failure) -> [UInt8] {
        let (authority, target) = try urlParts()
        var lines = ["\(method) \(target) HTTP/1.1"]
        // As curl has it: a Host header of one's own takes the place of the URL's.
        if !headers.contains(where: { $0.lowercased().hasPrefix("host:") }) {
            lines.append("Host: \(authority)")
        }
        for header in headers {
            guard let colon = header.utf8.firstIndex(of: UInt8(ascii: ":")), colon > header.startIndex else {
                throw Failure("the header `\(header)` is no `name: value`")
            }
            lines.append(header)
        }
        for line in lines where line.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }) {
            throw Failure("there is a line break within method, URL or header")
        }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    /// The URL's authority, and the target of a request for it. The fragment stays with the client (RFC 9110,
    /// section 7.1).
    private func urlParts() throws(Failure) -> (authority: String, target: String) {
        let schemes = ["http://", "https://"]
        guard let scheme = schemes.first(where: { url.lowercased().hasPrefix($0) }) else {
            throw Failure("the URL `\(url)` has no host: it begins with http:// or https:// and a host")
        }
        let rest = url.dropFirst(scheme.count).prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        if authority.isEmpty { throw Failure("the URL `\(url)` has no host") }
        if authority.contains("@") {
            throw Failure("the URL `\(url)` names a user; clients send that as -H 'authorization: ...'")
        }
        let target = rest.dropFirst(authority.count)
        return (String(authority), target.hasPrefix("/") ? String(target) : "/" + target)
    }

    /// The client as the kernel would name it.
    func clientAddress() throws(Failure) -> SocketAddress {
        var ipv4 = in_addr()
        if inet_pton(AF_INET, client, &ipv4) == 1 {
            return SocketAddress(ipv4: UInt32(bigEndian: ipv4.s_addr), port: 0)
        }
        var ipv6 = in6_addr()
        guard inet_pton(AF_INET6, client, &ipv6) == 1 else {
            throw Failure("the client `\(client)` is no IPv4 or IPv6 address")
        }
        return withUnsafeBytes(of: &ipv6) { octets in
            SocketAddress(
                ipv6High: UInt64(bigEndian: octets.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: octets.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), port: 0)
        }
    }
}
