// Worlds in which sessions wait for a place at full backends or pools, and what the model asks of those who wait.

import Configuration
import Dataplane

extension WorldPlan {
    mutating func drawPending(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            configuration.pools[pool].breaker.maxPending = Int(1 + source.below(8))
            configuration.pools[pool].breaker.pendingTimeoutNanoseconds = source.logarithmic(
                5_000_000, 3_000_000_000)
            if source.oneIn(2), !isStrict {
                configuration.pools[pool].breaker.maxSessions = Int(1 + source.below(6))
            }
        }
        // One in four has unix sockets at all.
        if !isStrict, source.oneIn(4) { faults.lacksUnixSockets = true }
    }
}

extension World {
    /// Nobody waits longer for a place than the pool allows.
    func checkPending(_ view: SessionView) {
        let breaker = plan.configuration.pools[view.pool].breaker
        if kernel.now > view.pendingSince + breaker.pendingTimeoutNanoseconds + Self.patienceOfModel {
            fail("a session waits for a place for ever")
        }
    }

    /// Whoever got a place in this turn had waited longest for it.
    func checkPendingOrder(_ worker: borrowing Worker) {
        var before = pendingFacts
        // Who finds no socket for one backend, while the others are full, waits again behind the others.
        if before.socketFailures != kernel.socketFailureCount { before.since = [:] }
        pendingFacts = PendingFacts(socketFailures: kernel.socketFailureCount)
        var served: [(pool: Int, since: UInt64)] = []
        var waiting: [(pool: Int, since: UInt64)] = []
        worker.forEachSession { view in
            guard let client = kernel.connection(ofDescriptor: view.clientDescriptor) else { return }
            let since = before.since[client]
            if view.isPending {
                pendingFacts.since[client] = since ?? kernel.now
                if let since { waiting.append((view.pool, since)) }
            } else if let since, view.backendDescriptor >= 0 {
                served.append((view.pool, since))
            }
        }
        for one in served where waiting.contains(where: { $0.pool == one.pool && $0.since < one.since }) {
            fail(
                "a session is served that waits since \(one.since / 1000) us, and another one waits for longer"
            )
        }
    }
}

/// Who waited for a place at the end of the last turn, by the client's connection, and since when.
struct PendingFacts {
    var since: [Int32: UInt64] = [:]
    var socketFailures: UInt64 = 0
}
