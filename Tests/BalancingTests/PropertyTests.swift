// Random pools and random use of them, held against a plain account of who has how many sessions.

import Base
import Synchronization
import TestSupport
import Testing

@testable import Balancing

@Suite struct PropertyTests {
    /// Of any size and any weights, some 0, some with a limit, some backups.
    private func backends(_ random: inout RandomSource) -> [BackendShare] {
        let count = 1 + Int(random.next(below: 12))
        let primaries = 1 + Int(random.next(below: UInt32(count)))
        return (0..<count).map { index in
            var backend = BackendShare(identity: random.next(), weight: random.next(below: 4))
            // The weights of a ring may add up to 32,768.
            if random.next(below: 8) == 0 { backend.weight *= 500 }
            if random.next(below: 2) == 0 { backend.maxSessions = 1 + random.next(below: 4) }
            backend.isBackup = index >= primaries
            return backend
        }
    }

    private func isUsable(_ backend: BackendShare, _ active: Int) -> Bool {
        backend.weight > 0 && active < Int(backend.maxSessions)
    }

    @Test(arguments: Policy.allCases) func nobodyUnusableIsChosenAndNobodyUsableIsMissed(policy: Policy) {
        var random = RandomSource(seed: 77)
        for _ in 0..<60 {
            let backends = backends(&random)
            let bound = random.next(below: 2) == 0 ? 0 : 125
            let pool = PolicyPlan(policy, backends, boundPercent: bound, maglevTableSize: 251)
            var state = PolicyState(pool, seed: random.next())
            var active = backends.map { _ in 0 }
            var held: [Int] = []
            for now in 0..<400 {
                if !held.isEmpty, random.next(below: 5) < 2 {
                    let index = held.remove(at: Int(random.next(below: UInt32(held.count))))
                    pool.candidates.release(index)
                    active[index] -= 1
                    let nanoseconds = UInt64(random.next(below: 1_000_000))
                    pool.observe(index, nanoseconds: nanoseconds, now: UInt64(now) << 20)
                    continue
                }
                let usable = backends.indices.filter { isUsable(backends[$0], active[$0]) }
                let hasPrimary = usable.contains { !backends[$0].isBackup }
                guard let index = state.hold(key: random.next(), now: UInt64(now) << 20) else {
                    #expect(usable.isEmpty)
                    continue
                }
                #expect(usable.contains(index))
                #expect(backends[index].isBackup == !hasPrimary)
                active[index] += 1
                held.append(index)
            }
            for index in backends.indices {
                #expect(pool.candidates[index].active.load(ordering: .relaxed) == active[index])
            }
        }
    }

    /// Each thread is a worker; limits and counts hold whatever they do at once.
    @Test(arguments: Policy.allCases) func limitsHoldWithWorkersThatTakeAndGiveBack(policy: Policy) {
        let pool = plan(policy, [1, 2, 3, 1], maxSessions: 5)
        let worst = Atomic<Int>(0)
        onThreads(4) { worker in
            var state = PolicyState(pool, seed: UInt64(worker))
            var random = RandomSource(seed: UInt64(worker) &+ 100)
            var held: [Int] = []
            for _ in 0..<10_000 {
                if held.count > 4 || (!held.isEmpty && random.next(below: 3) == 0) {
                    pool.candidates.release(held.removeLast())
                } else if let index = state.hold(key: random.next()) {
                    held.append(index)
                    // Others may be trying for a place that is not there: each for one at most.
                    worst.max(pool.candidates[index].active.load(ordering: .relaxed), ordering: .relaxed)
                }
            }
            for index in held { pool.candidates.release(index) }
        }
        #expect(worst.load(ordering: .relaxed) <= 5 + 3)
        #expect((0..<4).allSatisfy { pool.candidates[$0].active.load(ordering: .relaxed) == 0 })
        #expect(pool.candidates.fullCount == 0)
    }

    @Test(arguments: [Policy.ketama, .maglev], [2, 4])
    func boundedLoadIsExceededByNoMoreThanOneForEachWorker(policy: Policy, workers: Int) {
        let weights: [UInt32] = [1, 2, 1, 3]
        let pool = plan(policy, weights, boundPercent: 125)
        let barrier = Barrier(workers)
        let excess = Atomic<Int>(0)
        onThreads(workers) { worker in
            var state = PolicyState(pool, seed: UInt64(worker))
            for _ in 0..<1_500 {
                // One key: without the bound all would have one backend.
                _ = state.hold(key: 7)
                barrier.wait()
                let active = (0..<4).map { pool.candidates[$0].active.load(ordering: .relaxed) }
                let total = active.reduce(0, +)
                for (count, weight) in zip(active, weights) {
                    let bound = (125 * total * Int(weight) + 699) / 700
                    excess.max(count - bound, ordering: .relaxed)
                }
                barrier.wait()
            }
        }
        #expect(excess.load(ordering: .relaxed) <= workers - 1)
    }
}
