// The policy that follows what backends say of themselves: the choice, the pool of answers, who is asked when.

import Base
import TestSupport
import Testing

@testable import Balancing

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000
private let start = 100 * second

/// A pool, its prober's book, and one worker.
private final class World {
    let plan: PolicyPlan
    var book: ProbeBook
    var worker: PolicyState
    var now = start

    init(backends: Int, weights: [UInt32]? = nil, backups: Int = 0, mostPerSecond: Int = 100) {
        var shares = shares(weights ?? [UInt32](repeating: 1, count: backends))
        shares += (0..<backups).map { BackendShare(identity: UInt64($0), weight: 1, isBackup: true) }
        plan = PolicyPlan(.prequal, shares)
        book = ProbeBook(plan, mostPerSecond: mostPerSecond, seed: 3, now: start)!
        worker = PolicyState(plan, seed: 4)
    }

    @discardableResult
    func tell(_ backend: Int, inFlight: Int, microseconds: UInt32) -> Bool {
        book.answered(backend, inFlight: inFlight, latencyMicroseconds: microseconds, now: now)
    }

    func hasNoLoad(_ backend: Int) -> Bool { book.isWithoutLoad(backend) }

    /// The place stays taken.
    func hold() -> (index: Int?, pick: Pick) {
        var sequence = CandidateSequence()
        let index = worker.take(&sequence, Choice(now: now))
        return (index, sequence.pick)
    }

    func pick() -> (index: Int?, pick: Pick) {
        let held = hold()
        if let index = held.index { plan.candidates.release(index) }
        return held
    }
}

@Suite struct PrequalTests {
    @Test func amongColdOnesTheFastestIsChosen() {
        let world = World(backends: 3)
        world.tell(0, inFlight: 0, microseconds: 9_000)
        world.tell(1, inFlight: 0, microseconds: 3_000)
        world.tell(2, inFlight: 0, microseconds: 90_000)
        for _ in 0..<10 {
            let (index, pick) = world.pick()
            #expect(index == 1)
            #expect(!pick.isFallback && !pick.isHot)
            #expect((2_950...3_000).contains(pick.score))
        }
    }

    @Test func aHotOneIsPassedOverHoweverFastItIs() {
        let world = World(backends: 4)
        for backend in 1..<4 { for _ in 0..<10 { world.tell(backend, inFlight: 2, microseconds: 5_000) } }
        world.tell(0, inFlight: 50, microseconds: 100)
        let (index, pick) = world.pick()
        #expect(index != 0)
        #expect(!pick.isHot)
    }

    @Test func whereAllAreHotTheOneWithTheFewestInFlightIsChosen() {
        let world = World(backends: 3)
        // Earlier answers told of no load, so that now everybody has more than most.
        for _ in 0..<20 { for backend in 0..<3 { world.tell(backend, inFlight: 0, microseconds: 100) } }
        world.tell(0, inFlight: 9, microseconds: 100)
        world.tell(1, inFlight: 6, microseconds: 8_000)
        world.tell(2, inFlight: 30, microseconds: 10)
        let (index, pick) = world.pick()
        #expect(index == 1)
        #expect(pick.isHot)
    }

    @Test func aFewInFlightAreNeverMany() {
        let world = World(backends: 2)
        for _ in 0..<20 { for backend in 0..<2 { world.tell(backend, inFlight: 0, microseconds: 1_000) } }
        world.tell(0, inFlight: 4, microseconds: 100)
        #expect(world.pick().index == 0)
        world.tell(0, inFlight: 5, microseconds: 100)
        #expect(world.pick().index == 1)
    }

    /// Between two probes the process counts on by itself.
    @Test func itsOwnRequestsCountAtOnceAndEndAtOnce() {
        let world = World(backends: 2)
        for _ in 0..<20 { for backend in 0..<2 { world.tell(backend, inFlight: 8, microseconds: 1_000) } }
        world.tell(0, inFlight: 8, microseconds: 500)
        world.tell(1, inFlight: 8, microseconds: 1_000)
        #expect(world.hold().index == 0, "8 in flight is cold, 9 is hot")
        #expect(world.hold().index == 1)
        // Both are hot now, and equal: the faster one; then the other has fewer.
        #expect(world.hold().index == 0)
        #expect(world.hold().index == 1)
        for _ in 0..<2 { world.plan.candidates.release(0) }
        #expect(world.pick().index == 0)
    }

