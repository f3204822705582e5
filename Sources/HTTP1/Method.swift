// Request methods that Weir treats by what they mean (RFC 9110, section 9; RFC 5789). Names are
// case-sensitive.

/// A method; `other` for any token that is not one of these.
public enum Method: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case other, get, head, post, put, delete, connect, options, trace, patch

    /// Whether a request may be sent again without harm (RFC 9110, section 9.2.2). Unknown ones may not.
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }

    /// Whether the client asks for no change (RFC 9110, section 9.2.1).
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .post, .put, .delete, .patch, .connect, .other: false
        }
    }

    /// The method that the octets of `range` name.
    static func named(_ octets: Octets, _ range: HeadRange) -> Method {
        let start = range.start
        switch range.count {
        case 3:
            if octets.equals("GET", at: start) { return .get }
            if octets.equals("PUT", at: start) { return .put }
        case 4:
            if octets.equals("POST", at: start) { return .post }
            if octets.equals("HEAD", at: start) { return .head }
        case 5:
            if octets.equals("PATCH", at: start) { return .patch }
            if octets.equals("TRACE", at: start) { return .trace }
        case 6:
            if octets.equals("DELETE", at: start) { return .delete }
        case 7:
            if octets.equals("OPTIONS", at: start) { return .options }
            if octets.equals("CONNECT", at: start) { return .connect }
        default: break
        }
        return .other
    }
}
