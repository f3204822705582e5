// What `weir-bench load` was asked for.

public enum Mode: String, Sendable {
    case http, tcp
}

public struct LoadOptions: Sendable {
    public var target: Target
    public var mode = Mode.http
    /// Connections that carry measured requests, over all threads.
    public var connections = 64
    public var durationNanoseconds: UInt64 = 10_000_000_000
    /// The run ends when so many requests were begun and answered, over all threads, if its time is not over before.
    public var requests: Int?
    /// Requests a second over all threads, whatever the answers do; nil for a closed loop, in which each
    /// connection has one request under way all the time.
    public var rate: Double?
    /// A new connection for each request.
    public var isFresh = false
    /// Bytes of a request's body (http), or of a message (tcp).
    public var sizeBytes: Int?
    /// Sizes of which each request draws one: of the message (tcp), or of the response (http), which is asked
    /// for with `?size=`.
    public var mix: SizeMix?
    /// Bytes that each response must have; nil: as its head says (http), as many as were sent (tcp).
    public var responseBytes: Int?
    public var path = "/"
    /// Further header lines, `name: value`.
    public var headers: [String] = []
    /// Connections on top that read their responses slowly and are not measured.
    public var slowReaders = 0
    public var threads = 1
    /// Says `running` on standard error when connections are made, kept ones have had an answer, and requests that
    /// count begin. Who asks for it also keeps the connections until it is told to end, so that neither is in what is
    /// measured meanwhile.
    public var holds = false

    public init(target: Target) { self.target = target }

    /// What cannot be, in words.
    func check() throws(BenchError) {
        if holds, threads > 1 { throw BenchError("--hold is for one thread") }
        if connections < threads {
            throw BenchError("\(threads) threads need at least \(threads) connections, not \(connections)")
        }
        if mode == .tcp, sizeBytes == 0 { throw BenchError("a message of --mode tcp has at least 1 byte") }
        if mode == .tcp, mix?.entries.contains(where: { $0.bytes == 0 }) == true {
            throw BenchError("a message of --mode tcp has at least 1 byte; the mix has one of 0")
        }
        if mode == .tcp, path != "/" || !headers.isEmpty {
            throw BenchError("--path and --header are for --mode http")
        }
        // What is no request line, or no header line, would be refused by the target and blamed on it.
        if !path.hasPrefix("/") || path.utf8.contains(where: { $0 <= 0x20 }) {
            throw BenchError("--path begins with / and has no blanks, not as in `\(path)`")
        }
        for header in headers where !header.contains(":") || header.utf8.contains(where: { $0 < 0x20 }) {
            throw BenchError("--header wants 'NAME: VALUE', not `\(header)`")
        }
        if let requests, requests < threads {
            throw BenchError("\(threads) threads need at least \(threads) requests, not \(requests)")
        }
        if durationNanoseconds == 0 { throw BenchError("--duration is longer than 0") }
        if mode == .tcp, mix != nil, sizeBytes != nil { throw BenchError("either --size or --mix, not both") }
        if mix != nil, responseBytes != nil { throw BenchError("either --response or --mix, not both") }
        if mode == .tcp, responseBytes == 0 {
            throw BenchError("an answer of --mode tcp has at least 1 byte")
        }
        let limit = BenchKernel.raiseDescriptorLimit()
        if connections + slowReaders + 32 > limit {
            throw BenchError(
                "\(connections + slowReaders) connections need more descriptors than this process may open"
                    + " (\(limit)); raise the limit (ulimit -n), or ask for fewer")
        }
    }
}
