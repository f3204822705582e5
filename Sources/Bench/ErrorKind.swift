// What can go wrong with a request, as it is counted and reported.

/// Each failed request or connection attempt counts once, as one of these.
public enum ErrorKind: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    // Connecting.
    case connectRefused, connectTimedOut, noLocalPort, noDescriptor, connectFailed
    // The connection ended, or broke, before the response did.
    case closedEarly, reset
    // An answer, but not the one that was promised.
    case status3xx, status4xx, status5xx, badResponse, wrongLength, unexpectedBytes

    /// The word in reports; stable.
    public var name: String {
        switch self {
        case .connectRefused: "connect_refused"
        case .connectTimedOut: "connect_timed_out"
        case .noLocalPort: "no_local_port"
        case .noDescriptor: "no_descriptor"
        case .connectFailed: "connect_failed"
        case .closedEarly: "closed_early"
        case .reset: "reset"
        case .status3xx: "status_3xx"
        case .status4xx: "status_4xx"
        case .status5xx: "status_5xx"
        case .badResponse: "bad_response"
        case .wrongLength: "wrong_length"
        case .unexpectedBytes: "unexpected_bytes"
        }
    }
}
