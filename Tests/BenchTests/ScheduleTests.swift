// The schedule of an open loop on a clock of its own: it keeps the rate, does not drift, and hands out late
// requests with the time at which they were to start.

import Base
import Bench
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct ScheduleTests {
    @Test(arguments: [0.5, 1, 3, 7, 999.7, 12_345, 1_000_000])
    func asManyRequestsStartAsTheRateSays(rate: Double) {
        let seconds: UInt64 = rate < 10 ? 100 : 2
        var schedule = Schedule(start: 5 * second, end: (5 + seconds) * second, rate: rate)
        var count: UInt64 = 0
        while schedule.take(now: .max) != nil { count += 1 }
        #expect(abs(Double(count) - rate * Double(seconds)) <= 1)
        #expect(schedule.startedCount == count && schedule.nextStart == nil)
    }

    @Test func nothingStartsBeforeItsTime() {
        var schedule = Schedule(start: 100, end: 100 + second, rate: 1000)
        #expect(schedule.take(now: 99) == nil)
        #expect(schedule.take(now: 100) == 100)
        #expect(schedule.take(now: 100 + 999_999) == nil)
        #expect(schedule.take(now: 100 + 1_000_000) == 100 + 1_000_000)
        #expect(schedule.nextStart == 100 + 2_000_000)
    }

    /// What a target that stands still for half a second would hide from a closed loop.
    @Test func whatWasDueDuringAStallKeepsItsIntendedStart() {
        var schedule = Schedule(start: 0, end: second, rate: 100)
        var now: UInt64 = 0
        for _ in 0..<10 {
            #expect(schedule.take(now: now) == now)
            now += 10_000_000
        }
        now += second / 2
        var starts: [UInt64] = []
        while let start = schedule.take(now: now) { starts.append(start) }
        #expect(starts == (10...60).map { UInt64($0) * 10_000_000 })
    }

    @Test(arguments: [1, 2, 3, 8])
    func threadsShareTheRequestsAndTogetherKeepTheRate(threads: Int) {
        var starts: [UInt64] = []
        for thread in 0..<threads {
            var schedule = Schedule(
                start: 7, end: 7 + second, rate: 1000, thread: thread, threads: threads)
            while let start = schedule.take(now: .max) { starts.append(start) }
        }
        #expect(starts.sorted() == (0..<1000).map { 7 + UInt64($0) * 1_000_000 })
    }

    @Test func noErrorAddsUpOverTenMillionRequests() {
        let rate = 333_333.3
        var schedule = Schedule(start: 0, end: .max / 2, rate: rate)
        var last: UInt64 = 0
        for _ in 0...10_000_000 { last = schedule.take(now: .max)! }
        #expect(abs(Double(last) - 10_000_000 * 1e9 / rate) <= 1)
    }
}
