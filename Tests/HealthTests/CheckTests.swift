// Verdicts of active checks, and what becomes of a backend by them.

import Balancing
import Testing

@testable import Health

@Suite struct CheckTests {
    private func clinic() -> Clinic {
        var rules = HealthRules()
        rules.checks = CheckRules(fall: 3, rise: 2)
        return Clinic(rules)
    }

    @Test func theFirstCheckDecidesAlone() {
        var clinic = clinic()
        clinic.check(0, passes: true)
        clinic.check(1, passes: false)
        #expect(clinic.state(0) == .healthy)
        #expect(clinic.state(1) == .unhealthy)
        #expect(clinic.lastText == "1 check failed: timeout")
    }

    @Test func fallAndRiseCountInARow() {
        var clinic = clinic()
        clinic.check(0, passes: true)
        for _ in 0..<5 {
            clinic.check(0, passes: false, times: 2)
            clinic.check(0, passes: true)
        }
        #expect(clinic.changes.isEmpty)
        clinic.check(0, passes: false, times: 3)
        #expect(clinic.state(0) == .unhealthy)
        #expect(clinic.lastText == "3 consecutive checks failed: timeout")
        for _ in 0..<5 {
            clinic.check(0, passes: true)
            clinic.check(0, passes: false)
        }
        #expect(clinic.changes.count == 1)
        clinic.check(0, passes: true, times: 2)
        #expect(clinic.state(0) == .healthy)
        #expect(clinic.lastText == "2 consecutive checks passed")
    }

    @Test func passingChecksReadmitBeforeTheTime() {
        var clinic = clinic()
        clinic.check(0, passes: true, times: 10)
        clinic.fail(0, times: 5)
        clinic.tick()
        // What passed before does not count.
        clinic.check(0, passes: true)
        #expect(clinic.state(0) == .ejected)
        clinic.check(0, passes: true)
        #expect(clinic.state(0) == .healthy)
        #expect(clinic.health.ejectedCount == 0)
    }

    @Test func anEjectedOneWhoseChecksFailWaitsForThem() {
        var clinic = clinic()
        clinic.check(0, passes: true)
        clinic.fail(0, times: 5)
        clinic.check(0, passes: false, times: 3)
        #expect(clinic.state(0) == .unhealthy)
        #expect(clinic.health.ejectedCount == 0)
        clinic.pass(60 * second)
        #expect(clinic.state(0) == .unhealthy)
        clinic.check(0, passes: true, times: 2)
        #expect(clinic.state(0) == .healthy)
    }

    @Test func checksDoNotOverruleAnOperator() {
        var clinic = clinic()
        clinic.order(.drain, 0)
        clinic.check(0, passes: false, times: 3)
        clinic.check(0, passes: true, times: 3)
        #expect(clinic.state(0) == .draining)
        clinic.check(0, passes: false, times: 3)
        clinic.order(.enable, 0)
        #expect(clinic.state(0) == .unhealthy)
    }

    @Test func whoIsDisabledIsNotKnownToFailAnyMore() {
        var clinic = clinic()
        clinic.check(0, passes: false, times: 3)
        clinic.order(.disable, 0)
        #expect(clinic.state(0) == .disabled)
        clinic.order(.enable, 0)
        #expect(clinic.state(0) == .healthy)
    }

    /// A worker may eject between what the keeper saw and what it does: better is not made of worse unseen.
    @Test func whatAWorkerDidMeanwhileIsNotOverwritten() {
        var slow = HealthRules()
        slow.slowStartNanoseconds = second
        var clinic = Clinic(slow)
        clinic.fail(0, times: 5)
        clinic.pass(10 * second)
        clinic.tryOut(0, passes: true)
        #expect(clinic.state(0) == .warming)
        clinic.now += second
        clinic.fail(0, times: 5)
        clinic.tick()
        #expect(clinic.state(0) == .ejected)
    }
}
