// Sessions whose backend a reload has removed: they stay with the version of the pool that they know, and `on_remove` says
// for how long. One timer of the worker is set to the next end.
//
//   left behind -> (endsAt) -> tcp, tunnel: reset      http: another backend where the request may be sent again, else 503
//                              connecting: next candidate

import Base

extension Worker {
    /// Its backend was removed, and its time is up.
    @inline(__always)
    func isEnding(_ session: UnsafeMutablePointer<Session>) -> Bool {
        session.pointee.pool.pointee.isRetired && now >= session.pointee.pool.pointee.endsAt
    }

    /// Ends those whose time is up, and comes back when the next one's is.
    mutating func endLeftBehind() {
        var next = UInt64.max
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            let session = sessions[slot]
            guard session.pointee.holdsBackend, session.pointee.pool.pointee.isRetired else { continue }
            if isEnding(session) {
                end(slot, session)
            } else {
                next = min(next, session.pointee.pool.pointee.endsAt)
            }
        }
        if next != UInt64.max { timers.set(removalTimer, deadline: next) }
    }

    private mutating func end(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        // One that has lost a side ends by itself, soon.
        guard session.pointee.lostSide == .none, !mutant(.removedGoOn) else { return }
        switch session.pointee.state {
        case .connecting: timers.set(slot, deadline: now)
        case .relaying where session.pointee.isHTTP:
            let exchange = exchange(session)
            // All of the answer is here.
            if exchange.pointee.response.phase == .done { return }
            if !retry(slot, session, exchange, .reset) { fail(slot, session, 503, .backendRemoved) }
        case .relaying: finishReset(slot, session, .backendRemoved)
        case .awaiting, .lingering, .closing: break
        }
    }
}
