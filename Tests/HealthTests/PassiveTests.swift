// What traffic makes of backends: ejection, its length and its bound, degrading, and many threads at once.

import Balancing
import Base
import Synchronization
import TestSupport
import Testing

@testable import Health

@Suite struct PassiveTests {
    private func rules(_ change: (inout PassiveRules) -> Void = { _ in }) -> HealthRules {
        var rules = HealthRules()
        change(&rules.passive!)
        return rules
    }

    @Test func fiveFailuresInARowEjectAtOnce() {
        var clinic = Clinic(rules())
        clinic.fail(1, times: 2)
        clinic.now += 1200 * millisecond
        clinic.fail(1, times: 2)
        #expect(clinic.state(1) == .healthy)
        clinic.fail(1)
        // Before any tick: the worker that saw the fifth did it.
        #expect(clinic.state(1) == .ejected)
        clinic.tick()
        #expect(clinic.lastText == "5 consecutive connect_refused in 1.2 s; back in 10 s")
        clinic.pass(9900 * millisecond)
        #expect(clinic.trial(1) == .none)
        clinic.pass(100 * millisecond)
        #expect(clinic.events.last == .trial(pool: 0, backend: 1, afterNanoseconds: 10 * second))
        clinic.pass(300 * millisecond)
        #expect(clinic.state(1) == .ejected)
        clinic.tryOut(1, passes: true)
        #expect(clinic.state(1) == .healthy)
        #expect(clinic.lastText == "a session on trial went well, 10.3 s after its ejection")
        // It begins with a clean sheet.
        clinic.fail(1, times: 4)
        #expect(clinic.state(1) == .healthy)
    }

    @Test func aSuccessBreaksTheRow() {
        let clinic = Clinic(rules())
        for _ in 0..<20 {
            clinic.fail(1, times: 4)
            clinic.succeed(1)
        }
        #expect(clinic.state(1) == .healthy)
    }

    @Test func offMeansThatNothingIsCounted() {
        var off = HealthRules()
        off.passive = nil
        let clinic = Clinic(off)
        clinic.fail(1, times: 1000)
        #expect(clinic.state(1) == .healthy)
        #expect(clinic.health.candidates.changes == 0)
    }

    @Test func theRateCountsWhereThereAreEnough() {
        var clinic = Clinic(
            rules {
                $0.consecutiveFailures = 0
                $0.failureRatePercent = 50
                $0.minimum = 20
                $0.window = 40
            })
        clinic.fail(0, times: 10)
        clinic.succeed(0, times: 9)
        #expect(clinic.state(0) == .healthy)
        // A success ejects nobody, the failure after it does.
        clinic.succeed(0)
        #expect(clinic.state(0) == .healthy)
        clinic.fail(0, .status5xx)
        #expect(clinic.state(0) == .ejected)
        clinic.tick()
        #expect(clinic.lastText == "11 of the last 21 failed, the last with status_5xx; back in 10 s")
    }

    @Test func theWindowForgetsWhatIsLongAgo() {
        let clinic = Clinic(
            rules {
                $0.consecutiveFailures = 0
                $0.failureRatePercent = 50
                $0.window = 64
            })
        clinic.fail(0, times: 9)
        clinic.succeed(0, times: 55)
        #expect(clinic.health.outcomes(0) == (9, 64))
        clinic.succeed(0, times: 9)
        #expect(clinic.health.outcomes(0) == (0, 64))
    }

    /// The window against a list that does the same.
    @Test(arguments: [1, 20, 63, 64, 65, 1000]) func theWindowIsTheLastOutcomes(size: Int) {
        let window = OutcomeWindow(size: size)
        var all: [Bool] = []
        var random = RandomSource(seed: 5)
        for step in 0..<5000 {
            let failed = random.next(below: 3) == 0
            window.note(failed: failed)
            all.append(failed)
            let last = all.suffix(size)
            #expect(window.counts == (last.filter { $0 }.count, last.count))
            if step % 1234 == 1233 {
                window.clear()
                all = []
                #expect(window.counts == (0, 0))
            }
        }
    }

    @Test func ejectionsGrowAndAreCapped() {
        var clinic = Clinic(rules { $0.longestEjectNanoseconds = 60 * second })
        for length in [10, 20, 40, 60, 60] as [UInt64] {
            clinic.fail(2, times: 5)
            clinic.tick()
            #expect(clinic.changes.last?.backInNanoseconds == length * second)
            clinic.pass(length * second - 100 * millisecond)
            #expect(clinic.trial(2) == .none)
            clinic.pass(100 * millisecond)
            clinic.tryOut(2, passes: true)
            #expect(clinic.state(2) == .healthy)
            clinic.pass(59 * second)
        }
        // Who has served for as long as an ejection can last is forgiven.
        clinic.pass(second)
        clinic.fail(2, times: 5)
        clinic.tick()
        #expect(clinic.changes.last?.backInNanoseconds == 10 * second)
        #expect(clinic.changes.last?.repetition == 1)
    }

