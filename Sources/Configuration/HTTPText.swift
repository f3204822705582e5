// Texts that end up in HTTP messages or are compared with them: header names and values, methods, host and
// path patterns, locations. What could never match, or would break a message, is refused here.

enum HTTPText {
    /// RFC 9110, 5.6.2.
    static let tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

    /// Headers that frame a message or belong to one connection: Weir writes them itself (RFC 9110, 7.6.1).
    private static let ownHeaders = [
        "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]
    private static let knownMethods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]

    static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    return true
                default: return "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// ASCII without spaces and control characters, as everything in a request target is.
    static func isVisible(_ text: String) -> Bool {
        text.utf8.allSatisfy { 0x21...0x7E ~= $0 }
    }

    // MARK: - Headers

    static func headerName(_ text: String) throws(TextProblem) -> String {
        if isToken(text) { return text }
        throw TextProblem(message: "\(text.quotedForMessage) cannot name a header")
    }

    /// A header that a configuration may put in or take out.
    static func changeableHeaderName(_ text: String) throws(TextProblem) -> String {
        let name = try headerName(text)
        if !ownHeaders.contains(name.lowercased()) { return name }
        throw TextProblem(
            message: "\(text.quotedForMessage) is not for routes to change", hint: "Weir writes it itself",
            isComplete: true)
    }

    static func headerValue(_ text: String) throws(TextProblem) -> String {
        if text.unicodeScalars.contains(where: { $0.isUnprintable && $0 != "\t" }) {
            throw TextProblem(
                message: "\(text.quotedForMessage) has control characters in it", isComplete: true)
        }
        if let first = text.utf8.first, let last = text.utf8.last,
            [0x20, 0x09].contains(first)
                || [0x20, 0x09].contains(last)
        {
            throw TextProblem(
                message: "\(text.quotedForMessage) begins or ends in a space", isComplete: true)
        }
        return text
    }

    // MARK: - Requests

    static func method(_ text: String) throws(TextProblem) -> String {
        guard isToken(text) else { throw TextProblem(message: "\(text.quotedForMessage) is not a method") }
        let capitals = text.uppercased()
        if text != capitals, knownMethods.contains(capitals) {
            throw TextProblem(
                message: "\(text.quotedForMessage) is not a method: case counts", suggestion: capitals)
        }
        if ["CONNECT", "TRACE"].contains(text) {
            throw TextProblem(
                message: "\(text.quotedForMessage) is refused before routes are asked", isComplete: true)
        }
        return text
    }

    static func hostPattern(_ text: String) throws(TextProblem) -> HostPattern {
        let quoted = text.quotedForMessage
        var name = text.lowercased()
        if name.hasSuffix("."), name.utf8.count > 1 { name.removeLast() }
        if name.hasPrefix("["), name.hasSuffix("]"),
            Address.parseIPv6(String(name.dropFirst().dropLast())) != nil
        {
            return .exact(name)
        }
        let isBelow = name.hasPrefix("*.")
        let rest = isBelow ? String(name.dropFirst(2)) : name
        if Address.isHostName(rest) { return isBelow ? .below(rest) : .exact(rest) }
        if rest.contains("*") {
            throw TextProblem(message: "\(quoted): `*` stands only at the start, as in `*.example.com`")
        }
        if let colon = rest.utf8.lastIndex(of: UInt8(ascii: ":")), Address.isHostName(String(rest[..<colon]))
        {
            throw TextProblem(
                message: "\(quoted) has a port; hosts are compared without",
                suggestion: (isBelow ? "*." : "") + String(rest[..<colon]))
        }
        let hint =
            name.utf8.allSatisfy { $0 < 0x80 }
            ? nil : "write a name with other than ASCII letters in its encoded form, `xn--…`"
        throw TextProblem(message: "\(quoted) is not a host name", hint: hint)
    }

    static func hostText(_ pattern: HostPattern) -> String {
        switch pattern {
        case .exact(let name): name
        case .below(let name): "*." + name
        }
    }

    static func pathPattern(_ text: String) throws(TextProblem) -> PathPattern {
        try checkPath(text)
        let quoted = text.quotedForMessage
        guard let star = text.utf8.firstIndex(of: UInt8(ascii: "*")) else { return .exact(text) }
        let before = String(text[..<star])
        if text.utf8.index(after: star) == text.utf8.endIndex {
            if before.hasSuffix("/") { return .below(String(before.dropLast())) }
            throw TextProblem(
                message: "\(quoted) does not end at a segment", suggestion: before + "/*")
        }
        throw TextProblem(
            message: "\(quoted): `*` stands only at the end, as in `/v1/*`", isComplete: true)
    }

    static func pathText(_ pattern: PathPattern) -> String {
        switch pattern {
        case .exact(let path): path
        case .below(let path): path + "/*"
        }
    }