    @Test func ownRequestsThatABackendTellsOfAreNotCountedTwice() {
        let world = World(backends: 2)
        for _ in 0..<20 { for backend in 0..<2 { world.tell(backend, inFlight: 3, microseconds: 1_000) } }
        for _ in 0..<3 { #expect(world.plan.candidates.take(0)) }
        world.tell(0, inFlight: 3, microseconds: 500)
        world.tell(1, inFlight: 3, microseconds: 1_000)
        let (index, pick) = world.pick()
        #expect(index == 0 && !pick.isHot)
    }

    @Test func withoutTwoAnswersItFallsBack() {
        let world = World(backends: 3)
        #expect(world.pick().pick.isFallback)
        world.tell(0, inFlight: 0, microseconds: 10)
        #expect(world.pick().pick.isFallback)
        world.tell(1, inFlight: 0, microseconds: 10)
        #expect(!world.pick().pick.isFallback)
        world.now += ProbePool.ageLimitNanoseconds + 40 * millisecond
        #expect(world.pick().pick.isFallback, "answers age")
    }

    @Test func anAnswerIsUsedOnlySoOften() {
        let world = World(backends: 2)
        for backend in 0..<2 { world.tell(backend, inFlight: 0, microseconds: 10) }
        var byProbes = 0
        for _ in 0..<200 where !world.pick().pick.isFallback { byProbes += 1 }
        // Without traffic before, 16 times; then only one backend is known.
        #expect(byProbes == 16)
    }

    @Test func whoDoesNotAnswerIsForgotten() {
        let world = World(backends: 3)
        for backend in 0..<3 { world.tell(backend, inFlight: 0, microseconds: UInt32(backend) + 1) }
        #expect(world.pick().index == 0)
        world.book.forget(0)
        #expect(world.pick().index == 1)
        world.book.forget(1)
        #expect(world.pick().pick.isFallback)
    }

    @Test func oneThatTellsNoLoadSuspendsThePool() {
        let world = World(backends: 3)
        for backend in 0..<3 { world.tell(backend, inFlight: 0, microseconds: 10) }
        #expect(world.hasNoLoad(1))
        #expect(!world.hasNoLoad(1), "it is news once")
        #expect(world.pick().pick.isFallback)
        #expect(world.tell(1, inFlight: 0, microseconds: 5))
        let (index, pick) = world.pick()
        #expect(index == 1 && !pick.isFallback)
    }

    @Test func fullBackendsAndThoseWithoutAWeightAreNotChosen() {
        var shares = shares([1, 1, 1])
        shares[0].maxSessions = 1
        let plan = PolicyPlan(.prequal, shares)
        var book = ProbeBook(plan, mostPerSecond: 10, seed: 1, now: start)!
        for backend in 0..<3 {
            _ = book.answered(backend, inFlight: 0, latencyMicroseconds: UInt32(backend + 1), now: start)
        }
        var worker = PolicyState(plan, seed: 1)
        #expect(worker.hold(now: start) == 0)
        #expect(worker.pick(now: start) == 1)
    }

    @Test func whoIsWarmingUpGetsItsShareOnly() {
        let world = World(backends: 3)
        for backend in 0..<3 { world.tell(backend, inFlight: 0, microseconds: UInt32(backend * 1000)) }
        world.plan.candidates.change(0, from: .healthy, to: Standing(.warming, share: 64))
        var chosen = [0, 0, 0]
        for _ in 0..<400 {
            world.tell(0, inFlight: 0, microseconds: 0)
            world.tell(1, inFlight: 0, microseconds: 1000)
            chosen[world.pick().index!] += 1
        }
        #expect((60...140).contains(chosen[0]))
        #expect(chosen[0] + chosen[1] == 400)
    }

    @Test func backupsAreChosenWithoutProbes() {
        let world = World(backends: 1, backups: 1)
        var sequence = CandidateSequence()
        #expect(world.worker.take(&sequence, Choice(now: start)) == 0)
        #expect(world.worker.take(&sequence, Choice(now: start)) == 1)
        #expect(sequence.pick.isBackup && sequence.pick.isFallback)
    }

    // MARK: - The book

    @Test func everybodyIsAskedOnceBeforeAnybodyTwice() {
        let world = World(backends: 10, weights: [1, 1, 0, 1, 1, 1, 1, 1, 1, 1])
        for _ in 0..<5 {
            let asked = Set((0..<9).map { _ in world.book.nextBackend()! })
            #expect(asked == [0, 1, 3, 4, 5, 6, 7, 8, 9])
        }
    }

    /// Probes in one second, asked every 20 ms, while so many choices a second are made.
    private func probesInASecond(_ world: World, choices: Int) -> Int {
        var probes = 0
        for _ in 0..<50 {
            for _ in 0..<choices / 50 { _ = world.pick() }
            world.now += 20 * millisecond
            probes += world.book.probesDue(now: world.now)
        }
        return probes
    }

    @Test func theRateFollowsTheRequestsUpToItsLimit() {
        let world = World(backends: 20)
        #expect((3...4).contains(probesInASecond(world, choices: 0)))
        #expect((45...51).contains(probesInASecond(world, choices: 50)))
        #expect((95...101).contains(probesInASecond(world, choices: 5000)))
        #expect((3...5).contains(probesInASecond(world, choices: 0)))
        #expect(world.hasNoLoad(3))
        #expect((3...5).contains(probesInASecond(world, choices: 5000)), "it is of no use")
    }

    @Test func manyRequestsMayUseAnAnswerMoreOften() {
        let world = World(backends: 20)
        for _ in 0..<5 { _ = probesInASecond(world, choices: 5000) }
        for backend in 0..<2 { world.tell(backend, inFlight: 0, microseconds: 10) }
        var byProbes = 0
        for _ in 0..<2000 where !world.pick().pick.isFallback { byProbes += 1 }
        // 50 requests for each probe, times two.
        #expect((90...102).contains(byProbes))
    }

    @Test func aFullPoolReplacesTheOldestAndTheWorstInTurns() {
        let world = World(backends: 18)
        for backend in 0..<16 {
            world.now += 20 * millisecond
            world.tell(backend, inFlight: 0, microseconds: backend == 9 ? 50_000 : UInt32(100 + backend))
        }
        #expect(world.pick().index == 0)
        world.tell(16, inFlight: 0, microseconds: 5_000)
        #expect(world.pick().index == 1, "the oldest went")
        world.tell(17, inFlight: 0, microseconds: 5_000)
        let probes = world.plan.primaries.probes!
        let known = Set((0..<16).map { probes.load($0).backend })
        #expect(known == Set(1..<18).subtracting([9]), "the worst went")
    }

    @Test func aBackendHasOneAnswer() {
        let world = World(backends: 3)
        for round in 1...5 { world.tell(1, inFlight: 0, microseconds: UInt32(round)) }
        let probes = world.plan.primaries.probes!
        let known = (0..<16).map { probes.load($0) }.filter { !$0.isNone }
        #expect(known.map(\.backend) == [1])
        #expect(known[0].latencyMicroseconds == 5)
    }

    // MARK: - The word

    @Test func anAnswerKeepsWhatItHolds() {
        var random = RandomSource(seed: 8)
        for _ in 0..<10_000 {
            let backend = Int(random.next(below: 65_535))
            let others = Int(random.next(below: 4_000))
            let microseconds = UInt32(truncatingIfNeeded: random.next() >> (32 + random.next() % 32))
            let uses = 1 + Int(random.next(below: 2_000))
            let load = ProbedLoad(
                backend: backend, othersInFlight: others, latencyMicroseconds: microseconds, uses: uses,
                now: start)
            #expect(load.backend == backend)
            #expect(load.othersInFlight == min(others, 2047))
            #expect(load.usesLeft == min(uses, 1023))
            #expect(load.latencyMicroseconds <= microseconds)
            #expect(Double(load.latencyMicroseconds) >= Double(microseconds) * 0.984)
            #expect(load.age(now: start + 500 * millisecond) >= 480 * millisecond)
            #expect(load.age(now: start - 50 * millisecond) == 0, "who asks may be behind")
        }
    }

    @Test func codesOfLatenciesAreInTheirOrder() {
        var random = RandomSource(seed: 9)
        for _ in 0..<10_000 {
            let shift = random.next() % 32
            let (a, b) = (UInt32(random.next() >> (32 + shift)), UInt32(random.next() >> (32 + shift)))
            let codes = [min(a, b), max(a, b)].map {
                ProbedLoad(backend: 0, othersInFlight: 0, latencyMicroseconds: $0, uses: 1, now: 0)
                    .latencyCode
            }
            #expect(codes[0] <= codes[1])
        }
    }

    /// Whatever is told and used at the same time, a use is counted once and a choice is a backend of the pool.
    @Test func workersAndProberMeetWithoutALock() {
        let plan = PolicyPlan(.prequal, shares([1, 1, 1, 1]))
        onThreads(4) { thread in
            if thread == 0 {
                var book = ProbeBook(plan, mostPerSecond: 100, seed: 1, now: start)!
                for round in 0..<20_000 {
                    _ = book.answered(round % 4, inFlight: round % 7, latencyMicroseconds: 100, now: start)
                    if round % 11 == 0 { book.forget(round % 4) }
                }
            } else {
                var worker = PolicyState(plan, seed: UInt64(thread))
                for _ in 0..<20_000 { #expect((0..<4).contains(worker.pick(now: start)!)) }
            }
        }
        for index in 0..<4 { #expect(plan.candidates[index].active.load(ordering: .relaxed) == 0) }
    }
}
