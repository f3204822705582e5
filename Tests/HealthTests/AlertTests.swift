// When alerts begin and end.

import Testing

@testable import Health

@Suite struct AlertTests {
    /// A pool that is looked at every tenth of a second.
    private struct Post {
        var watch = AlertWatch(errorRatePercent: 5, now: 1000 * second)
        var sight = PoolSight(usable: 3, backends: 3, tries: 0, failures: 0)
        var now: UInt64 = 1000 * second
        var alerts: [Alert] = []

        mutating func pass(_ nanoseconds: UInt64, tries: UInt64 = 0, failures: UInt64 = 0) {
            for _ in 0..<(nanoseconds / (100 * millisecond)) {
                now += 100 * millisecond
                sight.tries += tries
                sight.failures += failures
                alerts += watch.look(sight, now: now)
            }
        }

        var told: [String] { alerts.map { ($0.isOver ? "-" : "+") + "\($0.condition.name)" } }
    }

    @Test func oneLeftAndNobodyAreToldAtOnceAndOverAfterTenCalmSeconds() {
        var post = Post()
        post.pass(second)
        #expect(post.alerts.isEmpty)
        post.sight.usable = 1
        post.pass(100 * millisecond)
        #expect(post.told == ["+one_backend_left"])
        #expect(post.alerts[0].text == "1 of 3 backends usable")
        post.sight.usable = 0
        post.pass(5 * second)
        #expect(post.told == ["+one_backend_left", "+no_usable_backend"])
        post.sight.usable = 3
        // One alert ends ten seconds after one was left last, the other ten after nobody was.
        post.pass(4900 * millisecond)
        #expect(post.alerts.count == 2)
        post.pass(200 * millisecond)
        #expect(post.told[2...] == ["-one_backend_left"])
        post.pass(5 * second)
        #expect(post.told[3...] == ["-no_usable_backend"])
        #expect(post.alerts[3].text == "over after 4 s: 3 of 3 backends usable")
    }

    @Test func toAndFroIsOneAlert() {
        var post = Post()
        for _ in 0..<20 {
            post.sight.usable = 1
            post.pass(second)
            post.sight.usable = 2
            post.pass(5 * second)
        }
        #expect(post.told == ["+one_backend_left"])
        post.pass(10 * second)
        #expect(post.told == ["+one_backend_left", "-one_backend_left"])
    }

    @Test func aPoolOfOneIsNotOneLeft() {
        var post = Post()
        post.sight = PoolSight(usable: 1, backends: 1, tries: 0, failures: 0)
        post.pass(second)
        #expect(post.alerts.isEmpty)
        post.sight.usable = 0
        post.pass(second)
        #expect(post.told == ["+no_usable_backend"])
    }

    @Test func aPoolWithoutAnyBackendIsNoTrouble() {
        var post = Post()
        post.sight = PoolSight(usable: 0, backends: 0, tries: 0, failures: 0)
        post.pass(second)
        #expect(post.alerts.isEmpty)
    }

    @Test func theRateIsOfTenSecondsAndLastsUntilItIsHalf() {
        var post = Post()
        // 4.9 % are not enough.
        post.pass(20 * second, tries: 1000, failures: 49)
        #expect(post.alerts.isEmpty)
        post.pass(20 * second, tries: 1000, failures: 60)
        #expect(post.told == ["+error_rate"])
        let first = post.alerts[0]
        #expect(first.failures * 100 >= first.tries * 5)
        #expect(first.tries >= 100_000 && first.tries <= 111_000)
        // 3 % are more than half of it.
        post.pass(60 * second, tries: 1000, failures: 30)
        #expect(post.alerts.count == 1)
        post.pass(30 * second, tries: 1000, failures: 10)
        #expect(post.told == ["+error_rate", "-error_rate"])
    }

    @Test func aFewTriesHaveNoRate() {
        var post = Post()
        post.pass(100 * millisecond)
        post.sight.tries = 19
        post.sight.failures = 19
        post.pass(5 * second)
        #expect(post.alerts.isEmpty)
        post.sight.tries = 20
        post.pass(100 * millisecond)
        #expect(post.told == ["+error_rate"])
        #expect(post.alerts[0].text == "19 of 20 tries failed in 10 s")
        // No traffic at all is not a high rate.
        post.pass(25 * second)
        #expect(post.told == ["+error_rate", "-error_rate"])
    }

    @Test func afterAReloadAlertsGoOnAndRatesAreOfWhatComes() {
        var post = Post()
        post.sight.usable = 1
        post.pass(30 * second, tries: 1000)
        #expect(post.told == ["+one_backend_left"])
        post.watch.countAnew()
        // One that failed often has come, one that was asked often has gone.
        post.sight = PoolSight(usable: 1, backends: 3, tries: 900, failures: 700)
        post.pass(second, tries: 10)
        #expect(post.told == ["+one_backend_left"])
        post.sight.usable = 3
        post.pass(11 * second)
        #expect(post.told == ["+one_backend_left", "-one_backend_left"])
    }

    @Test func aPoolThatGoesEndsItsAlerts() {
        var post = Post()
        post.sight.usable = 0
        post.pass(second)
        #expect(post.told == ["+no_usable_backend"])
        post.alerts += post.watch.end()
        #expect(post.told == ["+no_usable_backend", "-no_usable_backend"])
        #expect(post.watch.end().isEmpty)
    }

    @Test func whatHappenedBeforeTheFirstLookCounts() {
        var post = Post()
        post.pass(100 * millisecond, tries: 60, failures: 20)
        #expect(post.told == ["+error_rate"])
    }
}