    /// A part of a path that a rewrite takes off or puts in front.
    static func pathPrefix(_ text: String) throws(TextProblem) -> String {
        try checkPath(text)
        if text.contains("*") {
            throw TextProblem(
                message: "\(text.quotedForMessage): a prefix has no `*`", isComplete: true)
        }
        if text.hasSuffix("/") {
            let trimmed = String(text.dropLast())
            throw TextProblem(
                message: "\(text.quotedForMessage) ends in `/`", suggestion: trimmed.isEmpty ? nil : trimmed)
        }
        return text
    }

    private static func checkPath(_ text: String) throws(TextProblem) {
        let quoted = text.quotedForMessage
        if !isVisible(text) {
            throw TextProblem(
                message: "\(quoted) has characters that no path has",
                hint: "write them as in a URL: a space is `%20`", isComplete: true)
        }
        if !text.hasPrefix("/") {
            throw TextProblem(
                message: "\(quoted) does not start with `/`", suggestion: text.isEmpty ? nil : "/" + text)
        }
        if text.contains("?") || text.contains("#") {
            throw TextProblem(
                message: "\(quoted) is more than a path", hint: "for what follows `?` there is `query`",
                isComplete: true)
        }
    }

    static func queryName(_ text: String) throws(TextProblem) -> String {
        if isVisible(text), !text.isEmpty, !text.utf8.contains(where: { "&=#".utf8.contains($0) }) {
            return text
        }
        throw TextProblem(message: "\(text.quotedForMessage) cannot name a query parameter")
    }

    static func queryValue(_ text: String) throws(TextProblem) -> String {
        if isVisible(text), !text.utf8.contains(where: { "&#".utf8.contains($0) }) { return text }
        throw TextProblem(
            message: "\(text.quotedForMessage) cannot be the value of a query parameter",
            hint: "write it as in the URL: a space is `%20` or `+`")
    }

    // MARK: - Responses

    static func location(_ text: String) throws(TextProblem) -> String {
        let quoted = text.quotedForMessage
        if !isVisible(text) {
            throw TextProblem(
                message: "\(quoted) has characters that no URL has",
                hint: "write them encoded: a space is `%20`", isComplete: true)
        }
        if text.contains("#") {
            throw TextProblem(message: "\(quoted) has a fragment (`#`)", isComplete: true)
        }
        for scheme in ["http://", "https://"] where text.lowercased().hasPrefix(scheme) {
            if text.utf8.count > scheme.utf8.count, !text.dropFirst(scheme.count).hasPrefix("/") {
                return text
            }
            throw TextProblem(message: "\(quoted) has no host")
        }
        if text.hasPrefix("//") {
            throw TextProblem(message: "\(quoted) has no scheme", suggestion: "https:" + text)
        }
        if text.hasPrefix("/") { return text }
        throw TextProblem(
            message: "\(quoted) is neither a URL nor a path",
            suggestion: text.isEmpty || text.contains(":") ? nil : "/" + text)
    }

    // MARK: - Cookies

    /// RFC 6265, 4.1.1.
    static func cookieName(_ text: String) throws(TextProblem) -> String {
        if isToken(text) { return text }
        throw TextProblem(message: "\(text.quotedForMessage) cannot name a cookie")
    }

    /// RFC 6265, 4.1.1: what stands in Path.
    static func cookiePath(_ text: String) throws(TextProblem) -> String {
        try checkPath(text)
        if text.contains(";") {
            throw TextProblem(
                message: "\(text.quotedForMessage) has a `;`, which would end it", isComplete: true)
        }
        return text
    }

    // MARK: - Hash keys

    static func hashKey(_ text: String) throws(TextProblem) -> HashKey {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 {
            let name = String(parts[1])
            switch parts[0] {
            case "header": return .header(try headerName(name))
            case "cookie": return .cookie(try cookieName(name))
            case "query": return .query(try queryName(name))
            default: break
            }
        }
        switch text {
        case "client_ip": return .clientAddress
        case "path": return .path
        case "uri": return .uri
        default:
            let words = parts.count == 2 ? ["header", "cookie", "query"] : ["client_ip", "path", "uri"]
            let near = nearestSpelling(of: String(parts[0]), among: words)
            throw TextProblem(
                message: "unknown key \(text.quotedForMessage)",
                suggestion: near.map { parts.count == 2 ? "\($0):\(parts[1])" : $0 })
        }
    }
}

extension HashKey: CustomStringConvertible {
    /// As the file says it.
    public var description: String {
        switch self {
        case .clientAddress: "client_ip"
        case .header(let name): "header:" + name
        case .cookie(let name): "cookie:" + name
        case .query(let name): "query:" + name
        case .path: "path"
        case .uri: "uri"
        }
    }
}
