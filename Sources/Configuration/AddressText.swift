// Addresses as text: `10.0.0.1:6379`, `[2001:db8::1]:8080`, `unix:/run/app.sock`, `name:port`. The key
// table reads them with `Address.parse`; logs, errors and the rendered configuration write them.

extension Address: CustomStringConvertible {
    /// The address in its shortest usual form; reading it back gives an equal address.
    public var description: String {
        switch self {
        case .ipv4(let bits, let port):
            return "\(bits >> 24 & 255).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255):\(port)"
        case .ipv6(let high, let low, let port): return "[\(ipv6Text(high: high, low: low))]:\(port)"
        case .unix(let path): return "unix:\(path)"
        case .name(let name, let port): return "\(name):\(port)"
        }
    }

    /// As a listener's `bind` has it; nil where it could not.
    public init?(boundAs text: String) {
        guard let address = try? Self.parse(text, for: .listening) else { return nil }
        self = address
    }

    /// What an address is for: a listener binds numbers, a backend may also have a name.
    enum Purpose {
        case listening
        case backend
    }

    /// `sockaddr_un.sun_path` is 108 bytes with its end.
    static let unixPathLimitBytes = 107

    static func parse(_ text: String, for purpose: Purpose) throws(TextProblem) -> Address {
        let quoted = text.quotedForMessage
        if text.unicodeScalars.contains(where: { $0.isUnprintable }) {
            throw TextProblem(message: "\(quoted) has control characters in it", isComplete: true)
        }
        if text.hasPrefix("unix:") { return try parseUnix(text) }
        if text.hasPrefix("/") {
            throw TextProblem(message: "\(quoted) lacks `unix:`", suggestion: "unix:" + text)
        }
        if let scheme = text.unicodeScalars.firstRange(of: "://".unicodeScalars) {
            let rest = text.unicodeScalars[scheme.upperBound...].prefix { $0 != "/" }
            throw TextProblem(
                message: "\(quoted) is a URL, not an address",
                suggestion: (try? parse(String(rest), for: purpose)) == nil ? nil : String(rest))
        }
        guard let colon = text.unicodeScalars.lastIndex(of: ":") else { throw withoutPort(text, purpose) }
        let host = String(text.unicodeScalars[..<colon])
        let port = try parsePort(String(text.unicodeScalars[colon...].dropFirst()), of: text, for: purpose)
        let address = try parseHost(host, port: port, of: text, for: purpose)
        if purpose == .backend, address.isWildcard {
            throw TextProblem(
                message: "\(quoted) means all addresses; a backend is one", suggestion: "127.0.0.1:\(port)")
        }
        return address
    }

    /// True for `0.0.0.0` and `[::]`.
    var isWildcard: Bool {
        switch self {
        case .ipv4(let bits, _): return bits == 0
        case .ipv6(let high, let low, _): return high == 0 && low == 0
        case .unix, .name: return false
        }
    }

    // MARK: - Parts

    private static func parseUnix(_ text: String) throws(TextProblem) -> Address {
        let path = String(text.dropFirst("unix:".count))
        let quoted = text.quotedForMessage
        if path.isEmpty { throw TextProblem(message: "\(quoted) has no path") }
        if path.hasPrefix("//") {
            let trimmed = path.drop { $0 == "/" }
            throw TextProblem(message: "\(quoted) is a URL, not an address", suggestion: "unix:/" + trimmed)
        }
        if !path.hasPrefix("/") {
            throw TextProblem(
                message: "the path of \(quoted) is not absolute", suggestion: "unix:/" + path)
        }
        if path.utf8.count > unixPathLimitBytes {
            throw TextProblem(
                message: "the path of \(quoted) is longer than \(unixPathLimitBytes) bytes",
                isComplete: true)
        }
        return .unix(path: path)
    }

