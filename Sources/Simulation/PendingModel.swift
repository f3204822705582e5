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
}
