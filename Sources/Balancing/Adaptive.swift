// Random choice where the weight follows the response time: a backend that answers in half the time of the
// pool counts twice its weight, one that takes twice as long counts half, and no more either way. So a slow
// backend is spared and never cut off: its next answers tell when it is well again.

import Base

enum Adaptive {
    private static var leastFactor: Double { 0.5 }
    private static var greatestFactor: Double { 2 }
    /// How much one answer counts, in the average of its backend and in that of the pool.
    private static var backendShare: Double { 1.0 / 16 }
    private static var poolShare: Double { 1.0 / 128 }
    /// Each draw is kept with a chance of at least a quarter.
    private static var draws: Int { 16 }

    static func take(from tier: Tier, _ random: inout RandomSource, _ pick: inout Pick) -> Int? {
        guard tier.candidates.totalWeight > 0 else { return nil }
        for attempt in 1...draws {
            let index = tier.draw.draw(&random)
            let factor = factor(of: index, tier.candidates)
            guard tier.candidates.admits(index, &random) || attempt == draws else { continue }
            // Drawn by its weight and kept by its factor, a candidate comes in proportion to both.
            guard random.nextUnit() * greatestFactor < factor || attempt == draws else { continue }
            guard tier.candidates.take(index) else { continue }
            pick.score = UInt32(factor * 100, clampedTo: .max)
            return index
        }
        return WeightedRandom.takeAmongUsable(of: tier.candidates, &random)
    }

    /// What the weight is multiplied by now.
    @inline(__always)
    private static func factor(of index: Int, _ candidates: Candidates) -> Double {
        let own = candidates[index].latency.nanoseconds.load(ordering: .relaxed)
        let pool = candidates.whole.latency.nanoseconds.load(ordering: .relaxed)
        if own == 0 || pool == 0 { return 1 }
        return min(max(pool / own, leastFactor), greatestFactor)
    }

    static func observe(_ index: Int, of candidates: Candidates, _ nanoseconds: Double, now: UInt64) {
        average(candidates[index].latency, nanoseconds, share: backendShare, now)
        average(candidates.whole.latency, nanoseconds, share: poolShare, now)
    }

    private static func average(
        _ latency: borrowing Latency, _ nanoseconds: Double, share: Double, _ now: UInt64
    ) {
        latency.change(now: now) { before, _ in
            before == 0 ? nanoseconds : before + (nanoseconds - before) * share
        }
    }
}
