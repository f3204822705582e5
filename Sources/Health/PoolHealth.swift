// Passive health: what workers tell of a pool's backends, and what they do about it at once. Workers only ever
// make a backend's standing worse (eject, degrade); what makes it better is the keeper's, on the control thread.
//
//   a success   looks at one word, and writes only where there was a failure before (or a window is kept)
//   a failure   counts; the one that is too many takes a seat among the ejected and exchanges the standing

import Balancing
import Base
import Synchronization

/// What is known of one backend. On cache lines of its own.
struct BackendRecord: ~Copyable {
    /// Failures since the last success.
    let consecutive = Atomic<UInt32>(0)
    let lastFault = Atomic<UInt8>(0)
    let firstFaultAt = Atomic<UInt64>(0)
    let lastFaultAt = Atomic<UInt64>(0)
    // Why it was ejected or degraded last. Written before its standing is exchanged, read after that was seen.
    let causeAt = Atomic<UInt64>(0)
    let causeFailed = Atomic<UInt32>(0)
    /// Of so many; 0 where they were in a row.
    let causeOf = Atomic<UInt32>(0)
    let causeSpan = Atomic<UInt64>(0)
    let window: OutcomeWindow
    private let padding: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init(windowSize: Int) { window = OutcomeWindow(size: windowSize) }
}

/// The health of one pool, as all threads share it. Lives until `deallocate`.
@safe
public struct PoolHealth: BitwiseCopyable, @unchecked Sendable {
    public let rules: HealthRules
    public let candidates: Candidates
    /// As many may be ejected at once.
    public let mostEjected: Int
    private let passive: PassiveRules
    private let isPassive: Bool
    private let records: UnsafeMutablePointer<BackendRecord>
    /// How many are ejected, or are about to be.
    private let seats: UnsafeMutablePointer<Atomic<Int>>

