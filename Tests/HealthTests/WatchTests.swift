// Checks that stand still are noticed, once.

import Testing

@testable import Health

@Suite struct WatchTests {
    @Test func aThreadThatHangsIsNoticedOnceAndItsReturnToo() {
        var watch = CheckWatch()
        var news: [CheckWatch.News] = []
        // It turns until second 5, hangs, and goes on at second 20.
        for tenth in UInt64(0)..<300 {
            let now = tenth * second / 10
            let turnedAt = now < 5 * second || now >= 20 * second ? now : 5 * second - second / 10
            if let one = watch.look(now: now, turnedAt: turnedAt, overdue: 0, failure: nil) {
                news.append(one)
            }
        }
        #expect(news == [.began(.stalled(nanoseconds: 3200 * millisecond)), .over])
    }

    @Test func aProcessThatWasStoppedIsNoTrouble() {
        var watch = CheckWatch()
        #expect(watch.look(now: 60 * second, turnedAt: second, overdue: 0, failure: nil) == nil)
        #expect(watch.look(now: 61 * second, turnedAt: 60 * second, overdue: 0, failure: nil) == nil)
    }

    @Test func checksThatDoNotEndAndRingsThatFailAreNoticed() {
        var watch = CheckWatch()
        _ = watch.look(now: second, turnedAt: second, overdue: 2, failure: nil)
        let overdue = watch.look(now: second, turnedAt: second, overdue: 2, failure: nil)
        #expect(overdue == .began(.overdue(2)))
        #expect(watch.look(now: second, turnedAt: second, overdue: 0, failure: nil) == .over)
        for _ in 0..<2 {
            let failed = watch.look(now: second, turnedAt: second, overdue: 0, failure: "gone")
            #expect(failed == nil || failed == .began(.failed("gone")))
        }
        #expect(watch.look(now: second, turnedAt: second, overdue: 0, failure: "gone") == nil)
    }
}
