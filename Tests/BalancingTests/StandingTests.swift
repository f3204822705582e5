// What holds for every policy when health takes backends out or lessens their shares.

import Base
import TestSupport
import Testing

@testable import Balancing

extension Candidates {
    func set(_ index: Int, _ state: BackendState, share: Int = 256) {
        #expect(change(index, from: standing(index), to: Standing(state, share: share)))
    }
}

@Suite struct StandingTests {
    static let out: [BackendState] = [.unhealthy, .ejected, .draining, .disabled]

    @Test(arguments: Policy.allCases, out) func whoIsOutIsNeverMet(policy: Policy, state: BackendState) {
        var pool = PolicyState(plan(policy, [1, 2, 1, 3, 1], boundPercent: 125), seed: 5)
        pool.plan.candidates.set(1, state)
        pool.plan.candidates.set(4, state)
        var random = RandomSource(seed: 3)
        for _ in 0..<500 { #expect(Set(pool.walk(key: random.next())) == [0, 2, 3]) }
        #expect(pool.plan.candidates.excluded.count(state) == 2)
        pool.plan.candidates.set(1, .healthy)
        #expect(Set(pool.walk(key: 1)) == [0, 1, 2, 3])
    }

    /// Random standings, again and again: nobody who is out is met, everybody else is, and the tally is right.
    @Test(arguments: Policy.allCases) func standingsHoldWhateverTheyWere(policy: Policy) {
        let states = BackendState.allCases
        var pool = PolicyState(plan(policy, [1, 2, 1, 3, 1, 1, 5, 1], maglevTableSize: 1021), seed: 5)
        let candidates = pool.plan.candidates
        var random = RandomSource(seed: 17)
        for _ in 0..<2000 {
            let index = Int(random.next(below: 8))
            let state = states[Int(random.next(below: UInt32(states.count)))]
            candidates.set(index, state, share: 1 + Int(random.next(below: 256)))
            let usable = (0..<8).filter { !candidates.standing($0).state.takesNothing }
            #expect(pool.walk(key: random.next()).sorted() == usable)
            for state in Self.out {
                let count = (0..<8).filter { candidates.standing($0).state == state }.count
                #expect(candidates.excluded.count(state) == count)
            }
        }
        for index in 0..<8 { candidates.set(index, .healthy) }
        #expect(candidates.weightNow == candidates.totalWeight * 256)
    }

    /// A quarter of its weight: one session where the others get four.
    @Test(arguments: Policy.allCases.filter { !$0.needsKey }, [[1, 1, 1], [4, 4, 4]] as [[UInt32]])
    func sharesAreOfTheWeight(policy: Policy, weights: [UInt32]) {
        var pool = PolicyState(plan(policy, weights), seed: 7)
        pool.plan.candidates.set(0, .warming, share: 64)
        var held = [Int](repeating: 0, count: 3)
        for _ in 0..<45_000 {
            let index = policy == .peakEWMA ? pool.pick()! : pool.hold()!
            held[index] += 1
        }
        #expect(abs(held[0] - 5_000) < 250)
        #expect(abs(held[1] - 20_000) < 500)
    }

    /// While nobody has a session, two choices compare nothing that a share could change.
    @Test(arguments: [Policy.powerOfTwo, .peakEWMA]) func aSmallShareIsNotNothingWhenIdle(policy: Policy) {
        var pool = PolicyState(plan(policy, [1, 1, 1]), seed: 7)
        pool.plan.candidates.set(0, .degraded, share: 128)
        let counts = counts(&pool, picks: 50_000)
        #expect(abs(counts[0] - 10_000) < 600)
    }

    @Test(arguments: HashTests.hashing) func aSmallShareKeepsItsKeys(policy: Policy) {
        let pool = plan(policy, [1, 1, 1, 1])
        let whole = owners(pool, keys: 20_000)
        let own = whole.filter { $0 == 0 }.count
        var before = whole.map { _ in false }
        for share in [16, 64, 128, 200] {
            pool.candidates.set(0, .warming, share: share)
            let now = owners(pool, keys: 20_000)
            // Only keys of that backend move, it keeps its share of them, and a share that grows takes none away.
            #expect(zip(whole, now).allSatisfy { $0 == $1 || $0 == 0 })
            #expect(zip(before, now).allSatisfy { !$0 || $1 == 0 })
            before = now.map { $0 == 0 }
            let kept = before.filter { $0 }.count
            #expect(abs(kept - own * share / 256) < own / 20)
        }
        pool.candidates.set(0, .healthy)
        #expect(owners(pool, keys: 20_000) == whole)
    }

    @Test(arguments: HashTests.hashing) func whoIsEjectedGivesUpItsKeysOnly(policy: Policy) {
        let pool = plan(policy, [1, 1, 1, 1])
        let whole = owners(pool, keys: 20_000)
        pool.candidates.set(2, .ejected)
        let now = owners(pool, keys: 20_000)
        #expect(zip(whole, now).allSatisfy { $0 == $1 || $0 == 2 })
        #expect(!now.contains(2))
    }

    /// The bound is of what is there: without the weight of who is out everybody would be beyond it.
    @Test func boundedLoadIsOfThoseWhoAreThere() {
        var pool = PolicyState(plan(.maglev, [1, 1, 1, 1], boundPercent: 125), seed: 7)
        pool.plan.candidates.set(0, .ejected)
        pool.plan.candidates.set(1, .ejected)
        var held = [Int](repeating: 0, count: 4)
        // All of one key: what the bound leaves over goes to the other one.
        for _ in 0..<1000 { held[pool.hold(key: 42)!] += 1 }
        #expect(max(held[2], held[3]) == 625)
    }

    @Test func whoHasABackendKeepsItUnlessItIsOut() {
        var pool = PolicyState(plan(.roundRobin, [1, 1, 1]), seed: 7)
        for (state, keeps) in [
            (BackendState.warming, true), (.degraded, true), (.draining, true), (.unhealthy, false),
            (.ejected, false), (.disabled, false),
        ] {
            pool.plan.candidates.set(1, state, share: 1)
            var sequence = CandidateSequence()
            let index = pool.take(&sequence, Choice(sticky: 1))!
            #expect((index == 1) == keeps)
            #expect(sequence.pick.sticky == (keeps ? .taken : .unwell))
            pool.plan.candidates.release(index)
        }
    }

    // MARK: Panic

    private func panicking(_ policy: Policy, backups: Int = 0) -> PolicyState {
        var backends = shares(Array(repeating: 1, count: 10))
        for index in 10 - backups..<10 { backends[index].isBackup = true }
        return PolicyState(PolicyPlan(policy, backends, panicPercent: 30), seed: 5)
    }

    @Test(arguments: Policy.allCases) func belowTheShareHealthIsIgnored(policy: Policy) {
        var pool = panicking(policy)
        for index in 0..<7 { pool.plan.candidates.set(index, index % 2 == 0 ? .ejected : .unhealthy) }
        #expect(!pool.plan.candidates.isPanicking)
        #expect(Set(pool.walk(key: 1)) == [7, 8, 9])
        pool.plan.candidates.set(7, .unhealthy)
        #expect(pool.plan.candidates.isPanicking)
        #expect(pool.walk(key: 1).sorted() == Array(0..<10))
        var sequence = CandidateSequence()
        _ = pool.take(&sequence, Choice(key: 1))
        #expect(sequence.pick.isPanic)
        #expect(sequence.pick.excluded.count(.unhealthy) == 4)
        pool.plan.candidates.set(0, .warming, share: 1)
        #expect(Set(pool.walk(key: 1)) == [0, 8, 9])
    }

    @Test(arguments: Policy.allCases) func panicLeavesOutWhomAnOperatorTookOut(policy: Policy) {
        var pool = panicking(policy)
        for index in 0..<8 { pool.plan.candidates.set(index, .ejected) }
        pool.plan.candidates.set(0, .draining)
        pool.plan.candidates.set(9, .disabled)
        // Of eight one is well.
        #expect(pool.walk(key: 1).sorted() == Array(1..<9))
        // Nobody is expected to be well where all are out by order.
        for index in 0..<10 { pool.plan.candidates.set(index, .disabled) }
        #expect(!pool.plan.candidates.isPanicking)
        #expect(pool.walk(key: 1) == [])
    }

    @Test(arguments: Policy.allCases) func backupsThatAreWellPreventPanic(policy: Policy) {
        var pool = panicking(policy, backups: 2)
        for index in 0..<8 { pool.plan.candidates.set(index, .unhealthy) }
        #expect(Set(pool.walk(key: 1)) == [8, 9])
        pool.plan.candidates.set(8, .ejected)
        pool.plan.candidates.set(9, .ejected)
        #expect(Set(pool.walk(key: 1).prefix(8)) == Set(0..<8))
    }

    // MARK: Threads

    @Test func aStandingIsChangedByOneOfManyWhoTry() {
        let candidates = plan(.random, [1, 1, 1, 1]).candidates
        let barrier = Barrier(4)
        let won = Counted()
        onThreads(4) { _ in
            for round in 0..<20_000 {
                let (old, new) =
                    round % 2 == 0 ? (Standing.healthy, Standing(.ejected)) : (Standing(.ejected), .healthy)
                if candidates.change(round % 8 / 2, from: old, to: new) { won.add() }
                barrier.wait()
            }
        }
        #expect(won.count == 20_000)
        #expect(candidates.excluded == Exclusions())
        #expect(candidates.changes == 20_000)
        #expect(candidates.weightNow == 4 * 256)
    }
}
