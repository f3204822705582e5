// When requests of an open loop are to start: at a fixed rate, whatever the answers do. A request that finds
// every connection busy waits here, and its latency counts from the time at which it was to start. Reads no
// clock: `now` is an argument.

/// The intended starts of one load thread. With several threads, each takes every n-th request of the whole.
public struct Schedule: BitwiseCopyable, Sendable {
    private let start: UInt64
    private let end: UInt64
    /// Nanoseconds between two requests of the whole.
    private let interval: Double
    private let thread: UInt64
    private let threads: UInt64
    /// How many requests of this thread have started.
    public private(set) var startedCount: UInt64 = 0

    /// From `start` until before `end` (nanoseconds of one monotonic clock), `rate` requests a second over all
    /// threads, of which this is number `thread`.
    public init(start: UInt64, end: UInt64, rate: Double, thread: Int = 0, threads: Int = 1) {
        precondition(rate > 0 && threads > 0)
        self.start = start
        self.end = end
        interval = 1e9 / rate
        self.thread = UInt64(thread)
        self.threads = UInt64(threads)
    }

    /// When the next request is to start; nil when the last one has started. Computed from the request's number,
    /// so that no error adds up.
    public var nextStart: UInt64? {
        let number = startedCount * threads + thread
        let time = start + UInt64(Double(number) * interval)
        return time < end ? time : nil
    }

    /// Takes a request that is due, the oldest first. Answers its intended start.
    public mutating func take(now: UInt64) -> UInt64? {
        guard let time = nextStart, time <= now else { return nil }
        startedCount += 1
        return time
    }
}
