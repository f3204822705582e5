// A request whose backend failed is sent to another one, where the route allows it and nothing is harmed: the client
// has no answer yet, the whole request is still here, and the method may be repeated (RFC 9110, section 9.2.2).
//
//   failed try -> (allowed, within attempts and budget) -> pause -> next candidate -> ...

import Balancing
import Base
import Configuration
import HTTP1
import Ring
import Synchronization
import Telemetry

/// What went wrong with a try.
enum TryFailure: BitwiseCopyable {
    case connect, reset, timeout
    case status(UInt16)

    /// As the log has it.
    var name: StaticString {
        switch self {
        case .connect: "connect"
        case .reset: "reset"
        case .timeout: "timeout"
        case .status: "status"
        }
    }
}

/// When requests are sent again, compiled.
struct RetryPlan: BitwiseCopyable {
    let attempts: UInt8
    private let words: UInt8
    /// One bit for each status from 400 on.
    private let statuses: InlineArray<4, UInt64>
    let includesNonIdempotent: Bool
    /// A request that waits long is sent to a second backend (Hedge.swift).
    let hedges: Bool
    private let budgetShare: Double
    /// `UInt64.max` for no limit.
    let perTryNanoseconds: UInt64

    /// Requests of a pool that may be retried whatever their share is.
    private static var leastBudget: Int { 3 }
    // In `words`.
    private static var connectBit: UInt8 { 1 }
    private static var resetBit: UInt8 { 2 }
    private static var timeoutBit: UInt8 { 4 }

    init(_ settings: RetrySettings?) {
        var words: UInt8 = 0
        var statuses = InlineArray<4, UInt64>(repeating: 0)
        for condition in settings?.on ?? [] {
            switch condition {
            case .connect: words |= Self.connectBit
            case .reset: words |= Self.resetBit
            case .timeout: words |= Self.timeoutBit
            case .status(let status): statuses[Int(status - 400) / 64] |= 1 << UInt64((status - 400) % 64)
            }
        }
        self.words = words
        self.statuses = statuses
        attempts = UInt8(settings?.attempts ?? 0)
        includesNonIdempotent = settings?.includesNonIdempotent ?? false
        hedges = settings?.hedges ?? false
        budgetShare = settings?.budgetShare ?? 0
        perTryNanoseconds = settings?.perTryNanoseconds ?? UInt64.max
    }

    /// Whether a failure of this kind is worth another try.
    func takes(_ failure: TryFailure) -> Bool {
        switch failure {
        case .connect: words & Self.connectBit != 0
        case .reset: words & Self.resetBit != 0
        case .timeout: words & Self.timeoutBit != 0
        case .status(let status):
            status >= 400 && status < 600
                && statuses[Int(status - 400) / 64] >> UInt64((status - 400) % 64) & 1 != 0
        }
    }

    /// How many requests may be under retry while the pool serves so many.
    func budget(ofActive active: Int) -> Int {
        max(Self.leastBudget, Int(Double(active) * budgetShare))
    }
}

extension Worker {
    /// The pause before a try is anything up to this, doubled with each, so that those who failed together do not
    /// come back together.
    private static var pauseNanoseconds: UInt64 { 25_000_000 }
    private static var longestPauseNanoseconds: UInt64 { 250_000_000 }

    func retryPlan(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> UnsafePointer<RetryPlan> {
        let route = exchange.pointee.route
        return httpPlan(session).pointee.retries + (route == Exchange.noRoute ? 0 : Int(route) + 1)
    }

    /// Whether the request is to be sent again; then it has its place in the pool's budget.
    func mayRetry(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ failure: TryFailure
    ) -> Bool {
        let plan = retryPlan(session, exchange)
        guard exchange.pointee.retries < plan.pointee.attempts || mutant(.triesUncounted),
            plan.pointee.takes(failure) || mutant(.triedAgainWhateverFailed) && plan.pointee.attempts > 0,
            !exchange.pointee.hasAnswered, command == .run
        else { return false }
        return exchange.pointee.holdsRetry || takeRetry(session, exchange)
    }

    /// Takes a place in the pool's budget; false where it is used up.
    func takeRetry(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        let plan = retryPlan(session, exchange)
        let pool = session.pointee.pool.pointee.plan
        let before = pool.pointee.load.pointee.retries.wrappingAdd(1, ordering: .relaxed).oldValue
        if before >= plan.pointee.budget(ofActive: pool.pointee.candidates.activeSum),
            !mutant(.budgetIgnored)
        {
            pool.pointee.load.pointee.retries.wrappingSubtract(1, ordering: .relaxed)
            counters.pointee.add(.retriesOverBudget)
            return false
        }
        exchange.pointee.holdsRetry = true
        return true
    }

    /// The request is over, or has no more tries.
    func releaseRetry(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        guard exchange.pointee.holdsRetry else { return }
        exchange.pointee.holdsRetry = false
        if mutant(.retryKeepsBudget) { return }
        session.pointee.pool.pointee.plan.pointee.load.pointee.retries
            .wrappingSubtract(1, ordering: .relaxed)
    }

    /// A backend had the request, or some of it, and failed. True where the request is sent again: at once, or after a
    /// pause.
    mutating func retry(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ failure: TryFailure
    ) -> Bool {
        guard exchange.pointee.replay != BufferRing.none, mayRetry(session, exchange, failure),
            prepareReplay(session, exchange)
        else { return false }
        note(failure, exchange)
        replay(slot, session, exchange)
        tryNext(slot, session, exchange)
        return true
    }

    /// No candidate could be connected to: all are tried again after a pause, where that is allowed.
    mutating func retryConnecting(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Bool {
        guard session.pointee.isHTTP, session.pointee.attempts > 0 else { return false }
        let exchange = exchange(session)
        guard mayRetry(session, exchange, .connect) else { return false }
        note(.connect, exchange)
        session.pointee.sequence = CandidateSequence()
        session.pointee.state = .connecting
        timers.set(slot, deadline: now + pause(before: exchange.pointee.retries))
        return true
    }

    private func note(_ failure: TryFailure, _ exchange: UnsafeMutablePointer<Exchange>) {
        exchange.pointee.retries += 1
        exchange.pointee.lastFailure = failure
        counters.pointee.add(.retries)
    }

    /// The next candidate's turn; nothing of the last try is left.
    private mutating func tryNext(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if !mutant(.tryLeavesAnswer) { buffers.drop(&session.pointee.toClient.input) }
        exchange.pointee.scan = HeadScan()
        exchange.pointee.response = BodyState()
        exchange.pointee.firstByteAt = 0
        session.pointee.connectedAt = 0
        exchange.pointee.mayStartOver = true
        if mutant(.sameBackendTried) { session.pointee.sequence = CandidateSequence() }
        releaseCandidate(session)
        if exchange.pointee.retries <= 1 {
            connectNext(slot, session)
            return
        }
        session.pointee.state = .connecting
        timers.set(slot, deadline: now + pause(before: exchange.pointee.retries))
    }

    private mutating func pause(before attempt: UInt8) -> UInt64 {
        let longest = min(Self.pauseNanoseconds << UInt64(min(attempt, 8) - 1), Self.longestPauseNanoseconds)
        return random.next() % longest
    }
}
