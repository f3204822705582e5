import Base
import Testing

@testable import Balancing

@Suite struct SequenceTests {
    @Test(arguments: [1, 2, 3, 4, 6, 10, 97, 100, 1024], [Policy.roundRobin, .random])
    func everyCandidateComesExactlyOnce(count: Int, policy: Policy) {
        let candidates = pool(Array(repeating: 1, count: count))
        var state = PolicyState(policy: policy, candidates: candidates, seed: UInt64(count))
        for _ in 0..<20 {
            var sequence = CandidateSequence()
            var met: [Int] = []
            while let next = state.next(&sequence, of: candidates) { met.append(next) }
            #expect(met.sorted() == Array(0..<count))
        }
    }

    @Test func unusableCandidatesAreLeftOut() {
        let candidates = pool([1, 0, 1, 0, 1])
        var state = PolicyState(policy: .random, candidates: candidates, seed: 5)
        var sequence = CandidateSequence()
        var met: Set<Int> = []
        while let next = state.next(&sequence, of: candidates) { met.insert(next) }
        #expect(met == [0, 2, 4])
    }

    @Test func theSessionsOfADeadBackendSpreadOverAllOthers() {
        let candidates = pool(Array(repeating: 1, count: 10))
        var state = PolicyState(policy: .roundRobin, candidates: candidates, seed: 9)
        var second = [Int](repeating: 0, count: 10)
        for _ in 0..<9000 {
            var sequence = CandidateSequence()
            let first = state.next(&sequence, of: candidates)
            if first == 0 { second[state.next(&sequence, of: candidates)!] += 1 }
        }
        // 900 sessions met the dead one. Steps coprime to ten reach four neighbours first.
        #expect(second.filter { $0 > 100 }.count >= 4)
    }
}

@Suite struct WeightedRandomTests {
    @Test(arguments: [[1, 1, 1], [5, 1, 1], [1, 2, 3, 4], [100, 1]] as [[UInt32]])
    func proportionsAreWithinOnePercentOverAMillion(weights: [UInt32]) {
        let candidates = pool(weights)
        var state = PolicyState(policy: .random, candidates: candidates, seed: 42)
        var counts = [Int](repeating: 0, count: weights.count)
        let total = 1_000_000
        for _ in 0..<total {
            var sequence = CandidateSequence()
            counts[state.next(&sequence, of: candidates)!] += 1
        }
        let sum = Double(weights.reduce(0, +))
        for (count, weight) in zip(counts, weights) {
            #expect(abs(Double(count) / Double(total) - Double(weight) / sum) < 0.01)
        }
    }

    @Test func theSameSeedChoosesTheSame() {
        let candidates = pool([3, 2, 1])
        var one = PolicyState(policy: .random, candidates: candidates, seed: 11)
        var two = PolicyState(policy: .random, candidates: candidates, seed: 11)
        #expect(picks(1000, &one, candidates) == picks(1000, &two, candidates))
    }

    @Test func whenAlmostAllAreFullTheRestGetsItAll() {
        let candidates = pool(Array(repeating: 1, count: 50), maxSessions: 1)
        for index in 0..<49 { #expect(acquire(candidates, index)) }
        var state = PolicyState(policy: .random, candidates: candidates, seed: 2)
        #expect(picks(200, &state, candidates).allSatisfy { $0 == 49 })
    }
}