    @Test func noEjectionIsLongerThanTheLongest() {
        var passive = PassiveRules()
        passive.ejectNanoseconds = 86_400 * second
        passive.longestEjectNanoseconds = 86_400 * second
        for number in [0, 1, 2, 63, 64, 65, 1_000_000] {
            #expect(passive.ejection(number: number) == 86_400 * second)
        }
    }

    @Test(arguments: [(1, 50, 0), (1, 100, 1), (2, 50, 1), (3, 50, 1), (10, 50, 5), (10, 34, 3)])
    func noMoreAreEjectedThanMayBe(backends: Int, percent: Int, most: Int) {
        var clinic = Clinic(rules { $0.maxEjectedPercent = percent }, backends: backends)
        for index in 0..<backends { clinic.fail(index, times: 100) }
        #expect((0..<backends).filter { clinic.state($0) == .ejected }.count == most)
        clinic.tick()
        // The next failure of one that is left ejects it as soon as there is a seat.
        if most > 0, most < backends {
            clinic.pass(10 * second)
            for index in 0..<backends { clinic.tryOut(index, passes: true) }
            #expect(clinic.health.ejectedCount == 0)
            clinic.fail(backends - 1)
            #expect(clinic.state(backends - 1) == .ejected)
        }
    }

    @Test func degradingHalvesTheWeightAndEnds() {
        var clinic = Clinic(rules { $0.degradePercent = 30 })
        clinic.succeed(0, times: 14)
        for _ in 0..<6 {
            clinic.fail(0)
            clinic.succeed(0)
        }
        clinic.fail(0, times: 4)
        #expect(clinic.state(0) == .degraded)
        #expect(clinic.share(0) == 128)
        clinic.tick()
        #expect(clinic.lastText == "9 of the last 29 failed, the last with connect_refused")
        clinic.succeed(0, times: 36)
        clinic.tick()
        #expect(clinic.state(0) == .degraded)
        clinic.succeed(0)
        clinic.tick()
        #expect(clinic.state(0) == .healthy)
        // Without any traffic it does not stay so either.
        for _ in 0..<10 {
            clinic.fail(0, times: 4)
            clinic.succeed(0)
        }
        #expect(clinic.state(0) == .degraded)
        clinic.pass(10 * second)
        #expect(clinic.lastText == "no failure for 10 s")
        #expect(clinic.health.outcomes(0) == (0, 0))
    }

    @Test func slowStartGrowsEvenly() {
        var slow = HealthRules()
        slow.slowStartNanoseconds = 20 * second
        var clinic = Clinic(slow)
        // Nobody starts slowly when all begin together.
        #expect(clinic.share(0) == 256)
        clinic.fail(0, times: 5)
        clinic.pass(10 * second)
        clinic.tryOut(0, passes: true)
        #expect(clinic.state(0) == .warming)
        #expect(clinic.share(0) == 26)
        clinic.pass(5 * second)
        #expect(clinic.share(0) == 64)
        clinic.pass(5 * second)
        #expect(clinic.share(0) == 128)
        clinic.pass(9900 * millisecond)
        #expect(clinic.share(0) == 254)
        clinic.pass(100 * millisecond)
        #expect(clinic.state(0) == .healthy)
        #expect(clinic.share(0) == 256)
        #expect(clinic.changes.map(\.to) == [.ejected, .warming, .healthy])
    }

    @Test func panicIsReported() {
        var clinic = Clinic(rules { $0.maxEjectedPercent = 100 }, backends: 4, panicPercent: 50)
        for index in 0..<3 { clinic.fail(index, times: 5) }
        clinic.tick()
        #expect(clinic.events.last == .panic(pool: 0, isOn: true, usable: 1, of: 4))
        clinic.pass(10 * second)
        // Who is on trial is not well yet.
        #expect(clinic.health.candidates.isPanicking)
        clinic.tryOut(0, passes: true)
        #expect(clinic.events.last == .panic(pool: 0, isOn: false, usable: 2, of: 4))
    }

    // MARK: Trials

    private func onTrial() -> Clinic {
        var clinic = Clinic(rules())
        clinic.fail(0, times: 5)
        clinic.pass(10 * second)
        return clinic
    }

