// What is held against a backend: failures of sessions and requests that it alone is to blame for. What a client
// did, or this host, is none of them.

/// A failure of a backend.
public enum Fault: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    case connectRefused
    case connectTimeout
    case connectUnreachable
    case connectFailed
    /// It reset the connection before its answer began.
    case reset
    /// It closed the connection before its answer began.
    case closed
    /// Its answer did not begin in time.
    case timeout
    /// Its answer broke a rule.
    case badResponse
    /// It answered that it has failed (RFC 9110, section 15.6).
    case status5xx

    /// As the log has it.
    public var name: StaticString {
        switch self {
        case .connectRefused: "connect_refused"
        case .connectTimeout: "timeout_connect"
        case .connectUnreachable: "connect_unreachable"
        case .connectFailed: "connect_failed"
        case .reset: "backend_reset"
        case .closed: "backend_closed"
        case .timeout: "timeout_response_head"
        case .badResponse: "bad_response"
        case .status5xx: "status_5xx"
        }
    }
}
