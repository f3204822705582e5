// When backends are checked: spread, in time, and never twice at once.

import Base
import Testing

@testable import Health

@Suite struct ScheduleTests {
    private func schedule(_ count: Int, jitter: Int = 10) -> CheckSchedule {
        CheckSchedule(
            Array(repeating: (intervalNanoseconds: second, jitterPercent: jitter), count: count), seed: 5,
            now: 0)
    }

    /// Asks whenever somebody is due, looking every ten milliseconds; answers when each was asked.
    private func times(_ schedule: inout CheckSchedule, targets: Int, until end: UInt64) -> [[UInt64]] {
        var times = [[UInt64]](repeating: [], count: targets)
        var now: UInt64 = 0
        while now < end {
            while let target = schedule.next(now: now) { times[target].append(now) }
            now += 10 * millisecond
        }
        return times
    }

    @Test func aThousandAreNotAskedAtOnce() {
        var schedule = schedule(1000)
        let asked = times(&schedule, targets: 1000, until: 20 * second)
        var perTenth = [Int](repeating: 0, count: 200)
        for time in asked.joined() { perTenth[Int(time / (100 * millisecond))] += 1 }
        // A hundred in each tenth of a second; chance spreads them a little.
        #expect(perTenth.allSatisfy { (50...150).contains($0) })
    }

    @Test(arguments: [0, 10, 50]) func intervalsAreKeptButForTheJitter(jitter: Int) {
        var schedule = schedule(50, jitter: jitter)
        let asked = times(&schedule, targets: 50, until: 60 * second)
        let slack = 1000 * jitter / 100 + 10
        for times in asked {
            #expect(times[0] <= second)
            let gaps = zip(times.dropFirst(), times).map { Int(($0 - $1) / millisecond) }
            #expect(gaps.allSatisfy { (1000 - slack...1000 + slack).contains($0) })
            #expect(abs(times.count - 60) <= 60 * jitter / 100 + 2)
        }
    }

    /// The thread was held up for a minute: everybody is asked once, not sixty times.
    @Test func whatWasMissedIsNotMadeUpFor() {
        var schedule = schedule(10, jitter: 0)
        _ = times(&schedule, targets: 10, until: 2 * second)
        var asked = 0
        while schedule.next(now: 60 * second) != nil { asked += 1 }
        #expect(asked == 10)
        #expect(schedule.nextAt > 60 * second)
        while schedule.next(now: 61 * second - 100 * millisecond) != nil { asked += 1 }
        #expect((12..<20).contains(asked))
    }

    @Test func differentIntervalsGoTheirOwnWays() {
        var schedule = CheckSchedule(
            [(second, 0), (5 * second, 0), (60 * second, 0)], seed: 1, now: 0)
        let asked = times(&schedule, targets: 3, until: 300 * second).map(\.count)
        #expect(asked == [300, 60, 5])
    }

    @Test func withoutTargetsNobodyIsEverDue() {
        var schedule = schedule(0)
        #expect(schedule.next(now: 1 << 60) == nil)
        #expect(schedule.nextAt == UInt64.max)
    }
}
