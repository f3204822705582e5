// The timer wheel against a model that keeps every deadline in an array: never early, at most one tick late,
// and its next deadline never after the moment at which the earliest timer fires.

import Base
import Testing

private let tick: UInt64 = 1 << 23
private let second: UInt64 = 1_000_000_000

/// The wheel and the model side by side.
private struct Bench: ~Copyable {
    var wheel: TimerWheel
    /// The deadline of each timer that is set.
    var deadlines: [UInt64?]
    var now: UInt64

    init(capacity: Int, now: UInt64) {
        wheel = TimerWheel(capacity: capacity, now: now)
        deadlines = Array(repeating: nil, count: capacity)
        self.now = now
    }

    var earliest: UInt64? { deadlines.compactMap { $0 }.min() }

    mutating func set(_ timer: UInt32, _ deadline: UInt64) {
        wheel.set(timer, deadline: deadline)
        // One that is past already fires at the next tick.
        deadlines[Int(timer)] = max(deadline, now)
    }

    mutating func clear(_ timer: UInt32) {
        wheel.clear(timer)
        deadlines[Int(timer)] = nil
    }

    mutating func advance(to time: UInt64) {
        now = time
        while let timer = wheel.popExpired(now: time) {
            if let deadline = deadlines[Int(timer)] {
                #expect(deadline <= time, "timer \(timer) is early")
            } else {
                Issue.record("timer \(timer) fired without being set")
            }
            deadlines[Int(timer)] = nil
        }
        if let earliest { #expect(earliest + tick > time, "late by \(time &- earliest)") }
        check()
    }

    func check() {
        let (count, next) = (wheel.count, wheel.nextDeadline())
        #expect(count == deadlines.count { $0 != nil })
        guard let earliest else {
            #expect(next == nil)
            return
        }
        // A timer fires with the first tick that is not before its deadline; one that was set for the past
        // fires with the tick after the present one.
        if let next {
            #expect(next < earliest + tick)
        } else {
            Issue.record("timers are set but there is no next deadline")
        }
    }
}

@Suite struct TimerWheelTests {
    @Test func aTimerFiresOnceAtItsDeadline() {
        var wheel = TimerWheel(capacity: 4, now: 1000)
        wheel.set(2, deadline: 1000 + second)
        let early = wheel.popExpired(now: 1000 + second - 1)
        let onTime = wheel.popExpired(now: 1000 + second + tick)
        let again = wheel.popExpired(now: 1000 + 100 * second)
        #expect(early == nil && onTime == 2 && again == nil)
        let (isSet, count, next) = (wheel.isSet(2), wheel.count, wheel.nextDeadline())
        #expect(!isSet && count == 0 && next == nil)
    }

    @Test func settingAgainReplacesAndClearingForgets() {
        var wheel = TimerWheel(capacity: 4, now: 0)
        wheel.set(0, deadline: second)
        wheel.set(0, deadline: 3 * second)
        wheel.set(1, deadline: second)
        for timer in [1, 1, 3] as [UInt32] { wheel.clear(timer) }
        let count = wheel.count
        #expect(count == 1)
        let early = wheel.popExpired(now: 2 * second)
        let onTime = wheel.popExpired(now: 3 * second + tick)
        #expect(early == nil && onTime == 0)
    }

    @Test func aDeadlineInThePastFiresAtTheNextTick() {
        var wheel = TimerWheel(capacity: 2, now: 50 * second)
        let nothing = wheel.popExpired(now: 60 * second)
        #expect(nothing == nil)
        wheel.set(0, deadline: 0)
        wheel.set(1, deadline: 55 * second)
        var fired: Set<UInt32> = []
        while let timer = wheel.popExpired(now: 60 * second + tick) { fired.insert(timer) }
        #expect(fired == [0, 1])
    }

    @Test func timeThatStandsStillOrGoesBackFiresNothing() {
        var wheel = TimerWheel(capacity: 2, now: 10 * second)
        wheel.set(0, deadline: 11 * second)
        let fired = [10, 0, 12, 3].map { wheel.popExpired(now: $0 * second) }
        #expect(fired == [nil, nil, 0, nil])
    }

    /// Sleeps exactly until what the wheel asks for, as the worker does.
    @Test(
        arguments: [
            1, tick - 1, tick, tick + 1, 63 * tick, 64 * tick, 65 * tick, 4095 * tick, 4096 * tick,
            5000 * tick, 262_143 * tick, 262_144 * tick, tick << 24, (1 << 24 + 12_345) * tick,
            40 * 3600 * second, 400 * 3600 * second,
        ] as [UInt64])
    func sleepingUntilTheNextDeadlineFiresOnTime(after distance: UInt64) {
        for start in [0, 1, 77 * second, 63 * tick, 64 * tick - 1] as [UInt64] {
            var wheel = TimerWheel(capacity: 1, now: 0)
            var fired = wheel.popExpired(now: start)
            wheel.set(0, deadline: start + distance)
            var wakes = 0
            var now = start
            while fired == nil, wakes < 1000 {
                guard let next = wheel.nextDeadline() else { break }
                #expect(next > now)
                now = max(next, now)
                wakes += 1
                fired = wheel.popExpired(now: now)
            }
            #expect(fired == 0)
            #expect(now >= start + distance && now < start + distance + tick)
            #expect(wakes < 64)
        }
    }

    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func randomUseAgreesWithTheModel(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let capacity: UInt32 = 100
        var bench = Bench(capacity: Int(capacity), now: random.next() >> 8)
        // Each seed has its own scale of deadlines and of steps, from a tick to beyond the wheel's span.
        let deadlineScale = UInt64(1) << (20 + UInt64(random.next(below: 31)))
        let stepScale = UInt64(1) << (18 + UInt64(random.next(below: 33)))
        for _ in 0..<1000 {
            switch random.next(below: 10) {
            case 0..<5:
                bench.set(random.next(below: capacity), bench.now + random.next() % deadlineScale)
            case 5: bench.clear(random.next(below: capacity))
            case 6:
                if let next = bench.wheel.nextDeadline(), next > bench.now { bench.advance(to: next) }
            default: bench.advance(to: bench.now + random.next() % stepScale)
            }
        }
        bench.advance(to: bench.now + deadlineScale + tick)
        #expect(bench.earliest == nil)
    }

    /// Sleeping by the wheel's word alone brings every timer on time.
    @Test(arguments: 100...130 as ClosedRange<UInt64>)
    func nothingIsMissedBySleepingUntilTheNextDeadline(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var bench = Bench(capacity: 100, now: random.next() >> 8)
        for timer in 0..<UInt32(100) {
            let scale = UInt64(1) << (10 + UInt64(random.next(below: 41)))
            bench.set(timer, bench.now + random.next() % scale)
        }
        var wakes = 0
        while let next = bench.wheel.nextDeadline(), wakes < 10_000 {
            bench.advance(to: max(next, bench.now))
            wakes += 1
        }
        #expect(bench.earliest == nil)
        #expect(wakes < 1000)
    }
}
