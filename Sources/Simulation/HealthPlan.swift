// What a seed decides about health: rules that bite among a few clients, and times at which backends are dead or
// hang. From a source of its own, so that the worlds of older seeds stay what they are.

import Configuration

/// A time in which a backend takes no connection, from the beginning of the world.
struct Outage {
    var fromNanoseconds: UInt64
    var lengthNanoseconds: UInt64
    /// Else it refuses.
    var isSilent: Bool

    func holds(at nanoseconds: UInt64) -> Bool {
        nanoseconds >= fromNanoseconds && nanoseconds - fromNanoseconds < lengthNanoseconds
    }
}

extension WorldPlan {
    mutating func drawHealth(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            configuration.pools[pool].health.passive = nil
            configuration.pools[pool].health.panicBelowPercent = 0
        }
        // Where every request is to have its answer nobody may be ejected for a 500.
        guard source.oneIn(3), !isStrict else { return }
        keepsHealth = true
        for pool in configuration.pools.indices { drawRules(pool, &source) }
        for backend in manners.indices where source.oneIn(3) {
            outages[backend] = Outage(
                fromNanoseconds: source.below(clientSpreadNanoseconds),
                lengthNanoseconds: source.logarithmic(1_000_000, 5_000_000_000),
                isSilent: source.oneIn(3))
        }
    }

    private mutating func drawRules(_ pool: Int, _ source: inout PlanSource) {
        var passive = PassiveSettings()
        passive.consecutiveFailures = source.oneIn(4) ? nil : Int(1 + source.below(3))
        if passive.consecutiveFailures == nil || source.oneIn(3) {
            passive.failureRatePercent = Int(20 + source.below(60))
        }
        passive.window = Int(2 + source.below(20))
        passive.minimum = 1 + Int(source.below(UInt64(passive.window)))
        passive.ejectNanoseconds = source.logarithmic(20_000_000, 2_000_000_000)
        passive.longestEjectNanoseconds = passive.ejectNanoseconds * (1 + source.below(8))
        passive.maxEjectedPercent = Int(1 + source.below(100))
        configuration.pools[pool].health.passive = passive
        if source.oneIn(3) { configuration.pools[pool].health.degradeAtPercent = Int(1 + source.below(20)) }
        if source.oneIn(2) { configuration.pools[pool].health.panicBelowPercent = Int(source.below(100)) }
        if source.oneIn(2) {
            configuration.pools[pool].slowStartNanoseconds = source.logarithmic(50_000_000, 2_000_000_000)
        }
    }
}
