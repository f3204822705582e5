// What a process takes over from the one before: who was out stays out until what ends that has happened.

import Balancing
import Testing

@testable import Health

@Suite struct AdoptionTests {
    private func rules(
        isChecked: Bool = false, _ change: (inout PassiveRules) -> Void = { _ in }
    ) -> HealthRules {
        var rules = HealthRules()
        rules.passive?.consecutiveFailures = 1
        change(&rules.passive!)
        if isChecked { rules.checks = CheckRules(fall: 3, rise: 2) }
        return rules
    }

    private func adopting(
        _ states: [BackendState], _ rules: HealthRules, backends: Int = 4
    ) -> Clinic {
        var clinic = Clinic(rules, backends: backends)
        for (index, state) in states.enumerated() {
            clinic.keeper.adopt(state, pool: 0, backend: index, now: clinic.now) { clinic.events.append($0) }
        }
        clinic.tick()
        return clinic
    }

    private func state(_ clinic: Clinic, _ index: Int) -> BackendState {
        clinic.health.candidates.standing(index).state
    }

    @Test func whoWasEjectedIsOutForItsTimeAndThenOnTrial() {
        var clinic = adopting([.ejected], rules { $0.ejectNanoseconds = 5 * second })
        #expect(clinic.changes.map(\.cause) == [.handedOver])
        #expect(clinic.changes[0].backInNanoseconds == 5 * second)
        clinic.pass(4 * second)
        clinic.tryOut(0, passes: true)
        #expect(state(clinic, 0) == .ejected)
        clinic.pass(2 * second)
        clinic.tryOut(0, passes: true)
        #expect(state(clinic, 0) == .healthy)
    }

    @Test func noMoreAreEjectedThanMayBe() {
        let clinic = adopting(
            [.ejected, .ejected, .ejected, .ejected], rules { $0.maxEjectedPercent = 50 })
        #expect((0..<4).filter { state(clinic, $0) == .ejected }.count == 2)
        #expect(clinic.health.ejectedCount == 2)
    }

    @Test func whoFailedItsChecksIsOutUntilOnePasses() {
        var clinic = adopting([.unhealthy, .unhealthy], rules(isChecked: true))
        #expect(state(clinic, 0) == .unhealthy && state(clinic, 1) == .unhealthy)
        clinic.keeper.noteCheck(pool: 0, backend: 0, failure: nil, now: clinic.now) { _ in }
        clinic.keeper.noteCheck(pool: 0, backend: 1, failure: "refused", now: clinic.now) { _ in }
        #expect(state(clinic, 0) == .healthy && state(clinic, 1) == .unhealthy)
    }

    @Test func whatCouldNeverEndIsNotTakenOver() {
        var unguarded = HealthRules()
        unguarded.passive = nil
        let clinic = adopting([.unhealthy, .ejected], unguarded)
        #expect(clinic.changes.isEmpty)
        #expect(state(clinic, 0) == .healthy && state(clinic, 1) == .healthy)
    }

    @Test func anOperatorsWordHolds() {
        var clinic = Clinic(rules(isChecked: true))
        for index in 0..<2 {
            clinic.health.candidates.change(index, from: .healthy, to: Standing(.disabled))
        }
        for (index, state) in [BackendState.unhealthy, .ejected].enumerated() {
            clinic.keeper.adopt(state, pool: 0, backend: index, now: clinic.now) { clinic.events.append($0) }
        }
        #expect(state(clinic, 0) == .disabled && state(clinic, 1) == .disabled)
        #expect(clinic.health.ejectedCount == 0)
    }

    @Test func anOperatorsWordIsTheConfigurations() {
        var clinic = Clinic(rules(isChecked: true))
        clinic.order(.drain, 0)
        clinic.keeper.adopt(.unhealthy, pool: 0, backend: 0, now: clinic.now) { _ in }
        clinic.keeper.adopt(.draining, pool: 0, backend: 1, now: clinic.now) { _ in }
        #expect(state(clinic, 0) == .draining && state(clinic, 1) == .healthy)
    }
}
