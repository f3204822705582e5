// Whatever time and checks do to backends, and nobody else: it notices what workers did, ends ejections, warms up, and
// turns verdicts of checks into states. One thread drives it, with the clock passed in.
//
//   tick(now) -> what changed since the last one is noticed -> those that wait for a time are advanced
//   follow(configuration) -> what operators want of backends is noticed, and whom they give back comes back

import Balancing
import Base

public struct Keeper {
    private var pools: [PoolKeeper]

    public init(_ pools: [PoolHealth]) { self.pools = pools.map(PoolKeeper.init) }

    /// A pool of another configuration: where it was before, and where each of its backends was; nil for what is new.
    public struct Succession: Sendable {
        public var health: PoolHealth
        public var before: Int?
        /// Nothing of it has changed.
        public var isSame: Bool
        public var backends: [Int?]

        public init(_ health: PoolHealth, before: Int?, isSame: Bool, backends: [Int?]) {
            self.health = health
            self.before = before
            self.isSame = isSame
            self.backends = backends
        }
    }

    /// Another configuration holds, which nobody has used yet. What is known of backends that it keeps goes on.
    public mutating func follow(
        _ successions: [Succession], now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        let old = pools
        pools = successions.map { succession in
            guard let before = succession.before else { return PoolKeeper(succession.health) }
            if succession.isSame { return old[before] }
            return PoolKeeper(succession.health, after: old[before], succession.backends)
        }
        for (index, succession) in successions.enumerated() {
            guard let before = succession.before, !succession.isSame else { continue }
            pools[index].obey(index, after: old[before], succession.backends, now, report)
        }
    }

    /// The process whose place this one takes had found a backend unhealthy or ejected. It stays so here until what ends
    /// that has happened; where nothing could, and where an operator has another word, it is left alone. Before any
    /// worker serves.
    public mutating func adopt(
        _ state: BackendState, pool: Int, backend: Int, now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        pools[pool].adopt(state, pool, backend, now, report)
    }

    /// Call it about every tenth of a second; what is due happens then.
    public mutating func tick(now: UInt64, _ report: (HealthEvent) -> Void) {
        for pool in pools.indices { pools[pool].tick(pool, now, report) }
    }

    /// An active check has ended; `failure` says why it failed, nil that it passed.
    public mutating func noteCheck(
        pool: Int, backend: Int, failure: String?, now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        pools[pool].noteCheck(pool, backend, failure, now, report)
    }
}

/// What the keeper remembers of one backend.
private struct KeptBackend {
    /// The state that was seen last, and since when.
    var state = BackendState.healthy
    var since: UInt64 = 0
    /// When it came into rotation last.
    var servesSince: UInt64 = 0
    /// Ejections that followed each other, and the length of the last one.
    var ejections = 0
    var ejectionNanoseconds: UInt64 = 0
    /// It has been on trial since it was ejected last.
    var wasOnTrial = false
    /// The trial that is under way, as far as was seen, and since when.
    var trial = Standing.noTrial
    var trialSince: UInt64 = 0
    var checks = CheckCount()
}

private struct PoolKeeper {
    let health: PoolHealth
    private var backends: [KeptBackend]
    /// Those in a state that time ends.
    private var waiting: [Int] = []
    private var changesSeen: UInt64 = 0
    private var isPanicking = false

    private var candidates: Candidates { health.candidates }
    private var passive: PassiveRules { health.rules.passive ?? PassiveRules() }

    init(_ health: PoolHealth) {
        self.health = health
        backends = (0..<health.candidates.count).map {
            KeptBackend(state: health.candidates.standing($0).state)
        }
    }

    init(_ health: PoolHealth, after before: PoolKeeper, _ places: [Int?]) {
        self.init(health)
        isPanicking = before.isPanicking
        for (index, place) in places.enumerated() {
            guard let place else { continue }
            backends[index] = before.backends[place]
            // Where `PoolHealth.inherit` made it another one, as that says.
            backends[index].state = health.candidates.standing(index).state
            backends[index].trial = .noTrial
            // Who is not checked any more is asked anew when it is.
            let isChecked = health.rules.checks != nil && backends[index].state != .disabled
            if !isChecked { backends[index].checks = CheckCount() }
        }
    }

    // MARK: - Time

    mutating func tick(_ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void) {
        notice(pool, now, report)
        for index in waiting { advance(index, pool, now, report) }
        notice(pool, now, report)
    }

    /// Looks at all only where something changed. What changes meanwhile is seen the next time.
    private mutating func notice(_ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void) {
        let changes = candidates.changes
        if changes == changesSeen { return }
        changesSeen = changes
        waiting = []
        for index in backends.indices {
            let standing = candidates.standing(index)
            let state = standing.state
            // The trial has failed where it is over and the backend still out.
            let isOutAgain = state == .ejected && backends[index].wasOnTrial && standing.trial == .none
            if state != backends[index].state || isOutAgain {
                noticeFailures(index, state, pool, now, report)
            }
            if [.ejected, .warming, .degraded].contains(state) { waiting.append(index) }
        }
        let isPanicking = candidates.isPanicking
        guard isPanicking != self.isPanicking else { return }
        self.isPanicking = isPanicking
        let usable = backends.filter { !$0.state.takesNothing }.count
        report(.panic(pool: pool, isOn: isPanicking, usable: usable, of: backends.count))
    }

