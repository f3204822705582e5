// What the data plane tells a pool's health of its backends: what they did of their own accord, well or badly.
// A client that leaves, a refusal of ours and a status of 4xx tell nothing.
//
//   tcp    connect fails -> fault      reset before the first byte -> fault      first byte, or a clean end -> success
//   http   connect fails, reset or closed before the response is whole, no head in time, 5xx -> fault
//          a whole response -> success

import Configuration
import HTTP1
import Health

extension HealthRules {
    init(_ pool: Pool) {
        self.init()
        passive = pool.health.passive.map { settings in
            var rules = PassiveRules()
            rules.consecutiveFailures = UInt32(settings.consecutiveFailures ?? 0)
            rules.failureRatePercent = settings.failureRatePercent ?? 0
            rules.window = settings.window
            rules.minimum = settings.minimum
            rules.degradePercent = pool.health.degradeAtPercent ?? 0
            rules.ejectNanoseconds = settings.ejectNanoseconds
            rules.longestEjectNanoseconds = settings.longestEjectNanoseconds
            rules.maxEjectedPercent = settings.maxEjectedPercent
            return rules
        }
        checks = pool.health.active.map { CheckRules(fall: $0.fall, rise: $0.rise) }
        slowStartNanoseconds = pool.slowStartNanoseconds
    }
}

extension Fault {
    /// nil where this host is to blame.
    init?(ofConnect reason: Reason) {
        switch reason {
        case .connectRefused: self = .connectRefused
        case .connectTimeout: self = .connectTimeout
        case .connectUnreachable: self = .connectUnreachable
        case .connectFailed: self = .connectFailed
        default: return nil
        }
    }
}

extension Worker {
    func noteSuccess(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.holdsBackend else { return }
        session.pointee.pool.pointee.plan.pointee.health.noteSuccess(
            Int(session.pointee.backend), trial: session.pointee.trial)
        session.pointee.trial = .noTrial
    }

    func noteFault(_ session: UnsafeMutablePointer<Session>, _ fault: Fault) {
        guard session.pointee.holdsBackend else { return }
        tally(.failures, session)
        session.pointee.pool.pointee.plan.pointee.health.noteFault(
            Int(session.pointee.backend), fault, trial: session.pointee.trial, now: now)
        session.pointee.trial = .noTrial
    }

    // MARK: Tcp

    /// The backend's first byte; more of them say nothing new.
    @inline(__always)
    func noteFirstByte(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.firstByteAt == 0 else { return }
        session.pointee.firstByteAt = now
        noteSuccess(session)
    }

    /// A session of tcp mode ends well; there are protocols in which backends say nothing.
    func noteSilentSuccess(_ session: UnsafeMutablePointer<Session>, _ reason: Reason) {
        guard reason == .ok, !session.pointee.isHTTP, session.pointee.connectedAt != 0,
            session.pointee.firstByteAt == 0
        else { return }
        noteSuccess(session)
    }

    // MARK: Http

    /// The head of a response is there. What it says of the backend is known when the response is whole, unless it
    /// is bad news.
    func noteResponseHead(_ session: UnsafeMutablePointer<Session>, _ head: ResponseHead) {
        if head.status >= 500 {
            noteFault(session, .status5xx)
        } else if head.status == 101 {
            noteSuccess(session)
            // What the tunnel brings is no news.
            session.pointee.firstByteAt = now
        }
    }

    func noteWholeResponse(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if exchange.pointee.status < 500 { noteSuccess(session) }
    }

    /// The backend's connection broke before its response was whole. Who had not the whole request may have tired of
    /// a slow client.
    func noteBrokenResponse(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: Reason
    ) {
        guard exchange.pointee.request.phase == .done, exchange.pointee.status < 500 else { return }
        noteFault(session, reason == .backendReset ? .reset : .closed)
    }

    /// A head that is merely too long is no fault: what it repeats may be the client's.
    func noteBadResponse(_ session: UnsafeMutablePointer<Session>, _ refusal: Refusal) {
        if refusal != .headTooLarge, refusal != .tooManyFields { noteFault(session, .badResponse) }
    }
}
