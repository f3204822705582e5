// What workers count of each listener and each backend, for whoever looks at a running Weir. Each is one addition to
// a number that the worker alone writes; `Telemetry/Tally.swift` has the memory.

import Telemetry

/// What is counted of a backend.
public enum BackendCounter: Int, CaseIterable, Sendable {
    /// Sessions and requests that it was chosen for, those that had failed at another one included.
    case tries
    /// What is held against it (`Health/Fault.swift`): of http requests, answers of 5xx too.
    case failures
    /// Attempts to connect that failed.
    case connectFailures
    /// Answers that began (tcp mode: connections made), and how long that took, added up.
    case answers
    case answerMicroseconds
    /// Bytes from clients that had it last, and to them.
    case bytesIn
    case bytesOut
}

/// What is counted of a listener. Behind these stands the histogram of durations.
public enum ListenerCounter: Int, CaseIterable, Sendable {
    case accepted
    case finished
    /// Sessions (in http mode requests) whose reason is not `ok`.
    case failed
    case bytesIn
    case bytesOut
    /// Of requests; in tcp mode of sessions.
    case durationMicroseconds
    // In http mode.
    case requests
    case responses1xx
    case responses2xx
    case responses3xx
    case responses4xx
    case responses5xx
    case unanswered

    static let total = ListenerCounter.unanswered.rawValue + 1
}

extension BackendPlan {
    public func total(_ counter: BackendCounter) -> UInt64 { tally.sum(counter.rawValue) }
}

extension ListenerPlan {
    public func total(_ counter: ListenerCounter) -> UInt64 { tally.sum(counter.rawValue) }

    /// Client connections now, of all workers.
    public var sessionCount: Int { max(sessions.pointee.value.load(ordering: .relaxed), 0) }

    /// Requests (in tcp mode sessions) whose duration is in a bucket of `DurationBuckets`.
    public func durations(inBucket index: Int) -> UInt64 { tally.sum(ListenerCounter.total + index) }
}

/// What was counted of one backend or listener, through all versions that have its name.
final class TallyMemory {
    private let tallies: Tallies
    var tally: Tally { tallies[0] }

    static func backend(workers: Int) -> TallyMemory {
        TallyMemory(cells: BackendCounter.allCases.count, workers: workers)
    }

    static func listener(workers: Int) -> TallyMemory {
        TallyMemory(cells: ListenerCounter.total + DurationBuckets.count, workers: workers)
    }

    private init(cells: Int, workers: Int) {
        tallies = Tallies(count: 1, cells: cells, workers: max(workers, 1))
    }

    deinit { tallies.deallocate() }
}

extension Worker {
    /// Of the backend that a session has, or had last.
    @inline(__always)
    func tally(
        _ counter: BackendCounter, _ session: UnsafeMutablePointer<Session>, _ amount: UInt64 = 1
    ) {
        let pool = session.pointee.pool.pointee.plan
        (pool.pointee.backends + Int(session.pointee.backend)).pointee.tally
            .add(counter.rawValue, amount, worker: settings.index)
    }

    @inline(__always)
    func tally(
        _ counter: ListenerCounter, listener: UnsafePointer<ListenerPlan>, _ amount: UInt64 = 1
    ) {
        listener.pointee.tally.add(counter.rawValue, amount, worker: settings.index)
    }

    /// A session is over.
    func tallySession(_ session: UnsafeMutablePointer<Session>) {
        let listener = listenerPlan(session)
        tally(.finished, listener: listener)
        tally(.bytesIn, listener: listener, session.pointee.toBackend.received)
        tally(.bytesOut, listener: listener, session.pointee.toClient.delivered)
        if listener.pointee.http != nil { return }
        if session.pointee.reason != .ok { tally(.failed, listener: listener) }
        tallyDuration(listener, since: session.pointee.acceptedAt)
        if session.pointee.attempts == 0 { return }
        tally(.bytesIn, session, session.pointee.toBackend.received)
        tally(.bytesOut, session, session.pointee.toClient.delivered)
    }

    /// A request is over.
    func tallyExchange(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let listener = listenerPlan(session)
        tally(.requests, listener: listener)
        let outcome: ListenerCounter =
            switch exchange.pointee.status {
            case 100..<200: .responses1xx
            case 200..<300: .responses2xx
            case 300..<400: .responses3xx
            case 400..<500: .responses4xx
            case 500...: .responses5xx
            default: .unanswered
            }
        tally(outcome, listener: listener)
        if exchange.pointee.reason != .ok { tally(.failed, listener: listener) }
        tallyDuration(listener, since: exchange.pointee.startedAt)
        if session.pointee.attempts == 0 { return }
        tally(.bytesIn, session, exchange.pointee.bytesIn)
        tally(.bytesOut, session, session.pointee.toClient.delivered - exchange.pointee.bytesOutBefore)
    }

    private func tallyDuration(_ listener: UnsafePointer<ListenerPlan>, since start: UInt64) {
        let microseconds = (now &- start) / 1000
        tally(.durationMicroseconds, listener: listener, microseconds)
        listener.pointee.tally.add(
            ListenerCounter.total + DurationBuckets.index(microseconds: microseconds),
            worker: settings.index)
    }
}
