// Two random candidates by weight, and of these the one where a session would cost less: its response time
// times the sessions that it would have. The response time jumps up with a slow answer and decays slowly,
// so that trouble is seen at once and forgiven late (Finagle's "Peak EWMA" load metric).

import Base
import Glibc

enum PeakEWMA {
    /// After this time without a slow answer a peak counts for 37 %.
    private static var decayNanoseconds: Double { 10_000_000_000 }
    /// What a backend costs that has sessions and has answered none yet: others go first.
    private static var penalty: Double { 1e15 }

    static func take(
        from tier: Tier, _ latencies: Latencies, _ random: inout RandomSource, now: UInt64,
        _ pick: inout Pick
    ) -> Int? {
        guard let (first, second) = PowerOfTwo.drawTwo(from: tier, &random) else {
            return WeightedRandom.takeAmongUsable(of: tier.candidates, &random)
        }
        let firstCost = cost(of: first, tier.candidates, latencies, now)
        let secondCost = second == first ? firstCost : cost(of: second, tier.candidates, latencies, now)
        let (better, worse) = secondCost < firstCost ? (second, first) : (first, second)
        pick.score = UInt32(min(firstCost, secondCost) / 1000, clampedTo: .max)
        if tier.candidates.take(better) { return better }
        return tier.candidates.take(worse)
            ? worse : WeightedRandom.takeAmongUsable(of: tier.candidates, &random)
    }

    /// In nanoseconds, for a weight of 1.
    private static func cost(
        of index: Int, _ candidates: Candidates, _ latencies: Latencies, _ now: UInt64
    ) -> Double {
        let active = Double(candidates[index].active.load(ordering: .relaxed))
        let observed = latencies[index].nanoseconds.load(ordering: .relaxed)
        if observed == 0 { return active == 0 ? 0 : penalty + active }
        let since = latencies[index].changedAt.load(ordering: .relaxed)
        let elapsed = now > since ? now - since : 0
        return observed * remaining(after: elapsed) * (active + 1) / Double(candidates[index].weight)
    }

    static func observe(_ latency: borrowing Latency, _ nanoseconds: Double, now: UInt64) {
        latency.change(now: now) { before, elapsed in
            if nanoseconds > before { return nanoseconds }
            let old = remaining(after: elapsed)
            return before * old + nanoseconds * (1 - old)
        }
    }

    private static func remaining(after elapsedNanoseconds: UInt64) -> Double {
        exp(-Double(elapsedNanoseconds) / decayNanoseconds)
    }
}

extension UInt32 {
    /// Rounded down; `limit` where it is more.
    init(_ value: Double, clampedTo limit: UInt32) {
        self = value < 0 ? 0 : value < Double(limit) ? UInt32(value) : limit
    }
}
