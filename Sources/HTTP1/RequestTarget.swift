// Reads the target of a request (RFC 9112, section 3.2). Paths and queries are left as they are: Weir does not
// decode what it forwards.

/// What a target is for. The form for CONNECT does not occur: CONNECT is refused.
public enum TargetForm: UInt8, BitwiseCopyable, Sendable {
    /// `/path?query`.
    case origin
    /// `http://authority/path?query` or the same with https.
    case absoluteHTTP, absoluteHTTPS
    /// `*`, of OPTIONS.
    case asterisk
}

/// The parts of a target.
public struct RequestTarget: BitwiseCopyable, Sendable {
    /// The whole of it, as it was received.
    public internal(set) var range: HeadRange
    public internal(set) var form = TargetForm.origin
    /// Begins with `/`; `*` in asterisk form. Empty where an absolute form has no path: that means `/`, or
    /// `*` for OPTIONS without a query (RFC 9112, section 3.2.4).
    public internal(set) var path = HeadRange.empty
    /// What follows the first `?`; nil where there is none.
    public internal(set) var query: HeadRange?
    /// Of an absolute form, not looked at yet; empty in the others.
    var authority = HeadRange.empty

    init(_ octets: Octets, _ range: HeadRange, _ method: Method) throws(Refusal) {
        self.range = range
        if range.isEmpty { throw .badRequestLine }
        if octets.firstOutsideTarget(from: range.start, to: range.end) != range.end { throw .badTarget }
        var pathStart = range.start
        if octets[range.start] != 0x2F {
            if range.count == 1, octets[range.start] == 0x2A, method == .options {
                form = .asterisk
                path = range
                return
            }
            pathStart = try absolute(octets)
        }
        let mark = octets.first(0x3F, from: pathStart, to: range.end)
        path = HeadRange(pathStart, mark)
        if mark < range.end { query = HeadRange(mark &+ 1, range.end) }
    }

    /// Sets form and authority; gives where the path begins.
    private mutating func absolute(_ octets: Octets) throws(Refusal) -> Int {
        // After the scheme: `//` (RFC 9110, section 4.2).
        let authorityStart: Int
        if range.count >= 7, octets.matches("http", at: range.start),
            octets.equals("://", at: range.start &+ 4)
        {
            form = .absoluteHTTP
            authorityStart = range.start &+ 7
        } else if range.count >= 8, octets.matches("https", at: range.start),
            octets.equals("://", at: range.start &+ 5)
        {
            form = .absoluteHTTPS
            authorityStart = range.start &+ 8
        } else {
            throw .badTarget
        }
        let slash = octets.first(0x2F, from: authorityStart, to: range.end)
        let end = octets.first(0x3F, from: authorityStart, to: slash)
        authority = HeadRange(authorityStart, end)
        return end
    }
}
