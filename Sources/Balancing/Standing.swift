// What health and operators make of a backend, as policies see it: one word beside its count of sessions, that
// everybody reads and whoever wins its exchange has changed. `Health` decides about it, docs/health.md has the
// diagram; and the pool's tally of those who take nothing, which panic is decided by.

import Base
import Synchronization

/// What a backend is fit for.
public enum BackendState: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    case healthy
    /// It joined or recovered: its share grows.
    case warming
    /// It fails too often for its whole weight.
    case degraded
    /// Its active checks fail.
    case unhealthy
    /// It failed sessions and sits out for a while, then takes one at a time until one goes well.
    case ejected
    /// An operator wants it to end its sessions and take no new ones.
    case draining
    /// An operator has switched it off.
    case disabled

    /// As the log has it.
    public var name: StaticString {
        switch self {
        case .healthy: "healthy"
        case .warming: "warming"
        case .degraded: "degraded"
        case .unhealthy: "unhealthy"
        case .ejected: "ejected"
        case .draining: "draining"
        case .disabled: "disabled"
        }
    }

    /// An operator said so; panic does not overrule that.
    public var isOrdered: Bool { self == .draining || self == .disabled }
    /// No share of new sessions.
    public var takesNothing: Bool {
        switch self {
        case .healthy, .warming, .degraded: false
        case .unhealthy, .ejected, .draining, .disabled: true
        }
    }
}

/// A state, and the share of its weight that a backend gets in it; of an ejected one also its trial (Trial.swift).
///
///     bits 24...31 number of the trial    16...23 state    12...13 trial    0...11 share
public struct Standing: RawRepresentable, AtomicRepresentable, BitwiseCopyable, Equatable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `share` is in 256ths, and at least one where the state takes sessions.
    public init(_ state: BackendState, share: Int = 256) {
        let share = state.takesNothing ? 0 : min(max(share, 1), Self.wholeShare)
        rawValue = UInt32(state.rawValue) << 16 | UInt32(share)
    }

    public static var healthy: Standing { Standing(.healthy) }
    /// All of the weight.
    public static var wholeShare: Int { 256 }

    public var state: BackendState { BackendState(rawValue: UInt8(truncatingIfNeeded: rawValue >> 16))! }

    /// Of the weight, in 256ths.
    @inline(__always)
    public var share: Int { Int(rawValue & 0xFFF) }
}

/// How many backends take no new sessions, and why: four counts in one word, so that they are read and changed
/// together.
public struct Exclusions: BitwiseCopyable, Equatable, Sendable {
    public internal(set) var word: UInt64 = 0

    public init() {}

    init(word: UInt64) { self.word = word }

    /// What one backend in this state adds.
    @inline(__always)
    static func of(_ state: BackendState) -> UInt64 {
        switch state {
        case .healthy, .warming, .degraded: 0
        case .unhealthy: 1
        case .ejected: 1 << 16
        case .draining: 1 << 32
        case .disabled: 1 << 48
        }
    }

    /// Backends in a state that takes nothing.
    public func count(_ state: BackendState) -> Int {
        state.takesNothing ? Int((word / Self.of(state)) & 0xFFFF) : 0
    }

    var byHealth: Int { count(.unhealthy) + count(.ejected) }
    var byOrder: Int { count(.draining) + count(.disabled) }
}

/// Of a whole pool, on a cache line of its own that hardly ever changes.
struct StandingTally: ~Copyable {
    let excludedPrimaries = Atomic<UInt64>(0)
    let excludedBackups = Atomic<UInt64>(0)
    /// Of any backend's standing; who has seen the same number has missed nothing.
    let changes = Atomic<UInt64>(0)
    /// Backends with a weight.
    let primaries: Int
    let backups: Int
    let panicPercent: Int
    /// What is missing of the weights, in 256ths.
    let lostPrimaryWeight = Atomic<UInt64>(0)
    let lostBackupWeight = Atomic<UInt64>(0)

    init(primaries: Int, backups: Int, panicPercent: Int) {
        self.primaries = primaries
        self.backups = backups
        self.panicPercent = panicPercent
    }

    var excluded: Exclusions {
        let primaries = excludedPrimaries.load(ordering: .relaxed)
        return Exclusions(word: primaries &+ excludedBackups.load(ordering: .relaxed))
    }

    /// True where so few are well that health is more likely wrong than right, or that the few would drown.
    /// Backups that are well prevent it: that is what they are for.
    var isPanicking: Bool {
        let primaries = Exclusions(word: excludedPrimaries.load(ordering: .relaxed))
        let backups = Exclusions(word: excludedBackups.load(ordering: .relaxed))
        return primaries.byHealth + backups.byHealth > 0 && areFew(self.primaries, primaries)
            && areFew(self.backups, backups)
    }

