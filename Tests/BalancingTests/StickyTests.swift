// Sessions that stick: the sequence that begins with whom they had, the table of clients, the numbers of backends.

import Base
import Synchronization
import TestSupport
import Testing

@testable import Balancing

private let second: UInt64 = 1_000_000_000

@Suite struct StickySequenceTests {
    /// Everybody that one sequence meets, given back at once.
    private func walk(_ state: inout PolicyState, sticky: Int, key: UInt64 = 0) -> ([Int], [StickyOutcome]) {
        var sequence = CandidateSequence()
        var met: [Int] = []
        var outcomes: [StickyOutcome] = []
        while let index = state.take(&sequence, Choice(key: key, sticky: sticky)) {
            state.plan.candidates.release(index)
            met.append(index)
            outcomes.append(sequence.pick.sticky)
        }
        return (met, outcomes)
    }

    @Test(arguments: [1, 2, 3, 7, 97], Policy.allCases)
    func whomTheSessionHadComesFirstAndOnce(count: Int, policy: Policy) {
        var state = PolicyState(
            plan(policy, Array(repeating: 1, count: count), maglevTableSize: 1021), seed: UInt64(count))
        var random = RandomSource(seed: 3)
        for round in 0..<60 {
            let sticky = round % count
            let (met, outcomes) = walk(&state, sticky: sticky, key: random.next())
            #expect(met.first == sticky)
            #expect(met.sorted() == Array(0..<count))
            #expect(outcomes == [.taken] + Array(repeating: .failed, count: count - 1))
        }
        for index in 0..<count {
            #expect(state.plan.candidates[index].active.load(ordering: .relaxed) == 0)
        }
    }

    @Test(arguments: Policy.allCases) func weightZeroKeepsWhoWasThere(policy: Policy) {
        var state = PolicyState(plan(policy, [1, 0, 1]), seed: 4)
        let (met, _) = walk(&state, sticky: 1, key: 7)
        #expect(met.first == 1)
        #expect(met.dropFirst().sorted() == [0, 2])
        #expect(!state.walk(key: 7).contains(1))
    }

    @Test(arguments: Policy.allCases) func whoIsFullIsLeftToThePolicy(policy: Policy) {
        var state = PolicyState(plan(policy, [1, 1, 1], maxSessions: 1), seed: 4)
        #expect(state.plan.candidates.takeSticky(1))
        #expect(!state.plan.candidates.takeSticky(1))
        let (met, outcomes) = walk(&state, sticky: 1, key: 7)
        #expect(met.sorted() == [0, 2])
        #expect(outcomes == [.full, .full])
        // Of another pool, or gone.
        #expect(walk(&state, sticky: 3, key: 7).0.sorted() == [0, 2])
    }

    @Test(arguments: Policy.allCases) func aBackupKeepsWhoWasThereAndComesOnce(policy: Policy) {
        var backends = shares([1, 1, 1, 1])
        for index in 2...3 { backends[index].isBackup = true }
        var state = PolicyState(PolicyPlan(policy, backends), seed: 5)
        for sticky in 0..<4 {
            var sequence = CandidateSequence()
            #expect(state.take(&sequence, Choice(key: 9, sticky: sticky)) == sticky)
            #expect(sequence.pick.isBackup == (sticky >= 2))
            state.plan.candidates.release(sticky)
            let second = state.take(&sequence, Choice(key: 9, sticky: sticky))
            #expect(second == 0 || second == 1)
            #expect(!sequence.pick.isBackup)
            if let second { state.plan.candidates.release(second) }
            #expect(walk(&state, sticky: sticky, key: 9).0.sorted() == [0, 1, 2, 3])
        }
    }
}

@Suite struct StickyIdentityTests {
    @Test(arguments: [0, 1, 2, 5, 1000]) func everyNumberLeadsBack(count: Int) {
        let identities = (0..<count).map(identity)
        let table = StickyIdentities(identities)
        for index in 0..<count {
            #expect(table[index] == identities[index])
            #expect(table.index(of: identities[index]) == index)
            #expect(table.index(of: identities[index] &+ 1) == nil)
        }
        #expect(table.index(of: 0) == nil)
        #expect(table.index(of: .max) == nil)
    }

    @Test func ofEqualNumbersTheFirstIsFound() {
        #expect(StickyIdentities([7, 3, 7, 3]).index(of: 7) == 0)
        #expect(StickyIdentities([7, 3, 7, 3]).index(of: 3) == 1)
    }
}

@Suite struct StickyTableTests {
    @Test func aClientIsRememberedUntilItsTimeIsOver() {
        let table = StickyTable(clients: 100, timeToLiveNanoseconds: 30 * second)
        #expect(table.backend(of: 5, now: 100 * second) == nil)
        table.note(5, backend: 3, now: 100 * second)
        #expect(table.backend(of: 5, now: 100 * second) == 3)
        #expect(table.backend(of: 5, now: 129 * second) == 3)
        #expect(table.backend(of: 5, now: 130 * second) == nil)
        table.note(5, backend: 65_534, now: 131 * second)
        #expect(table.backend(of: 5, now: 131 * second) == 65_534)
    }

