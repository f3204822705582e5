import Base
import Testing

@testable import Balancing

/// Indices chosen in `count` fresh sequences.
func picks(_ count: Int, _ policy: inout PolicyState, _ candidates: Candidates) -> [Int?] {
    (0..<count).map { _ in
        var sequence = CandidateSequence()
        return policy.next(&sequence, of: candidates)
    }
}

func pool(_ weights: [UInt32], maxSessions: UInt32 = .max) -> Candidates {
    Candidates(weights: weights, maxSessions: weights.map { _ in maxSessions })
}

/// Takes a place at one candidate.
func acquire(_ candidates: Candidates, _ index: Int) -> Bool { candidates[index].acquire() }

@Suite struct RoundRobinTests {
    @Test func weightsFiveOneOneGiveTheSmoothOrderOfNginx() {
        let candidates = pool([5, 1, 1])
        var found = false
        // The seed sets where the cycle begins: one of them begins at its start.
        for seed in UInt64(0)..<64 where !found {
            var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: seed)
            found = picks(7, &state, candidates) == [0, 0, 1, 0, 2, 0, 0]
        }
        #expect(found)
    }

    @Test(arguments: [[1, 1, 1], [5, 1, 1], [3, 2], [7], [1, 2, 3, 4, 5], [10, 0, 1]] as [[UInt32]])
    func proportionsAreExactOverWholeCycles(weights: [UInt32]) {
        let candidates = pool(weights)
        var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: 7)
        let cycle = Int(weights.reduce(0, +))
        var counts = [Int](repeating: 0, count: weights.count)
        for pick in picks(cycle * 10, &state, candidates) { counts[pick!] += 1 }
        #expect(counts == weights.map { Int($0) * 10 })
    }

    @Test func runsAreNoLongerThanTheWeightsForce() {
        let candidates = pool([4, 2, 1])
        var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: 3)
        let order = picks(700, &state, candidates)
        var run = 1
        for (before, after) in zip(order, order.dropFirst()) {
            run = before == after ? run + 1 : 1
            // 4 of 7 to one: two in a row, three where one cycle ends and the next begins.
            #expect(run <= 3)
        }
    }

    @Test func workersWithOtherSeedsBeginElsewhere() {
        let candidates = pool([1, 1, 1, 1])
        let firsts = (UInt64(0)..<32).map { seed in
            var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: seed)
            return picks(1, &state, candidates)[0]!
        }
        #expect(Set(firsts).count == 4)
    }

    @Test func aBackendOfWeightZeroTakesNone() {
        let candidates = pool([1, 0, 1])
        var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: 1)
        #expect(!picks(100, &state, candidates).contains(1))
    }

    @Test func aFullBackendIsPassedOverUntilItHasRoom() {
        let candidates = pool([1, 1], maxSessions: 1)
        var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: 1)
        let (first, second) = (acquire(candidates, 0), acquire(candidates, 0))
        #expect(first && !second)
        #expect(picks(10, &state, candidates).allSatisfy { $0 == 1 })
        candidates[0].release()
        #expect(picks(10, &state, candidates).contains(0))
    }

    @Test func noUsableBackendGivesNone() {
        let candidates = pool([0, 0])
        for policy in [Policy.roundRobin, .random] {
            var state = PolicyState(policy: policy, candidates: candidates, seed: 1)
            #expect(picks(1, &state, candidates) == [nil])
        }
    }
}