    /// Whom an operator took out does not count: nobody expects anything of it.
    private func areFew(_ count: Int, _ excluded: Exclusions) -> Bool {
        let expected = count - excluded.byOrder
        return expected <= 0 || (expected - excluded.byHealth) * 100 < panicPercent * expected
    }
}

extension Candidates {
    /// Now.
    public func standing(_ index: Int) -> Standing { self[index].standing.load(ordering: .acquiring) }

    /// How many backends of the pool take nothing, and why.
    public var excluded: Exclusions { tally.excluded }

    /// Health is ignored, because too few are well.
    public var isPanicking: Bool { tally.isPanicking }

    /// Grows with every change of a standing in the pool.
    public var changes: UInt64 { tally.changes.load(ordering: .acquiring) }

    /// Changes a backend's standing, unless somebody else did before. The tally is never too low: an exclusion is
    /// counted before it holds, and a return after.
    @discardableResult
    public func change(_ index: Int, from old: Standing, to new: Standing) -> Bool {
        let counts = self[index].weight > 0
        let (before, after) = (Exclusions.of(old.state), Exclusions.of(new.state))
        if counts { addExcluded(index, after) }
        let exchange = self[index].standing.compareExchange(
            expected: old, desired: new, ordering: .acquiringAndReleasing)
        if counts { addExcluded(index, 0 &- (exchange.exchanged ? before : after)) }
        guard exchange.exchanged else { return false }
        addLostWeight(index, UInt64(self[index].weight) &* UInt64(bitPattern: Int64(old.share - new.share)))
        tally.changes.wrappingAdd(1, ordering: .releasing)
        return true
    }

    private func addLostWeight(_ index: Int, _ weight: UInt64) {
        if self[index].isBackup {
            tally.lostBackupWeight.wrappingAdd(weight, ordering: .relaxed)
        } else {
            tally.lostPrimaryWeight.wrappingAdd(weight, ordering: .relaxed)
        }
    }

    private func addExcluded(_ index: Int, _ word: UInt64) {
        if word == 0 { return }
        if self[index].isBackup {
            tally.excludedBackups.wrappingAdd(word, ordering: .relaxed)
        } else {
            tally.excludedPrimaries.wrappingAdd(word, ordering: .relaxed)
        }
    }

    // MARK: What policies ask

    /// Of its weight, in 256ths; in panic all of it, unless an operator took it out.
    @inline(__always)
    func share(_ index: Int) -> Int {
        let standing = self[index].standing.load(ordering: .relaxed)
        return standing == .healthy || mutant(.ejectedIsPicked) ? Standing.wholeShare : lowShare(standing)
    }

    private func lowShare(_ standing: Standing) -> Int {
        let isPicked =
            standing.state.isOrdered ? mutant(.takenOutIsPicked) : tally.isPanicking
        return isPicked ? Standing.wholeShare : standing.share
    }

    /// The weight that it has now, in 256ths.
    @inline(__always)
    func weight(_ index: Int) -> UInt64 { UInt64(self[index].weight) * UInt64(share(index)) }

    /// The weight that all of these have now, in 256ths, and at least one.
    var weightNow: UInt64 {
        let whole = totalWeight * UInt64(Standing.wholeShare)
        let lost =
            areBackups
            ? tally.lostBackupWeight.load(ordering: .relaxed)
            : tally.lostPrimaryWeight.load(ordering: .relaxed)
        return lost == 0 || tally.isPanicking ? max(whole, 1) : whole > lost ? whole - lost : 1
    }

    /// True where a new session may go to it.
    @inline(__always)
    public func isUsable(_ index: Int) -> Bool { self[index].hasRoom && share(index) > 0 }

    /// True where sessions that had it before may come back, however small its share is.
    @inline(__always)
    func keepsSticky(_ index: Int) -> Bool { share(index) > 0 || standing(index).state == .draining }

    /// True where an operator took it out: draining or disabled.
    @inline(__always)
    public func isTakenOut(_ index: Int) -> Bool {
        let standing = self[index].standing.load(ordering: .relaxed)
        return standing != .healthy && standing.state.isOrdered
    }

    /// True as often as its share says. Who draws by weight, or takes turns by it, passes over the others.
    @inline(__always)
    func admits(_ index: Int, _ random: inout RandomSource) -> Bool {
        let share = share(index)
        return share == Standing.wholeShare || Int(random.next() >> 56) < share
    }

    /// The same for a key: always the same answer, on every machine, and a share that grows takes keys and gives
    /// none away.
    @inline(__always)
    func admits(_ index: Int, key: UInt64) -> Bool {
        let share = share(index)
        if share == Standing.wholeShare { return true }
        var random = RandomSource(seed: key ^ self[index].identity)
        return Int(random.next() >> 56) < share
    }
}