    @Test func everyUseBeginsTheTimeAnew() {
        let table = StickyTable(clients: 100, timeToLiveNanoseconds: 10 * second)
        table.note(5, backend: 3, now: 0)
        for time in stride(from: UInt64(9), to: 90, by: 9) {
            table.touch(5, backend: 3, now: time * second)
            #expect(table.backend(of: 5, now: (time + 9) * second) == 3)
        }
        // Not by one that it had before.
        table.note(5, backend: 4, now: 90 * second)
        table.touch(5, backend: 3, now: 95 * second)
        #expect(table.backend(of: 5, now: 99 * second) == 4)
        #expect(table.backend(of: 5, now: 100 * second) == nil)
        // Nor of a client that is not known.
        table.touch(6, backend: 3, now: 95 * second)
        #expect(table.backend(of: 6, now: 95 * second) == nil)
    }

    @Test func aWorkersClockMayBeBehind() {
        let table = StickyTable(clients: 100, timeToLiveNanoseconds: 10 * second)
        table.note(5, backend: 3, now: 100 * second)
        #expect(table.backend(of: 5, now: 99 * second) == 3)
    }

    @Test func secondsThatBeginAnewAreNoTrouble() {
        let table = StickyTable(clients: 100, timeToLiveNanoseconds: 10 * second)
        table.note(5, backend: 3, now: ((1 << 24) - 1) * second)
        #expect(table.backend(of: 5, now: ((1 << 24) + 8) * second) == 3)
        #expect(table.backend(of: 5, now: ((1 << 24) + 9) * second) == nil)
    }

    @Test func aFullSetForgetsWhoWasNotSeenForLongest() {
        // All in one set: the low bits choose it, the high ones tell clients apart.
        let table = StickyTable(clients: 4, timeToLiveNanoseconds: 1000 * second)
        let clients = (0..<20).map { UInt64($0 + 1) << 40 }
        for (index, client) in clients[..<8].enumerated() {
            table.note(client, backend: index, now: UInt64(index) * second)
        }
        table.touch(clients[0], backend: 0, now: 50 * second)
        table.note(clients[8], backend: 8, now: 60 * second)
        #expect(table.backend(of: clients[1], now: 60 * second) == nil)
        for index in [0] + Array(2...8) {
            #expect(table.backend(of: clients[index], now: 60 * second) == index)
        }
        #expect(table.count == 8)
    }

    @Test func itHoldsAsManyAsItWasMadeFor() {
        let table = StickyTable(clients: 10_000, timeToLiveNanoseconds: 1000 * second)
        var random = RandomSource(seed: 1)
        let clients = (0..<10_000).map { _ in random.next() }
        for (index, client) in clients.enumerated() { table.note(client, backend: index % 100, now: 0) }
        let known = clients.indices.filter { table.backend(of: clients[$0], now: 0) == $0 % 100 }
        #expect(known.count >= 9_900)
        #expect(StickyTable.byteCount(clients: 10_000) == 32_768 * 8)
    }

    /// Against a dictionary, in a table with room for all.
    @Test(arguments: 0..<20) func itDoesAsAModelDoes(seed: UInt64) {
        let limit: UInt64 = 20
        let table = StickyTable(clients: 4_000, timeToLiveNanoseconds: limit * second)
        var random = RandomSource(seed: seed)
        let clients = (0..<100).map { _ in random.next() }
        var model: [UInt64: (backend: Int, seen: UInt64)] = [:]
        var now: UInt64 = 0
        for _ in 0..<5_000 {
            let client = clients[Int(random.next(below: 100))]
            let backend = Int(random.next(below: 3))
            now += UInt64(random.next(below: 2)) * second
            let known = model[client].flatMap { now / second - $0.seen < limit ? $0.backend : nil }
            #expect(table.backend(of: client, now: now) == known)
            if random.next(below: 2) == 0 {
                table.note(client, backend: backend, now: now)
                model[client] = (backend, now / second)
            } else {
                table.touch(client, backend: backend, now: now)
                if model[client]?.backend == backend { model[client]?.seen = now / second }
            }
        }
    }

    /// Whatever threads do at once, a client gets a backend that somebody noted for it, and few are lost.
    @Test func threadsDoNotMixClientsUp() {
        let table = StickyTable(clients: 256, timeToLiveNanoseconds: 1000 * second)
        let wrong = Atomic<Int>(0)
        onThreads(4) { number in
            var random = RandomSource(seed: UInt64(number))
            for round in 0..<100_000 {
                let client = UInt64(random.next(below: 600))
                // Its number is in each half, so that set and tag differ by it.
                let hash = client << 40 | client
                let now = UInt64(round / 100) * second
                if let found = table.backend(of: hash, now: now), found / 8 != Int(client) {
                    wrong.wrappingAdd(1, ordering: .relaxed)
                }
                let backend = Int(client) * 8 + number
                if round % 3 == 0 { table.touch(hash, backend: backend, now: now) }
                if round % 2 == 0 { table.note(hash, backend: backend, now: now) }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(table.count <= 512)
    }

    @Test func threadsThatNoteOneClientAgreeAfterwards() {
        let table = StickyTable(clients: 64, timeToLiveNanoseconds: 1000 * second)
        let barrier = Barrier(4)
        let different = Atomic<Int>(0)
        onThreads(4) { number in
            for round in 0..<2_000 {
                let hash = UInt64(round + 1) << 40 | UInt64(round % 16)
                barrier.wait()
                table.note(hash, backend: number, now: second)
                barrier.wait()
                let first = table.backend(of: hash, now: second)
                barrier.wait()
                if table.backend(of: hash, now: second) != first || first == nil {
                    different.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(different.load(ordering: .relaxed) == 0)
    }
}
