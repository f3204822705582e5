// What `weir-bench origin` was asked for.

public struct OriginOptions: Sendable {
    public var listen: Target
    public var mode = Mode.http
    /// Bytes of each response's body (http, where the request does not ask with `?size=`), or of each answer
    /// (tcp); nil: 128 (http), or what came is sent back (tcp).
    public var sizeBytes: Int?
    /// Of tcp with a fixed size: so many bytes are one request.
    public var messageBytes = 128
    /// How long an answer is held back, and which share of the answers.
    public var delayNanoseconds: UInt64 = 0
    public var delayedShare = 1.0
    /// Told in `x-origin` of each response, and in the counts.
    public var name = "origin"

    public init(listen: Target) { self.listen = listen }

    func check() throws(BenchError) {
        if let sizeBytes, sizeBytes > OriginResponses.sizeLimitBytes {
            throw BenchError("--size is at most \(OriginResponses.sizeLimitBytes >> 20) MiB")
        }
        if mode == .tcp, sizeBytes == 0 { throw BenchError("an answer of --mode tcp has at least 1 byte") }
        if messageBytes < 1 { throw BenchError("a message of --mode tcp has at least 1 byte") }
        let isPlain = name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
        if !isPlain || name.isEmpty { throw BenchError("--name is made of letters, digits and signs") }
    }
}
