// Numbers that one worker counts and the control thread reads. Each has a single writer, so counting is a
// plain addition; the reader sees a recent value of each.

import Synchronization

/// What a worker counts.
public enum Counter: Int, CaseIterable, Sendable {
    /// Client connections accepted.
    case accepted
    /// Sessions ended; equals the sum over the reasons.
    case finished
    /// Connections closed at accept because no slot was left, or because Weir had been told to stop.
    case refused
    /// Bytes received from clients, and sent to clients, of finished sessions.
    case bytesIn
    case bytesOut
    /// Attempts to connect to a backend, and those that failed.
    case connects
    case connectFailures
    /// Times a listener paused accepting because a limit was reached or descriptors ran out.
    case acceptPauses
    /// Times a receive found no buffer.
    case buffersExhausted
    /// Directions that went over to splice, and back.
    case spliceUpgrades
    case spliceDowngrades
    /// Completions of an owner that is gone.
    case staleCompletions
    /// Turns of the loop, and completions handled.
    case turns
    case completions
    // In http mode.
    /// Requests, by the class of the status that the client was sent.
    case requests
    case responses1xx
    case responses2xx
    case responses3xx
    case responses4xx
    case responses5xx
    /// Requests that were given up without an answer.
    case requestsUnanswered
    /// Requests that were sent again because a kept connection had been closed, or because those before them on it took
    /// too long or failed.
    case requestsReplayed
    /// Requests that were sent behind others on their connection.
    case requestsBatched
    /// Sessions and requests that waited for a place at a backend.
    case pended
    /// Tries of a request after its first one, by the rules of `retry`.
    case retries
    /// Requests that were not tried again because too many of their pool were.
    case retriesOverBudget
    /// Requests that were sent to a second backend: the first one answered; the second one took over.
    case hedgesLost
    case hedgesWon
    /// Keys that a rate limit forgot before their time, because its table was full.
    case rateKeysForgotten
    /// Log records lost.
    case logDropped

    /// How many there are; `allCases` would allocate.
    static let total = Counter.logDropped.rawValue + 1
}

/// One worker's counters: the `Counter`s, then one for each termination reason.
public struct CounterTable: ~Copyable, Sendable {
    private nonisolated(unsafe) let values: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int

    public init(reasons: Int) {
        count = Counter.total + reasons
        let bytes = (count * MemoryLayout<Atomic<UInt64>>.stride + 127) / 64 * 64
        values = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (values + index).initialize(to: Atomic(0)) }
    }

    deinit { values.deallocate() }

    /// By the owning worker only.
    @inline(__always)
    public func add(_ counter: Counter, _ amount: UInt64 = 1) { add(at: counter.rawValue, amount) }

    /// By the owning worker only.
    @inline(__always)
    public func add(reason: Int, _ amount: UInt64 = 1) {
        add(at: Counter.total + reason, amount)
    }

    public subscript(counter: Counter) -> UInt64 { values[counter.rawValue].load(ordering: .relaxed) }

    public subscript(reason reason: Int) -> UInt64 {
        precondition(reason >= 0 && Counter.total + reason < count)
        return values[Counter.total + reason].load(ordering: .relaxed)
    }

    @inline(__always)
    private func add(at index: Int, _ amount: UInt64) {
        precondition(index < count)
        let value = values[index].load(ordering: .relaxed)
        values[index].store(value &+ amount, ordering: .relaxed)
    }
}
