import Base
import Testing

@testable import Balancing

@Suite struct RoundRobinTests {
    @Test func weightsFiveOneOneGiveTheSmoothOrderOfNginx() {
        var found = false
        // The seed sets where the cycle begins: one of them begins at its start.
        for seed in UInt64(0)..<64 where !found {
            var state = PolicyState(plan(.roundRobin, [5, 1, 1]), seed: seed)
            found = (0..<7).map { _ in state.pick() } == [0, 0, 1, 0, 2, 0, 0]
        }
        #expect(found)
    }

    @Test(arguments: [[1, 1, 1], [5, 1, 1], [3, 2], [7], [1, 2, 3, 4, 5], [10, 0, 1]] as [[UInt32]])
    func proportionsAreExactOverWholeCycles(weights: [UInt32]) {
        var state = PolicyState(plan(.roundRobin, weights), seed: 7)
        let cycle = Int(weights.reduce(0, +))
        #expect(counts(&state, picks: cycle * 10) == weights.map { Int($0) * 10 })
    }

    @Test func runsAreNoLongerThanTheWeightsForce() {
        var state = PolicyState(plan(.roundRobin, [4, 2, 1]), seed: 3)
        let order = (0..<700).map { _ in state.pick() }
        var run = 1
        for (before, after) in zip(order, order.dropFirst()) {
            run = before == after ? run + 1 : 1
            // 4 of 7 to one: two in a row, three where one cycle ends and the next begins.
            #expect(run <= 3)
        }
    }

    @Test func workersWithOtherSeedsBeginElsewhere() {
        let pool = plan(.roundRobin, [1, 1, 1, 1])
        let firsts = (UInt64(0)..<32).map { seed in
            var state = PolicyState(pool, seed: seed)
            return state.pick()!
        }
        #expect(Set(firsts).count == 4)
    }

    @Test func aFullBackendIsPassedOverUntilItHasRoom() {
        var state = PolicyState(plan(.roundRobin, [1, 1], maxSessions: 1), seed: 1)
        let taken = state.hold()!
        #expect((0..<10).allSatisfy { _ in state.pick() == 1 - taken })
        state.plan.candidates.release(taken)
        #expect((0..<10).contains { _ in state.pick() == taken })
    }
}