    /// A worker has ejected or degraded it.
    private mutating func noticeFailures(
        _ index: Int, _ state: BackendState, _ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        var cause = causeOfFailures(index)
        if state == .ejected, backends[index].wasOnTrial, case .failures(_, let fault, _) = cause.cause {
            cause.cause = .trialFailed(fault)
        }
        var change = HealthChange(
            pool: pool, backend: index, from: backends[index].state, to: state, cause: cause.cause)
        if state == .ejected {
            let isForgiven =
                !backends[index].wasOnTrial
                && now &- backends[index].servesSince >= passive.longestEjectNanoseconds
            backends[index].wasOnTrial = false
            backends[index].ejections = isForgiven ? 1 : backends[index].ejections + 1
            backends[index].ejectionNanoseconds = passive.ejection(number: backends[index].ejections)
            backends[index].checks.forgetPassed()
            change.backInNanoseconds = backends[index].ejectionNanoseconds
            change.repetition = backends[index].ejections
        }
        backends[index].state = state
        backends[index].since = min(cause.at, now)
        report(.change(change))
    }

    private func causeOfFailures(_ index: Int) -> (cause: HealthChange.Cause, at: UInt64) {
        let record = unsafe health.record(index)
        let fault =
            unsafe Fault(rawValue: record.pointee.lastFault.load(ordering: .relaxed)) ?? .connectFailed
        let failed = unsafe Int(record.pointee.causeFailed.load(ordering: .relaxed))
        let all = unsafe Int(record.pointee.causeOf.load(ordering: .relaxed))
        let span = unsafe record.pointee.causeSpan.load(ordering: .relaxed)
        let at = unsafe record.pointee.causeAt.load(ordering: .relaxed)
        return all == 0
            ? (.failures(count: failed, fault, spanNanoseconds: span), at)
            : (.failureRate(failed: failed, of: all, fault), at)
    }

    private mutating func advance(
        _ index: Int, _ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        let kept = backends[index]
        let elapsed = now > kept.since ? now - kept.since : 0
        switch kept.state {
        case .ejected:
            if elapsed >= kept.ejectionNanoseconds, !mutant(.ejectionNeverEnds) {
                lookAtTrial(index, pool, elapsed, now, report)
            }
        case .warming:
            if let share = SlowStart.share(after: elapsed, of: health.rules.slowStartNanoseconds) {
                let standing = candidates.standing(index)
                if standing.state == .warming, standing.share != share {
                    candidates.change(index, from: standing, to: Standing(.warming, share: share))
                }
            } else {
                set(index, .healthy, pool, .slowStartOver, now, report)
            }
        case .degraded: recover(index, pool, now, report)
        case .healthy, .unhealthy, .draining, .disabled: break
        }
    }

    /// Opens it, and again where its session says nothing for long.
    private mutating func lookAtTrial(
        _ index: Int, _ pool: Int, _ elapsed: UInt64, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        let standing = candidates.standing(index)
        switch standing.trial {
        case .none: break
        case .open: return
        case .underWay:
            if standing != backends[index].trial {
                backends[index].trial = standing
                backends[index].trialSince = now
            }
            guard now - backends[index].trialSince >= passive.ejectNanoseconds else { return }
        case .passed:
            admit(index, pool, .trialPassed(afterNanoseconds: elapsed), now, report)
            return
        }
        // Else it has just failed, or got its verdict.
        guard standing.state == .ejected, standing.trial == .underWay || !backends[index].wasOnTrial,
            candidates.change(index, from: standing, to: standing.trialOpened)
        else { return }
        backends[index].wasOnTrial = true
        report(.trial(pool: pool, backend: index, afterNanoseconds: elapsed))
    }

    /// Half of the rate that degraded it is good enough, so that it does not go to and fro; or it has not failed
    /// for long.
    private mutating func recover(
        _ index: Int, _ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        let (failed, all) = health.outcomes(index)
        let lastFaultAt = unsafe health.record(index).pointee.lastFaultAt.load(ordering: .relaxed)
        let quiet = now > lastFaultAt ? now - lastFaultAt : 0
        if failed * 200 < passive.degradePercent * all {
            set(index, .healthy, pool, .failsLess(failed: failed, of: all), now, report)
        } else if quiet >= passive.ejectNanoseconds {
            forgetFailures(index)
            set(index, .healthy, pool, .noFailure(forNanoseconds: quiet), now, report)
        }
    }

    // MARK: - Checks and operators

    mutating func noteCheck(
        _ pool: Int, _ index: Int, _ failure: String?, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        guard let rules = health.rules.checks else { return }
        notice(pool, now, report)
        let isNew = backends[index].checks.note(hasPassed: failure == nil, rules)
        let (checks, state) = (backends[index].checks, backends[index].state)
        switch checks.verdict {
        case .passing:
            let isReadmitted = state == .ejected && checks.passed >= rules.rise
            guard (isNew && state == .unhealthy) || isReadmitted else { return }
            admit(index, pool, .checksPassed(count: checks.passed), now, report)
        case .failing:
            guard isNew, state != .unhealthy, !state.isOrdered else { return }
            set(index, .unhealthy, pool, .checksFailed(count: checks.failed, why: failure ?? ""), now, report)
        case .unknown: break
        }
        notice(pool, now, report)
    }

