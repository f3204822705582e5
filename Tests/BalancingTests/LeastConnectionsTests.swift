import Base
import Synchronization
import TestSupport
import Testing

@testable import Balancing

@Suite struct LeastConnectionsTests {
    @Test(arguments: [[1, 1, 1], [4, 2, 1], [1, 5], [3, 0, 2]] as [[UInt32]])
    func sessionsFollowTheWeightsExactly(weights: [UInt32]) {
        var state = PolicyState(plan(.leastConnections, weights), seed: 1)
        var held = [Int](repeating: 0, count: weights.count)
        for _ in 0..<Int(weights.reduce(0, +)) * 20 { held[state.hold()!] += 1 }
        #expect(held == weights.map { Int($0) * 20 })
    }

    @Test func equalsTakeTurns() {
        var state = PolicyState(plan(.leastConnections, [1, 1, 1, 1]), seed: 1)
        let order = (0..<400).map { _ in state.pick()! }
        #expect(zip(order, order.dropFirst(4)).allSatisfy { $0 == $1 })
        #expect(Set(order[..<4]).count == 4)
    }

    @Test func whoFinishesFirstGetsTheNext() {
        var state = PolicyState(plan(.leastConnections, [1, 1, 1]), seed: 1)
        for _ in 0..<30 { _ = state.hold() }
        state.plan.candidates.release(2)
        state.plan.candidates.release(2)
        #expect((0..<2).map { _ in state.hold() } == [2, 2])
    }

    /// Each thread is a worker with a state of its own; only the counts are shared. They are looked at after each
    /// choice: one that went wrong would be set right by the next. Ideal is that nobody has got a session that
    /// another would have had more room for: no active / weight is above another's (active + 1) / weight. With
    /// equal weights, that all are within one of each other.
    @Test(arguments: [2, 4, 8], [[1, 1, 1], [4, 2, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]] as [[UInt32]])
    func concurrentWorkersStayWithinOneOfIdeal(workers: Int, weights: [UInt32]) {
        let pool = plan(.leastConnections, weights)
        let barrier = Barrier(workers)
        let wrong = Atomic<Int>(0)
        onThreads(workers) { worker in
            var state = PolicyState(pool, seed: UInt64(worker))
            for _ in 0..<3_000 {
                _ = state.hold()
                barrier.wait()
                let active = weights.indices.map { pool.candidates[$0].active.load(ordering: .relaxed) }
                for (one, weight) in zip(active, weights) {
                    for (other, otherWeight) in zip(active, weights)
                    where one * Int(otherWeight) > (other + 1) * Int(weight) {
                        wrong.add(1, ordering: .relaxed)
                    }
                }
                barrier.wait()
            }
        }
        let active = weights.indices.map { pool.candidates[$0].active.load(ordering: .relaxed) }
        #expect(active.reduce(0, +) == workers * 3_000)
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    /// Places that are taken and given back at the same time: what is full is counted right all the same.
    @Test func fullBackendsAreCountedRightUnderConcurrency() {
        let pool = plan(.random, [1], maxSessions: 2)
        onThreads(4) { worker in
            for _ in 0..<100_000 where pool.candidates.take(0) { pool.candidates.release(0) }
        }
        #expect(pool.candidates[0].active.load(ordering: .relaxed) == 0)
        #expect(pool.candidates.fullCount == 0)
        #expect(pool.candidates.take(0) && pool.candidates.take(0) && !pool.candidates.take(0))
        #expect(pool.candidates.fullCount == 1)
    }

    @Test func limitsHoldUnderConcurrency() {
        let pool = plan(.powerOfTwo, [1, 1, 1], maxSessions: 100)
        let taken = Atomic<Int>(0)
        onThreads(4) { worker in
            var state = PolicyState(pool, seed: UInt64(worker))
            for round in 0..<20_000 {
                guard let index = state.hold() else { continue }
                if round % 50 < 40 {
                    pool.candidates.release(index)
                } else {
                    taken.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        let active = (0..<3).map { pool.candidates[$0].active.load(ordering: .relaxed) }
        #expect(active == [100, 100, 100])
        #expect(taken.load(ordering: .relaxed) == 300)
        #expect(pool.candidates.fullCount == 3)
    }
}
