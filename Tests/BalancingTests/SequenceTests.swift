// What holds for every policy: a sequence meets each usable backend once, backups last, and nobody else.

import Base
import Testing

@testable import Balancing

@Suite struct SequenceTests {
    @Test(arguments: [1, 2, 3, 4, 6, 10, 97, 1024], Policy.allCases)
    func everyCandidateComesExactlyOnce(count: Int, policy: Policy) {
        let pool = plan(policy, Array(repeating: 1, count: count), maglevTableSize: 1021)
        var state = PolicyState(pool, seed: UInt64(count))
        var random = RandomSource(seed: 3)
        for _ in 0..<20 {
            #expect(state.walk(key: random.next()).sorted() == Array(0..<count))
        }
    }

    @Test(arguments: Policy.allCases) func unusableCandidatesAreLeftOut(policy: Policy) {
        var backends = shares([1, 0, 3, 2, 1])
        backends[3].maxSessions = 1
        var state = PolicyState(PolicyPlan(policy, backends), seed: 5)
        #expect(state.plan.candidates.take(3))
        #expect(state.plan.candidates.fullCount == 1)
        var random = RandomSource(seed: 3)
        for _ in 0..<200 { #expect(Set(state.walk(key: random.next())) == [0, 2, 4]) }
        state.plan.candidates.release(3)
        #expect(state.plan.candidates.fullCount == 0)
        #expect(Set(state.walk()) == [0, 2, 3, 4])
    }

    @Test(arguments: Policy.allCases) func noUsableBackendGivesNone(policy: Policy) {
        var state = PolicyState(plan(policy, [0, 0]), seed: 1)
        #expect(state.walk() == [])
        var empty = PolicyState(PolicyPlan(policy, []), seed: 1)
        #expect(empty.walk() == [])
    }

    @Test(arguments: Policy.allCases) func backupsComeWhenNobodyElseIsUsable(policy: Policy) {
        var backends = shares([1, 2, 1, 3], maxSessions: 1)
        for index in 2...3 { backends[index].isBackup = true }
        var state = PolicyState(PolicyPlan(policy, backends), seed: 5)
        var random = RandomSource(seed: 3)
        var sequence = CandidateSequence()
        for _ in 0..<50 {
            let walk = state.walk(key: random.next())
            #expect(Set(walk[..<2]) == [0, 1])
            #expect(Set(walk[2...]) == [2, 3])
        }
        #expect(Set([state.hold(key: 1), state.hold(key: 2)]) == [0, 1])
        let backup = state.take(&sequence, Choice(key: 3))
        #expect(backup == 2 || backup == 3)
        #expect(sequence.pick.isBackup)
        #expect(sequence.pick.full == 2)
    }

    @Test(arguments: Policy.allCases) func whoIsAlmostAlwaysFullIsNeverExceeded(policy: Policy) {
        var state = PolicyState(plan(policy, Array(repeating: 1, count: 50), maxSessions: 2), seed: 2)
        var random = RandomSource(seed: 3)
        var held: [Int] = []
        for _ in 0..<100 { held.append(state.hold(key: random.next())!) }
        #expect(Set(held).count == 50)
        #expect(state.hold() == nil)
        #expect(state.plan.candidates.fullCount == 50)
        for index in held { state.plan.candidates.release(index) }
        #expect(state.plan.candidates.fullCount == 0)
    }

    @Test func theSessionsOfADeadBackendSpreadOverAllOthers() {
        var state = PolicyState(plan(.roundRobin, Array(repeating: 1, count: 10)), seed: 9)
        var second = [Int](repeating: 0, count: 10)
        for _ in 0..<9000 {
            let walk = state.walk()
            if walk[0] == 0 { second[walk[1]] += 1 }
        }
        // 900 sessions met the dead one. Steps coprime to ten reach four neighbours first.
        #expect(second.filter { $0 > 100 }.count >= 4)
    }
}
