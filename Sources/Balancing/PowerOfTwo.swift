// Two random candidates by weight, and of these the one with fewer sessions for its weight (Mitzenmacher,
// "The power of two choices in randomized load balancing", 2001). Nearly as even as looking at all, for
// the price of two, and workers that choose at once do not all run to the same idle backend.

import Base

enum PowerOfTwo {
    /// How often it draws until it has two that differ and are usable.
    private static var draws: Int { 8 }

    static func take(from tier: Tier, _ random: inout RandomSource, _ pick: inout Pick) -> Int? {
        guard let (first, second) = drawTwo(from: tier, &random) else {
            return WeightedRandom.takeAmongUsable(of: tier.candidates, &random)
        }
        let candidates = tier.candidates
        let active = (
            candidates[first].active.load(ordering: .relaxed),
            candidates[second].active.load(ordering: .relaxed)
        )
        // (active / share + 1) / weight, compared without dividing: who has a share only is drawn so much less
        // often, and owes that to the others, but does not lose while nobody has a session.
        let shares = (candidates.share(first), candidates.share(second))
        let firstLoad = UInt64(active.0 * 256 + shares.0) * candidates.weight(second)
        let secondLoad = UInt64(active.1 * 256 + shares.1) * candidates.weight(first)
        let (better, worse) = secondLoad < firstLoad ? (second, first) : (first, second)
        pick.score = UInt32(clamping: secondLoad < firstLoad ? active.1 : active.0)
        if candidates.take(better) { return better }
        return candidates.take(worse) ? worse : WeightedRandom.takeAmongUsable(of: candidates, &random)
    }

    /// Two usable candidates; the same twice where there seems to be only one, nil where there seems to be none.
    @inline(__always)
    static func drawTwo(from tier: Tier, _ random: inout RandomSource) -> (Int, Int)? {
        guard tier.candidates.totalWeight > 0 else { return nil }
        var first: Int?
        for _ in 0..<draws {
            let index = tier.draw.draw(&random)
            guard index != first, tier.candidates.isUsable(index), tier.candidates.admits(index, &random)
            else { continue }
            guard let first else {
                first = index
                continue
            }
            return (first, index)
        }
        return first.map { ($0, $0) }
    }
}
