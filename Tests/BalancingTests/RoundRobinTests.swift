import Base
import Testing

@testable import Balancing

/// nginx's smooth weighted round robin as it is usually written: looks at everybody at each choice.
private struct Oracle {
    var credit: [Int]
    let weights: [Int]

    init(_ weights: [UInt32]) {
        self.weights = weights.map(Int.init)
        credit = weights.map { _ in 0 }
    }

    mutating func next() -> Int {
        var richest: Int?
        for index in weights.indices where weights[index] > 0 {
            credit[index] += weights[index]
            if richest.map({ credit[$0] < credit[index] }) ?? true { richest = index }
        }
        credit[richest!] -= weights.reduce(0, +)
        return richest!
    }
}

private func randomWeights(_ random: inout RandomSource, count: Int, below: UInt32) -> [UInt32] {
    (0..<count).map { _ in random.next(below: below) }
}

@Suite struct RoundRobinTests {
    @Test func weightsFiveOneOneGiveTheSmoothOrderOfNginx() {
        let cycle = SmoothCycle(weights: [5, 1, 1])
        #expect((0..<cycle.count).map(cycle.owner) == [0, 0, 1, 0, 2, 0, 0])
        #expect(SmoothCycle(weights: [50, 10, 10]).count == 7)
    }

    @Test func anyCycleIsThatOfNginx() {
        var random = RandomSource(seed: 12)
        for round in 0..<300 {
            let weights = randomWeights(&random, count: 1 + round % 40, below: round % 3 == 0 ? 4 : 60)
            let cycle = SmoothCycle(weights: weights)
            var oracle = Oracle(weights)
            #expect((0..<cycle.count).allSatisfy { cycle.owner($0) == oracle.next() }, "\(weights)")
            #expect(cycle.count > 0 || weights.allSatisfy { $0 == 0 })
        }
    }

