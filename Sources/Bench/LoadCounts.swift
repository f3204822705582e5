// What a load thread counts. One for each thread, added up at the end.

struct LoadCounts: BitwiseCopyable {
    /// Requests that were answered as they should be.
    var answered: UInt64 = 0
    /// Those of them that were answered before the time was over: what the throughput is made of.
    var answeredInTime: UInt64 = 0
    /// Requests without an answer when the run ended, begun or due; their latency so far is recorded.
    var unfinished: UInt64 = 0
    /// Answered before the run began, and in no other count.
    var warmedUp: UInt64 = 0
    /// Of slow readers.
    var slowAnswered: UInt64 = 0
    var connections: UInt64 = 0
    /// Bytes of requests and of answers, heads included.
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    /// Time from the begin to the end of starting requests.
    var elapsedNanoseconds: UInt64 = 0
    private var errors = InlineArray<16, UInt64>(repeating: 0)

    @inline(__always)
    mutating func add(_ kind: ErrorKind) { errors[Int(kind.rawValue)] += 1 }

    func count(_ kind: ErrorKind) -> UInt64 { errors[Int(kind.rawValue)] }

    /// The run begins: what was answered before only made connections ready.
    mutating func forgetAnswers() {
        warmedUp = answered
        answered = 0
        bytesSent = 0
        bytesReceived = 0
    }

    var errorCount: UInt64 { ErrorKind.allCases.reduce(0) { $0 + count($1) } }

    /// Threads run at the same time: the longest counts.
    mutating func add(_ other: LoadCounts) {
        answered += other.answered
        answeredInTime += other.answeredInTime
        unfinished += other.unfinished
        warmedUp += other.warmedUp
        slowAnswered += other.slowAnswered
        connections += other.connections
        bytesSent += other.bytesSent
        bytesReceived += other.bytesReceived
        elapsedNanoseconds = max(elapsedNanoseconds, other.elapsedNanoseconds)
        for kind in ErrorKind.allCases { errors[Int(kind.rawValue)] += other.count(kind) }
    }
}
