// Policies that draw: proportions, and what two choices are for.

import Base
import Testing

@testable import Balancing

@Suite struct RandomTests {
    /// With nothing active and nothing observed the drawing policies follow the weights.
    @Test(
        arguments: [[1, 1, 1], [5, 1, 1], [1, 2, 3, 4], [100, 1], [1, 0, 65535]] as [[UInt32]],
        [Policy.random, .adaptive])
    func proportionsAreWithinOnePercentOverAMillion(weights: [UInt32], policy: Policy) {
        var state = PolicyState(plan(policy, weights), seed: 42)
        let sum = Double(weights.reduce(0, +))
        for (count, weight) in zip(counts(&state, picks: 1_000_000), weights) {
            let share = Double(weight) / sum
            #expect(abs(Double(count) / 1_000_000 - share) < 0.01)
            // Five standard deviations: much less than one percent where a share is small.
            #expect(abs(Double(count) - 1e6 * share) <= 5 * (1e6 * share * (1 - share)).squareRoot())
        }
    }

    /// Of equals that are all idle each comes as often.
    @Test(arguments: [Policy.powerOfTwo, .peakEWMA], [2, 3, 10])
    func theBetterOfTwoEqualsIsEither(policy: Policy, count: Int) {
        var state = PolicyState(plan(policy, Array(repeating: 1, count: count)), seed: 42)
        for seen in counts(&state, picks: 1_000_000) {
            #expect(abs(Double(seen) * Double(count) / 1_000_000 - 1) < 0.01)
        }
    }

    /// Each place of the table is one of equal parts, cut in two: the sum of what a candidate has is its weight.
    @Test func theAliasTableIsExactForManyWeights() {
        var random = RandomSource(seed: 8)
        let weights = (0..<10_000).map { _ in random.next(below: 1000) }
        let draw = WeightedDraw(weights: weights)
        var seen = [Int](repeating: 0, count: weights.count)
        for _ in 0..<5_000_000 { seen[draw.draw(&random)] += 1 }
        let perWeight = 5_000_000 / Double(weights.reduce(0, +))
        for (count, weight) in zip(seen, weights) {
            let expected = Double(weight) * perWeight
            // Six standard deviations; none at all for a weight of zero.
            #expect(abs(Double(count) - expected) <= 6 * expected.squareRoot())
        }
    }

    @Test(arguments: Policy.allCases) func theSameSeedChoosesTheSame(policy: Policy) {
        let pool = plan(policy, [3, 2, 1])
        var one = PolicyState(pool, seed: 11)
        var two = PolicyState(pool, seed: 11)
        let picks = (0..<1000).map { (one.pick(key: $0), two.pick(key: $0)) }
        #expect(picks.allSatisfy { $0 == $1 })
    }

    @Test func twoChoicesKeepCountsClose() {
        func spread(_ policy: Policy) -> Int {
            var state = PolicyState(plan(policy, Array(repeating: 1, count: 100)), seed: 4)
            var held = [Int](repeating: 0, count: 100)
            for _ in 0..<100_000 { held[state.hold()!] += 1 }
            return held.max()! - held.min()!
        }
        // 1,000 each: random draws differ by some standard deviations of 32, the better of two by a few.
        #expect(spread(.powerOfTwo) < 12)
        #expect(spread(.random) > 60)
    }

    @Test func twoChoicesFollowTheWeights() {
        var state = PolicyState(plan(.powerOfTwo, [4, 2, 1, 1]), seed: 4)
        var held = [Int](repeating: 0, count: 4)
        for _ in 0..<80_000 { held[state.hold()!] += 1 }
        for (count, weight) in zip(held, [4, 2, 1, 1]) {
            #expect(abs(count - weight * 10_000) < 200)
        }
    }
}