    /// What operators want of backends is in their standings already. Whom they took out is reported; whom they gave
    /// back, and who joined, comes into rotation.
    mutating func obey(
        _ pool: Int, after before: PoolKeeper, _ places: [Int?], _ now: UInt64,
        _ report: (HealthEvent) -> Void
    ) {
        for (index, place) in places.enumerated() {
            let state = candidates.standing(index).state
            let last = place.map { before.backends[$0].state }
            if state.isOrdered {
                if let last { note(index, from: last, to: state, .ordered, pool, now, report) }
            } else if let last, last.isOrdered {
                comeBack(index, from: last, pool, now, report)
            } else if last == nil {
                join(index, now)
            }
        }
    }

    /// Unless its checks say otherwise; nobody else uses this version of the pool yet.
    private mutating func comeBack(
        _ index: Int, from last: BackendState, _ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        forgetFailures(index)
        backends[index].servesSince = now
        let isFailing = backends[index].checks.verdict == .failing
        let isSlow = health.rules.slowStartNanoseconds > 0
        let state: BackendState = isFailing ? .unhealthy : isSlow ? .warming : .healthy
        candidates.change(index, from: .healthy, to: Standing(state, share: share(state)))
        note(index, from: last, to: state, .ordered, pool, now, report)
    }

    /// It is new: slowly where the pool says so.
    private mutating func join(_ index: Int, _ now: UInt64) {
        backends[index].servesSince = now
        guard health.rules.slowStartNanoseconds > 0 else { return }
        candidates.change(index, from: .healthy, to: Standing(.warming, share: share(.warming)))
        backends[index].state = .warming
        backends[index].since = now
    }

    /// At the beginning of a state.
    private func share(_ state: BackendState) -> Int {
        state == .warming ? SlowStart.leastShare : Standing.wholeShare
    }

    mutating func adopt(
        _ state: BackendState, _ pool: Int, _ index: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        // An operator's word is the configuration's.
        guard candidates.standing(index) == .healthy else { return }
        switch state {
        case .healthy, .warming, .degraded, .draining, .disabled: break
        case .unhealthy:
            if health.rules.checks != nil { set(index, .unhealthy, pool, .handedOver, now, report) }
        case .ejected:
            guard health.adoptEjection(index) else { return }
            var change = HealthChange(
                pool: pool, backend: index, from: .healthy, to: .ejected, cause: .handedOver)
            (backends[index].state, backends[index].since) = (.ejected, now)
            backends[index].ejections = 1
            backends[index].ejectionNanoseconds = passive.ejection(number: 1)
            change.backInNanoseconds = backends[index].ejectionNanoseconds
            change.repetition = 1
            report(.change(change))
        }
        notice(pool, now, report)
    }

    // MARK: - States

    /// Into rotation, with nothing held against it: slowly where the pool says so.
    private mutating func admit(
        _ index: Int, _ pool: Int, _ cause: HealthChange.Cause, _ now: UInt64,
        _ report: (HealthEvent) -> Void
    ) {
        forgetFailures(index)
        backends[index].servesSince = now
        let isSlow = health.rules.slowStartNanoseconds > 0
        set(index, isSlow ? .warming : .healthy, pool, cause, now, report)
    }

    private func forgetFailures(_ index: Int) {
        let record = unsafe health.record(index)
        unsafe record.pointee.consecutive.store(0, ordering: .relaxed)
        if unsafe record.pointee.window.isOn { unsafe record.pointee.window.clear() }
    }

    /// A worker may make it worse at the same time, at most twice (degraded, ejected). What is meant to make it
    /// better is off then, and the worker's word is noticed the next time.
    private mutating func set(
        _ index: Int, _ state: BackendState, _ pool: Int, _ cause: HealthChange.Cause, _ now: UInt64,
        _ report: (HealthEvent) -> Void
    ) {
        var old = candidates.standing(index)
        while old.state != state {
            guard state.takesNothing || old.state == backends[index].state else { return }
            if candidates.change(index, from: old, to: Standing(state, share: share(state))) {
                if old.state == .ejected { health.giveBackSeat() }
                break
            }
            old = candidates.standing(index)
        }
        note(index, from: backends[index].state, to: state, cause, pool, now, report)
    }

    /// It is in another state.
    private mutating func note(
        _ index: Int, from last: BackendState, to state: BackendState, _ cause: HealthChange.Cause,
        _ pool: Int, _ now: UInt64, _ report: (HealthEvent) -> Void
    ) {
        guard last != state else { return }
        report(.change(HealthChange(pool: pool, backend: index, from: last, to: state, cause: cause)))
        backends[index].state = state
        backends[index].since = now
        backends[index].wasOnTrial = false
    }
}
