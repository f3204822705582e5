// The backend that says of itself that it is least loaded, out of those that were asked lately: among the cold ones
// that with the lowest latency, where all are hot that with the fewest requests in flight. Hot is who has more
// requests in flight than most answers tell (Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should
// balance: Introducing Prequal", NSDI 2024; the hot-cold lexicographic rule). Without answers from two backends it
// is `peak_ewma`. docs/prequal.md says what differs from the paper.

import Base

enum Prequal {
    /// Others may use or replace the answer at the same time.
    private static var attempts: Int { 4 }

    static func take(
        from tier: Tier, _ random: inout RandomSource, now: UInt64, _ pick: inout Pick
    ) -> Int? {
        if let probes = tier.probes {
            probes.countChoice()
            if !probes.isSuspended, let index = take(by: probes, tier.candidates, &random, now, &pick) {
                return index
            }
        }
        pick.isFallback = true
        return PeakEWMA.take(from: tier, &random, now: now, &pick)
    }

    private static func take(
        by probes: ProbePool, _ candidates: Candidates, _ random: inout RandomSource, _ now: UInt64,
        _ pick: inout Pick
    ) -> Int? {
        for attempt in 1...attempts {
            guard let best = best(of: probes, candidates, &random, now) else { return nil }
            // At the last attempt another worker had the use of the answer; it is no worse for that.
            guard probes.use(best.load, at: best.place) || attempt == attempts else { continue }
            guard candidates.take(best.load.backend) else { continue }
            pick.score = best.load.latencyMicroseconds
            pick.isHot = best.isHot
            return best.load.backend
        }
        return nil
    }

    private struct Best {
        let place: Int
        let load: ProbedLoad
        let isHot: Bool
        /// The lowest is best: hot | what decides | what decides where that is equal.
        let rank: UInt64
    }

    /// nil where too few backends are known.
    private static func best(
        of probes: ProbePool, _ candidates: Candidates, _ random: inout RandomSource, _ now: UInt64
    ) -> Best? {
        let hotAbove = probes.hotAbove
        var best: Best?
        var usable = 0
        for place in 0..<ProbePool.capacity {
            let load = probes.load(place)
            guard !load.isNone, load.age(now: now) <= ProbePool.ageLimitNanoseconds,
                load.backend < candidates.count, candidates.isUsable(load.backend)
            else { continue }
            usable += 1
            // Who is warming up, or degraded, gets its share only, however idle it says it is.
            guard candidates.admits(load.backend, &random) else { continue }
            let all = load.othersInFlight + max(candidates[load.backend].active.load(ordering: .relaxed), 0)
            // With half a share its requests count twice.
            let inFlight = all * Standing.wholeShare / max(candidates.share(load.backend), 1)
            let rank = rank(inFlight, load.latencyCode, hotAbove: hotAbove)
            if rank < best?.rank ?? UInt64.max {
                best = Best(place: place, load: load, isHot: inFlight > hotAbove, rank: rank)
            }
        }
        return usable >= ProbePool.usableMinimum ? best : nil
    }

    @inline(__always)
    static func rank(_ inFlight: Int, _ latencyCode: UInt32, hotAbove: Int) -> UInt64 {
        let count = UInt64(min(inFlight, Int(Int32.max)))
        if inFlight > hotAbove { return 1 << 63 | count << 11 | UInt64(latencyCode) }
        return UInt64(latencyCode) << 32 | count
    }
}