    private static func withoutPort(_ text: String, _ purpose: Purpose) -> TextProblem {
        let quoted = text.quotedForMessage
        if !text.isEmpty, text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
            let host = purpose == .listening ? "0.0.0.0" : "127.0.0.1"
            return TextProblem(message: "\(quoted) has no host", suggestion: "\(host):\(text)")
        }
        return TextProblem(message: "\(quoted) has no port")
    }

    private static func parsePort(
        _ digits: String, of text: String, for purpose: Purpose
    ) throws(TextProblem) -> UInt16 {
        let quoted = text.quotedForMessage
        if parseIPv6(text) != nil { throw TextProblem(message: "\(quoted) has no port and no brackets") }
        if text.hasSuffix("]") || digits.isEmpty { throw TextProblem(message: "\(quoted) has no port") }
        let isNumber = digits.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        let hasLeadingZero = digits.hasPrefix("0") && digits != "0"
        guard isNumber, !hasLeadingZero else {
            throw TextProblem(message: "\(digits.quotedForMessage) in \(quoted) is not a port")
        }
        let lowest: UInt16 = purpose == .listening ? 0 : 1
        guard let port = UInt16(digits), port >= lowest else {
            throw TextProblem(
                message: "the port of \(quoted) is not from \(lowest) to 65535", isComplete: true)
        }
        return port
    }

    private static func parseHost(
        _ host: String, port: UInt16, of text: String, for purpose: Purpose
    ) throws(TextProblem) -> Address {
        let quoted = text.quotedForMessage
        if host.isEmpty || host == "*" {
            throw TextProblem(
                message: "\(quoted) has no host",
                suggestion: purpose == .listening ? "0.0.0.0:\(port)" : nil)
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inner = String(host.dropFirst().dropLast())
            if let (high, low) = parseIPv6(inner) { return .ipv6(high: high, low: low, port: port) }
            let hint = inner.contains("%") ? "an address with a zone (`%`) is not supported" : nil
            throw TextProblem(
                message: "\(inner.quotedForMessage) in \(quoted) is not an IPv6 address", hint: hint)
        }
        if host.contains(":") {
            let isIPv6 = parseIPv6(host) != nil
            throw TextProblem(
                message: isIPv6 ? "an IPv6 address needs brackets" : "\(quoted) is not an address",
                suggestion: isIPv6 ? "[\(host)]:\(port)" : nil)
        }
        if let bits = parseIPv4(host) { return .ipv4(bits, port: port) }
        let lastLabel = host.split(separator: ".").last ?? ""
        if lastLabel.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
            throw TextProblem(message: "\(host.quotedForMessage) in \(quoted) is not an IPv4 address")
        }
        guard isHostName(host) else {
            throw TextProblem(message: "\(host.quotedForMessage) in \(quoted) is not a host name")
        }
        if purpose == .listening {
            throw TextProblem(
                message: "\(host.quotedForMessage) is a name; a listener binds an address",
                suggestion: host == "localhost" ? "127.0.0.1:\(port)" : nil)
        }
        return .name(host, port: port)
    }

    /// RFC 1123 with `_`, which containers use.
    static func isHostName(_ name: String) -> Bool {
        var labels = name.split(separator: ".", omittingEmptySubsequences: false)
        if labels.count > 1, labels.last == "" { labels.removeLast() }
        return name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.unicodeScalars.allSatisfy { scalar in
                        switch scalar {
                        case "A"..."Z", "a"..."z", "0"..."9", "-", "_": return true
                        default: return false
                        }
                    }
            }
    }

    /// Four decimal octets without leading zeros, in host byte order.
    static func parseIPv4(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            let isPlain = part.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            guard isPlain, part == "0" || !part.hasPrefix("0"), let octet = UInt8(part) else { return nil }
            bits = bits << 8 | UInt32(octet)
        }
        return bits
    }

    /// RFC 4291, section 2.2, with the dotted form for the last 32 bits.
    static func parseIPv6(_ text: String) -> (high: UInt64, low: UInt64)? {
        guard text.utf8.count <= 45, text.contains(":") else { return nil }
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2, let head = parseGroups(halves[0], mayEndDotted: halves.count == 1) else {
            return nil
        }
        var groups = head
        if halves.count == 2 {
            guard let tail = parseGroups(halves[1], mayEndDotted: true), head.count + tail.count <= 7 else {
                return nil
            }
            groups += [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
        }
        guard groups.count == 8 else { return nil }
        let half = { (part: ArraySlice<UInt16>) in part.reduce(0) { $0 << 16 | UInt64($1) } }
        return (half(groups[..<4]), half(groups[4...]))
    }

    private static func parseGroups(_ text: Substring, mayEndDotted: Bool) -> [UInt16]? {
        if text.isEmpty { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if mayEndDotted, index == parts.count - 1, let bits = parseIPv4(String(part)) {
                groups += [UInt16(bits >> 16), UInt16(truncatingIfNeeded: bits)]
                continue
            }
            guard (1...4).contains(part.utf8.count), !part.hasPrefix("+"), !part.hasPrefix("-"),
                let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }

    /// RFC 5952: lower case, no leading zeros, the longest run of zero groups as `::`.
    private func ipv6Text(high: UInt64, low: UInt64) -> String {
        let groups = [high, low].flatMap { half in
            [48, 32, 16, 0].map { UInt16(truncatingIfNeeded: half >> UInt64($0)) }
        }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        let text = { (part: ArraySlice<UInt16>) in
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if longest.isEmpty { return text(groups[...]) }
        return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
    }
}