    @Test func oneSessionAtATimeIsOnTrial() throws {
        var clinic = onTrial()
        #expect(clinic.share(0) == 256)
        let candidates = clinic.health.candidates
        let first = try #require(candidates.begin(0))
        #expect(candidates.begin(0) == nil)
        #expect(clinic.share(0) == 0)
        // It says nothing: the next one is let in, and the word of the first counts no more.
        clinic.health.endTrial(0, first)
        let second = try #require(candidates.begin(0))
        #expect(first != second)
        clinic.health.noteSuccess(0, trial: first)
        clinic.health.endTrial(0, first)
        #expect(candidates.standing(0) == second)
        clinic.health.noteSuccess(0, trial: second)
        #expect(candidates.begin(0) == nil)
        clinic.tick()
        #expect(clinic.state(0) == .healthy)
    }

    @Test func aFailureOnTrialEjectsAtOnceAndForLonger() {
        var clinic = onTrial()
        for length in [20, 40, 80] as [UInt64] {
            clinic.tryOut(0, passes: false, .timeout)
            #expect(clinic.lastText == "timeout_response_head on trial; back in \(length) s")
            #expect(clinic.trial(0) == .none)
            #expect(clinic.health.ejectedCount == 1)
            clinic.pass(length * second - 100 * millisecond)
            #expect(clinic.trial(0) == .none)
            clinic.pass(100 * millisecond)
            #expect(clinic.trial(0) == .open)
        }
    }

    @Test func whatSessionsFromBeforeDoDecidesNoTrial() throws {
        let clinic = onTrial()
        clinic.succeed(0, times: 3)
        #expect(clinic.trial(0) == .open)
        clinic.fail(0, times: 10)
        #expect(clinic.trial(0) == .open)
    }

    @Test func aTrialWithoutAWordGivesWay() throws {
        var clinic = onTrial()
        let silent = try #require(clinic.health.candidates.begin(0))
        clinic.pass(9900 * millisecond)
        #expect(clinic.trial(0) == .underWay)
        clinic.pass(200 * millisecond)
        #expect(clinic.trial(0) == .open)
        clinic.health.noteFault(0, .reset, trial: silent, now: clinic.now)
        #expect(clinic.trial(0) == .open)
    }

    // MARK: Threads

    /// Four workers see all backends fail, and a keeper readmits them all the time: the bound holds at every moment.
    @Test func theBoundHoldsWhateverWorkersDoAtOnce() {
        var quick = rules { $0.ejectNanoseconds = 1000 }
        quick.passive!.longestEjectNanoseconds = 1000
        quick.passive!.failureRatePercent = 50
        quick.passive!.degradePercent = 10
        let shares = (0..<10).map { BackendShare(identity: UInt64($0), weight: 1) }
        let health = PoolHealth(quick, PolicyPlan(.roundRobin, shares).candidates)
        #expect(health.mostEjected == 5)
        let clock = Atomic<UInt64>(1_000_000)
        let ejections = Atomic<Int>(0)
        let running = Atomic<Int>(4)
        onThreads(5) { number in
            if number == 4 {
                var keeper = Keeper([health])
                while running.load(ordering: .relaxed) > 0 {
                    // Nobody takes a seat twice, and nobody is out without one.
                    let out = (0..<10).filter { health.candidates.standing($0).state == .ejected }.count
                    #expect(out <= 5)
                    let now = clock.wrappingAdd(2000, ordering: .relaxed).newValue
                    keeper.tick(now: now) { event in
                        if case .change(let change) = event, change.to == .ejected {
                            ejections.wrappingAdd(1, ordering: .relaxed)
                        }
                    }
                }
                return
            }
            var random = RandomSource(seed: UInt64(number))
            for _ in 0..<300_000 {
                let index = Int(random.next(below: 10))
                if let trial = health.candidates.begin(index), trial != .noTrial {
                    switch random.next(below: 3) {
                    case 0: health.noteSuccess(index, trial: trial)
                    case 1: health.noteFault(index, .reset, trial: trial, now: clock.load(ordering: .relaxed))
                    default: health.endTrial(index, trial)
                    }
                } else if random.next(below: 10) == 0 {
                    health.noteSuccess(index)
                } else {
                    health.noteFault(index, .reset, now: clock.load(ordering: .relaxed))
                }
            }
            running.wrappingSubtract(1, ordering: .relaxed)
        }
        // At the end everything comes home.
        var keeper = Keeper([health])
        keeper.tick(now: clock.load(ordering: .relaxed)) { _ in }
        keeper.tick(now: clock.load(ordering: .relaxed) + second) { _ in }
        for index in 0..<10 {
            if let trial = health.candidates.begin(index), trial != .noTrial {
                health.noteSuccess(index, trial: trial)
            }
        }
        keeper.tick(now: clock.load(ordering: .relaxed) + 20 * second) { _ in }
        #expect(health.ejectedCount == 0)
        #expect((0..<10).allSatisfy { health.candidates.standing($0) == .healthy })
        #expect(health.candidates.excluded == Exclusions())
        #expect(ejections.load(ordering: .relaxed) > 10)
    }
}
