// Random choice in proportion to the weights. Holds no state between choices, so that any number of
// workers and of Weirs side by side need not agree on anything.

import Base

enum WeightedRandom {
    static func take(from tier: Tier, _ random: inout RandomSource) -> Int? {
        guard tier.candidates.totalWeight > 0 else { return nil }
        // Almost always the first draw is usable; when most are not, look at all of them.
        for _ in 0..<16 {
            let index = tier.draw.draw(&random)
            if tier.candidates.admits(index, &random), tier.candidates.take(index) { return index }
        }
        return takeAmongUsable(of: tier.candidates, &random)
    }

    /// Looks at all. nil where none is usable.
    static func takeAmongUsable(of candidates: Candidates, _ random: inout RandomSource) -> Int? {
        // Another worker may take the last place of the one that was chosen.
        for _ in 0..<4 {
            guard let index = drawAmongUsable(of: candidates, &random) else { return nil }
            if candidates.take(index) { return index }
        }
        return nil
    }

    /// One pass that keeps each usable candidate with its share of the weight seen so far.
    private static func drawAmongUsable(of candidates: Candidates, _ random: inout RandomSource) -> Int? {
        var chosen: Int?
        var total: UInt64 = 0
        for index in 0..<candidates.count where candidates.isUsable(index) {
            let weight = candidates.weight(index)
            total += weight
            // Uniform below the total: the high half of a product (Lemire).
            if random.next().multipliedFullWidth(by: total).high < weight { chosen = index }
        }
        return chosen
    }
}
