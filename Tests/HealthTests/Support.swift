// What the tests of this folder share: a pool with health, its keeper, and a clock that they set.

import Balancing
import Base
import Testing

@testable import Health

let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000

struct Arrow: Hashable {
    var from: BackendState
    var to: BackendState
}

/// What an operator may say of a backend.
enum Order {
    case enable, drain, disable
}

struct Clinic {
    private(set) var health: PoolHealth
    var keeper: Keeper
    var now: UInt64 = 1000 * second
    var events: [HealthEvent] = []

    init(_ rules: HealthRules, backends: Int = 4, panicPercent: Int = 0) {
        let shares = (0..<backends).map { BackendShare(identity: UInt64($0), weight: 1) }
        let plan = PolicyPlan(.roundRobin, shares, panicPercent: panicPercent)
        health = PoolHealth(rules, plan.candidates)
        keeper = Keeper([health])
        tick()
    }

    mutating func tick() { keeper.tick(now: now) { events.append($0) } }

    /// Ticks every tenth of a second.
    mutating func pass(_ nanoseconds: UInt64) {
        let end = now + nanoseconds
        while now < end {
            now = min(now + 100 * millisecond, end)
            tick()
        }
    }

    func fail(_ index: Int, times: Int = 1, _ fault: Fault = .connectRefused) {
        for _ in 0..<times { health.noteFault(index, fault, now: now) }
    }

    func succeed(_ index: Int, times: Int = 1) {
        for _ in 0..<times { health.noteSuccess(index) }
    }

    /// A session that is the trial of a backend; nothing where it is not to be had.
    mutating func tryOut(_ index: Int, passes: Bool, _ fault: Fault = .connectRefused) {
        if let trial = health.candidates.begin(index), trial != .noTrial {
            if passes {
                health.noteSuccess(index, trial: trial)
            } else {
                health.noteFault(index, fault, trial: trial, now: now)
            }
        }
        tick()
    }

    func trial(_ index: Int) -> Standing.Trial { health.candidates.standing(index).trial }

    mutating func check(_ index: Int, passes: Bool, times: Int = 1) {
        for _ in 0..<times {
            keeper.noteCheck(pool: 0, backend: index, failure: passes ? nil : "timeout", now: now) {
                events.append($0)
            }
        }
    }

    /// An operator's word, as the next configuration brings it.
    mutating func order(_ order: Order, _ index: Int) {
        var orders = (0..<health.candidates.count).map { state($0).isOrdered ? state($0) : nil }
        switch order {
        case .enable: orders[index] = nil
        case .drain: orders[index] = .draining
        case .disable: orders[index] = .disabled
        }
        follow(orders)
    }

    /// Another version of the pool, in which operators want this of backends; those of `joining` are new in it.
    mutating func follow(_ orders: [BackendState?], joining: Set<Int> = []) {
        let shares = orders.indices.map { BackendShare(identity: UInt64($0), weight: 1) }
        let next = PoolHealth(
            health.rules, PolicyPlan(.roundRobin, shares, panicPercent: 0).candidates)
        for index in orders.indices where !joining.contains(index) {
            next.inherit(index, from: health, index)
        }
        for (index, state) in orders.enumerated() {
            if let state { next.order(index, state) }
        }
        keeper.follow(
            [
                Keeper.Succession(
                    next, before: 0, isSame: false,
                    backends: orders.indices.map { joining.contains($0) ? nil : $0 })
            ], now: now
        ) { events.append($0) }
        health = next
    }

    func state(_ index: Int) -> BackendState { health.candidates.standing(index).state }
    func share(_ index: Int) -> Int { health.candidates.standing(index).share }

    var changes: [HealthChange] {
        events.compactMap { if case .change(let change) = $0 { change } else { nil } }
    }
    var arrows: Set<Arrow> { Set(changes.map { Arrow(from: $0.from, to: $0.to) }) }
    var lastText: String { changes.last?.text ?? "" }
}

/// Everything on: five in a row, or half of twenty.
func everything(slowStart: UInt64 = 0) -> HealthRules {
    var rules = HealthRules()
    rules.passive!.failureRatePercent = 50
    rules.passive!.degradePercent = 30
    rules.checks = CheckRules()
    rules.slowStartNanoseconds = slowStart
    return rules
}
