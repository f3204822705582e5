// Random choice in proportion to the weights. Holds no state between choices, so that any number of
// workers and of Weirs side by side need not agree on anything.

import Base

struct WeightedRandom: ~Copyable {
    /// Sum of the weights up to and with each candidate; empty where weights are equal.
    private let cumulative: [UInt64]

    init(candidates: Candidates) {
        guard !candidates.weightsAreEqual else {
            cumulative = []
            return
        }
        var sum: UInt64 = 0
        cumulative = (0..<candidates.count).map { index in
            sum += UInt64(candidates[index].weight)
            return sum
        }
    }

    func choose(from candidates: Candidates, random: inout RandomSource) -> Int? {
        guard candidates.totalWeight > 0 else { return nil }
        // Almost always the first draw is usable; when several are not, look at all of them.
        for _ in 0..<4 {
            let index = draw(from: candidates, random: &random)
            if candidates[index].isUsable { return index }
        }
        return chooseAmongUsable(of: candidates, random: &random)
    }

    private func draw(from candidates: Candidates, random: inout RandomSource) -> Int {
        if cumulative.isEmpty { return Int(random.next(below: UInt32(candidates.count))) }
        let point = UInt64(random.next(below: UInt32(candidates.totalWeight)))
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > point { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// One pass that keeps each usable candidate with its share of the weight seen so far.
    private func chooseAmongUsable(of candidates: Candidates, random: inout RandomSource) -> Int? {
        var chosen: Int?
        var total: UInt64 = 0
        for index in 0..<candidates.count where candidates[index].isUsable {
            let weight = UInt64(candidates[index].weight)
            total += weight
            if UInt64(random.next(below: UInt32(total))) < weight { chosen = index }
        }
        return chosen
    }
}
