// How the end of a message's body is known (RFC 9112, section 6.3).

/// What follows a head.
public enum BodyFraming: BitwiseCopyable, Sendable, Equatable {
    /// Nothing: the head is the whole message.
    case none
    /// That many octets, below 2^63; zero where Content-Length says so.
    case length(UInt64)
    /// Chunks: `ChunkedBody`.
    case chunked
    /// All until the sender closes; responses only.
    case untilClose
}
