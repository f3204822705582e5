// Two random candidates by weight, and of these the one where a session would cost less: its response time
// times the sessions that it would have. The response time jumps up with a slow answer and comes down slowly,
// so that trouble is seen at once and forgiven late (Finagle's "Peak EWMA" load metric).

import Base
import Glibc

enum PeakEWMA {
    /// After this time without an answer a peak counts for 37 %.
    private static var decayNanoseconds: Double { 10_000_000_000 }
    /// A faster answer takes away at least so much of what it differs by. By time alone, as Finagle has it, a pause
    /// of 10 ms a second that holds up all backends alike would make them all look slow for good: of three the one
    /// that is ten times slower then gets 2.4 % of the sessions, and with this 0.1 % (`SlowBackendTests`).
    private static var leastForgiven: Double { 1.0 / 32 }
    /// What a backend costs that has sessions and has answered none yet: others go first.
    private static var penalty: Double { 1e15 }

    static func take(
        from tier: Tier, _ random: inout RandomSource, now: UInt64, _ pick: inout Pick
    ) -> Int? {
        let candidates = tier.candidates
        guard let (first, second) = PowerOfTwo.drawTwo(from: tier, &random) else {
            return WeightedRandom.takeAmongUsable(of: candidates, &random)
        }
        let firstCost = cost(of: candidates[first], share: candidates.share(first), now)
        let secondCost = cost(of: candidates[second], share: candidates.share(second), now)
        // Cost by weight, compared without dividing.
        let isSecondBetter =
            secondCost * Double(candidates[first].weight) < firstCost * Double(candidates[second].weight)
        let (better, worse) = isSecondBetter ? (second, first) : (first, second)
        let weight = Double(candidates[better].weight)
        pick.score = UInt32((isSecondBetter ? secondCost : firstCost) / (weight * 1000), clampedTo: .max)
        if candidates.take(better) { return better }
        return candidates.take(worse) ? worse : WeightedRandom.takeAmongUsable(of: candidates, &random)
    }

    /// Of a session more, in nanoseconds. With half a share its sessions count twice.
    @inline(__always)
    private static func cost(of candidate: borrowing Candidate, share: Int, _ now: UInt64) -> Double {
        let active = Double(candidate.active.load(ordering: .relaxed)) * 256 / Double(max(share, 1))
        let observed = candidate.latency.nanoseconds.load(ordering: .relaxed)
        if observed == 0 { return active == 0 ? 0 : penalty + active }
        let since = candidate.latency.changedAt.load(ordering: .relaxed)
        let elapsed = now > since ? now - since : 0
        return observed * remaining(after: elapsed) * (active + 1)
    }

    static func observe(_ latency: borrowing Latency, _ nanoseconds: Double, now: UInt64) {
        latency.change(now: now) { before, elapsed in
            if nanoseconds > before { return nanoseconds }
            let old = min(remaining(after: elapsed), 1 - leastForgiven)
            return before * old + nanoseconds * (1 - old)
        }
    }

    /// e to the minus elapsed time. A busy backend was observed just now: for it the first terms of the series
    /// do, off by less than 0.0001, and spare two calls of `exp` a choice.
    @inline(__always)
    private static func remaining(after elapsedNanoseconds: UInt64) -> Double {
        let x = Double(elapsedNanoseconds) * (1 / decayNanoseconds)
        return x < 1.0 / 16 ? 1 - x + x * x / 2 : exp(-x)
    }
}

extension UInt32 {
    /// Rounded down; `limit` where it is more.
    init(_ value: Double, clampedTo limit: UInt32) {
        self = value < 0 ? 0 : value < Double(limit) ? UInt32(value) : limit
    }
}