    public init(_ rules: HealthRules, _ candidates: Candidates) {
        self.rules = rules
        self.candidates = candidates
        passive = rules.passive ?? PassiveRules()
        isPassive = rules.passive != nil
        let count = candidates.count
        mostEjected =
            (0..<count).filter { candidates[$0].weight > 0 }.count * passive.maxEjectedPercent / 100
        let lineBytes = 128
        let recordBytes = max(count, 1) * MemoryLayout<BackendRecord>.stride
        unsafe records = UnsafeMutableRawPointer.allocate(byteCount: recordBytes, alignment: lineBytes)
            .bindMemory(to: BackendRecord.self, capacity: count)
        let window = isPassive && passive.needsWindow ? passive.window : 0
        for index in 0..<count { unsafe (records + index).initialize(to: BackendRecord(windowSize: window)) }
        unsafe seats = UnsafeMutableRawPointer.allocate(byteCount: lineBytes, alignment: lineBytes)
            .bindMemory(to: Atomic<Int>.self, capacity: 1)
        unsafe seats.initialize(to: Atomic(0))
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() {
        unsafe records.deinitialize(count: candidates.count)
        unsafe records.deallocate()
        unsafe seats.deallocate()
    }

    /// What is known of a backend in another version of the pool holds in this one. Nobody else uses this one yet.
    /// It is healthy where what it has could never end: as many are ejected as may be, or nobody checks it. An
    /// operator's word is the configuration's, not health's: `order` says it anew.
    public func inherit(_ index: Int, from other: PoolHealth, _ otherIndex: Int) {
        let standing = other.candidates.standing(otherIndex)
        if standing.state.isOrdered { return }
        if standing.state == .unhealthy, rules.checks == nil { return }
        if standing.state == .ejected, !takeSeat() { return }
        // The session that is its trial counts in the other version: another may be it here.
        let isOnTrial = standing.trial == .underWay
        candidates.change(index, from: .healthy, to: isOnTrial ? standing.trialOpened : standing)
        let (new, old) = unsafe (record(index), other.record(otherIndex))
        let row = unsafe old.pointee.consecutive.load(ordering: .relaxed)
        unsafe new.pointee.consecutive.store(row, ordering: .relaxed)
        let fault = unsafe old.pointee.lastFault.load(ordering: .relaxed)
        unsafe new.pointee.lastFault.store(fault, ordering: .relaxed)
        let first = unsafe old.pointee.firstFaultAt.load(ordering: .relaxed)
        unsafe new.pointee.firstFaultAt.store(first, ordering: .relaxed)
        let last = unsafe old.pointee.lastFaultAt.load(ordering: .relaxed)
        unsafe new.pointee.lastFaultAt.store(last, ordering: .relaxed)
    }

    /// Another process had ejected it. False where as many are ejected as may be.
    func adoptEjection(_ index: Int) -> Bool {
        guard isPassive, candidates.standing(index) == .healthy, takeSeat() else { return false }
        candidates.change(index, from: .healthy, to: Standing(.ejected))
        return true
    }

    /// An operator wants the backend drained or disabled. Nobody else uses this version of the pool yet.
    public func order(_ index: Int, _ state: BackendState) {
        precondition(state.isOrdered, "health decides about the other states")
        let standing = candidates.standing(index)
        candidates.change(index, from: standing, to: Standing(state))
        if standing.state == .ejected { giveBackSeat() }
    }

    func record(_ index: Int) -> UnsafePointer<BackendRecord> {
        precondition(index >= 0 && index < candidates.count)
        return unsafe UnsafePointer(records + index)
    }

    /// Backends that are ejected now.
    public var ejectedCount: Int { unsafe seats.pointee.load(ordering: .relaxed) }

    /// How many of its last outcomes were failures, and how many there are; both 0 where no window is kept.
    public func outcomes(_ index: Int) -> (failed: Int, all: Int) {
        unsafe record(index).pointee.window.counts
    }

    // MARK: - What workers tell

    /// The backend did what it was asked.
    /// `trial` is what the session is to it.
    @inline(__always)
    public func noteSuccess(_ index: Int, trial: Standing = .noTrial) {
        guard isPassive else { return }
        if trial != .noTrial { candidates.change(index, from: trial, to: trial.trialPassed) }
        let record = unsafe record(index)
        if unsafe record.pointee.consecutive.load(ordering: .relaxed) != 0 {
            unsafe record.pointee.consecutive.store(0, ordering: .relaxed)
        }
        if unsafe record.pointee.window.isOn { unsafe record.pointee.window.note(failed: false) }
    }

    /// The backend failed, and nobody else is to blame. `now` in nanoseconds, on the clock of the keeper.
    public func noteFault(_ index: Int, _ fault: Fault, trial: Standing = .noTrial, now: UInt64) {
        guard isPassive else { return }
        let record = unsafe record(index)
        unsafe record.pointee.lastFault.store(fault.rawValue, ordering: .relaxed)
        unsafe record.pointee.lastFaultAt.store(now, ordering: .relaxed)
        let row = unsafe record.pointee.consecutive.wrappingAdd(1, ordering: .relaxed).newValue
        if row == 1 { unsafe record.pointee.firstFaultAt.store(now, ordering: .relaxed) }
        var outcomes = (failed: 0, all: 0)
        if unsafe record.pointee.window.isOn {
            unsafe record.pointee.window.note(failed: true)
            outcomes = unsafe record.pointee.window.counts
        }
        if trial != .noTrial {
            noteCause(index, 1, of: 0, now)
            candidates.change(index, from: trial, to: Standing(.ejected))
        } else if passive.consecutiveFailures > 0, row >= passive.consecutiveFailures {
            eject(index, failed: row, of: 0, now)
        } else if isReached(passive.failureRatePercent, outcomes) {
            eject(index, failed: UInt32(outcomes.failed), of: UInt32(outcomes.all), now)
        } else if isReached(passive.degradePercent, outcomes) {
            degrade(index, outcomes, now)
        }
    }

    /// The session that was the trial is over, or says nothing more: another may be it.
    public func endTrial(_ index: Int, _ trial: Standing) {
        candidates.change(index, from: trial, to: trial.trialOpened)
    }

    private func isReached(_ percent: Int, _ outcomes: (failed: Int, all: Int)) -> Bool {
        percent > 0 && outcomes.all >= passive.minimum && outcomes.failed * 100 >= percent * outcomes.all
    }

    /// Unless as many are ejected as may be. Others may change the standing at the same time.
    private func eject(_ index: Int, failed: UInt32, of all: UInt32, _ now: UInt64) {
        for _ in 0..<4 {
            let standing = candidates.standing(index)
            guard !standing.state.takesNothing, takeSeat() else { return }
            noteCause(index, failed, of: all, now)
            if candidates.change(index, from: standing, to: Standing(.ejected)) { return }
            giveBackSeat()
        }
    }

    private func degrade(_ index: Int, _ outcomes: (failed: Int, all: Int), _ now: UInt64) {
        guard candidates.standing(index) == .healthy else { return }
        noteCause(index, UInt32(outcomes.failed), of: UInt32(outcomes.all), now)
        candidates.change(index, from: .healthy, to: Standing(.degraded, share: Standing.wholeShare / 2))
    }

    private func noteCause(_ index: Int, _ failed: UInt32, of all: UInt32, _ now: UInt64) {
        let record = unsafe record(index)
        let first = unsafe record.pointee.firstFaultAt.load(ordering: .relaxed)
        unsafe record.pointee.causeAt.store(now, ordering: .relaxed)
        unsafe record.pointee.causeFailed.store(failed, ordering: .relaxed)
        unsafe record.pointee.causeOf.store(all, ordering: .relaxed)
        unsafe record.pointee.causeSpan.store(now > first ? now - first : 0, ordering: .relaxed)
    }

    // MARK: - Seats

    /// Never more than `mostEjected`, however many workers eject at once.
    private func takeSeat() -> Bool {
        let taken = unsafe seats.pointee.wrappingAdd(1, ordering: .relaxed).newValue
        if taken <= mostEjected || mutant(.moreAreEjected) { return true }
        giveBackSeat()
        return false
    }

    /// After the backend's standing is another.
    func giveBackSeat() {
        let before = unsafe seats.pointee.wrappingSubtract(1, ordering: .relaxed).oldValue
        precondition(before > 0, "a seat is given back once")
    }
}