    /// The last ones have too many turns to be kept.
    @Test(
        arguments: [
            [1, 1, 1], [5, 1, 1], [3, 2], [7], [1, 2, 3, 4, 5], [10, 0, 1], [6, 4, 2],
            [65_535, 2], [40_000, 20_001, 7, 0, 7],
        ] as [[UInt32]], [1, 7, 1234] as [UInt64])
    func proportionsAreExactOverWholeCycles(weights: [UInt32], seed: UInt64) {
        var state = PolicyState(plan(.roundRobin, weights), seed: seed)
        let cycle = Int(weights.reduce(0, +))
        for _ in 0..<3 { #expect(counts(&state, picks: cycle) == weights.map(Int.init)) }
    }

    /// Over any stretch of turns nobody is further from its share than one turn for each weight that there is
    /// (for one backend among equals, than one turn).
    @Test(
        arguments: [
            [1, 1, 1, 1], [5, 1, 1], [4, 2, 1], [10, 9, 1, 1, 1], [65_535, 3, 2],
            Array(repeating: 30_000, count: 9) + Array(repeating: 1, count: 9),
        ] as [[UInt32]])
    func everyStretchOfTurnsIsInProportion(weights: [UInt32]) {
        var state = PolicyState(plan(.roundRobin, weights), seed: 5)
        let sum = Double(weights.reduce(0, +))
        var had = weights.map { _ in 0.0 }
        var least = had
        var most = had
        for turn in 1...100_000 {
            had[state.pick()!] += 1
            for (index, weight) in weights.enumerated() {
                let ahead = had[index] - Double(turn) * Double(weight) / sum
                least[index] = min(least[index], ahead)
                most[index] = max(most[index], ahead)
            }
        }
        for index in weights.indices {
            #expect(most[index] - least[index] <= 2.5, "\(weights[index]) of \(weights)")
        }
    }

    @Test func runsAreNoLongerThanTheWeightsForce() {
        var random = RandomSource(seed: 4)
        for round in 0..<100 {
            let weights = randomWeights(&random, count: 2 + round % 6, below: 20).map { $0 + 1 }
            let others = weights.reduce(0, +) - weights.max()!
            let cycle = SmoothCycle(weights: weights)
            let order = (0..<2 * cycle.count).map { cycle.owner($0 % cycle.count) }
            // The heaviest one's turns in as many stretches as the others have turns: one stretch has at least the
            // rounded-up share. Where one cycle ends and the next begins two stretches meet.
            let forced = (Int(weights.max()!) + Int(others) - 1) / Int(others)
            var run = 1
            var longest = 1
            for (before, after) in zip(order, order.dropFirst()) {
                run = before == after ? run + 1 : 1
                longest = max(longest, run)
            }
            #expect(longest <= forced + 1, "\(weights)")
        }
    }

    @Test(arguments: [[1, 1, 1, 1], [3, 2, 2, 1], [60_000, 50_000, 50_000, 40_001]] as [[UInt32]])
    func workersAndTheSameWorkerWithAnotherSnapshotBeginElsewhere(weights: [UInt32]) {
        // As a reload does: the worker draws a new seed for each state.
        var seeds = RandomSource(seed: 1)
        var firsts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<8_000 {
            var state = PolicyState(plan(.roundRobin, weights), seed: seeds.next())
            firsts[state.pick()!] += 1
        }
        let sum = Double(weights.reduce(0, +))
        // Beginning anywhere in the cycle is beginning with each in proportion to its weight; where there is no
        // cycle but times of turns, only nearly so.
        for (count, weight) in zip(firsts, weights) {
            let share = Double(weight) / sum
            #expect(abs(Double(count) / 8_000 / share - 1) < (sum > 65_536 ? 0.5 : 0.1))
        }
    }

    @Test(arguments: [[5, 1, 1], [50_000, 10_000, 10_001]] as [[UInt32]])
    func whileOneIsFullTheOthersKeepTheirProportion(weights: [UInt32]) {
        var backends = shares(weights)
        backends[0].maxSessions = 1
        var state = PolicyState(PolicyPlan(.roundRobin, backends), seed: 1)
        #expect(state.plan.candidates.take(0))
        let seen = counts(&state, picks: 1000)
        #expect(seen[0] == 0)
        #expect(abs(seen[1] - seen[2]) <= 2)
    }

    /// It has missed thousands of turns and gets none of them back.
    @Test(arguments: [[1, 1, 1], [5, 1, 1], [2, 5, 3], [50_000, 10_000, 10_001]] as [[UInt32]])
    func whoIsWellAgainIsNotFlooded(weights: [UInt32]) {
        let sum = Int(weights.reduce(0, +))
        for missing in weights.indices {
            var backends = shares(weights)
            backends[missing].maxSessions = 1
            var state = PolicyState(PolicyPlan(.roundRobin, backends), seed: 1)
            #expect(state.plan.candidates.take(missing))
            for _ in 0..<5_000 { #expect(state.pick() != missing) }
            state.plan.candidates.release(missing)
            let seen = counts(&state, picks: 700)
            let expected = 700 * Double(weights[missing]) / Double(sum)
            #expect(abs(Double(seen[missing]) - expected) <= 2)
        }
    }

    /// Nearly every turn is that of one who cannot have it.
    @Test(arguments: [[40_000, 1, 2], [65_535, 65_535, 1, 2]] as [[UInt32]])
    func whoHasNearlyAllTurnsMayBeFull(weights: [UInt32]) {
        var backends = shares(weights)
        let light = weights.count - 2
        for index in 0..<light {
            backends[index].maxSessions = 1
        }
        var state = PolicyState(PolicyPlan(.roundRobin, backends), seed: 1)
        for index in 0..<light { #expect(state.plan.candidates.take(index)) }
        let seen = counts(&state, picks: 3_000)
        #expect(seen[light] + seen[light + 1] == 3_000)
        #expect(abs(seen[light] - 1_000) < 120)
    }

    @Test func aFullBackendIsPassedOverUntilItHasRoom() {
        var state = PolicyState(plan(.roundRobin, [1, 1], maxSessions: 1), seed: 1)
        let taken = state.hold()!
        #expect((0..<10).allSatisfy { _ in state.pick() == 1 - taken })
        state.plan.candidates.release(taken)
        #expect((0..<10).contains { _ in state.pick() == taken })
    }
}

@Suite struct TurnQueueTests {
    /// Numbers that are about to wrap around keep their order.
    @Test func turnsComeInOrderForEver() {
        let weights: [UInt64] = [3, 65_535, 7]
        func order(from round: UInt64) -> [Int] {
            var queue = TurnQueue(
                weights.enumerated().map {
                    Turn(number: round &* $1 &+ 1, step: 1, weight: $1, player: $0)
                })
            return (0..<100_000).map { _ in queue.next() }
        }
        let first = order(from: 0)
        #expect(first == order(from: UInt64.max / 65_535))
        #expect(first == order(from: UInt64.max))
        #expect(first.filter { $0 == 0 }.count == 4)
    }
}
