// What policies choose among: one candidate for each backend of a pool. The facts that change (how many
// sessions it has, how well it is) are shared by all workers, each candidate on a cache line of its own; the rest is
// fixed when the snapshot is built.

import Synchronization

/// A backend as the builder of a pool knows it.
public struct BackendShare: Sendable {
    /// A hash of the backend's name: what hash policies place it by, on every machine alike.
    public var identity: UInt64
    /// Share of new sessions relative to the others; 0 takes none.
    public var weight: UInt32
    /// Sessions at once; `UInt32.max` is no limit.
    public var maxSessions: UInt32
    /// Takes sessions only where no backend that is no backup can.
    public var isBackup: Bool

    public init(identity: UInt64, weight: UInt32, maxSessions: UInt32 = .max, isBackup: Bool = false) {
        self.identity = identity
        self.weight = weight
        self.maxSessions = maxSessions
        self.isBackup = isBackup
    }
}

/// A backend as a policy sees it. Exactly one cache line, so that two workers counting sessions of
/// neighbouring backends do not disturb each other.
public struct Candidate: ~Copyable {
    /// Share of new sessions relative to the others; 0 takes none.
    public let weight: UInt32
    /// Sessions at once; `UInt32.max` is no limit.
    public let maxSessions: UInt32
    /// Sessions that hold this backend now, over all workers.
    public let active = Atomic<Int>(0)
    /// On the same line: who observes it is about to give its place back.
    let latency = Latency()
    let identity: UInt64
    /// What health makes of it; changed by `Candidates.change` only.
    let standing = Atomic<Standing>(.healthy)
    let isBackup: Bool
    private let padding: (UInt64, UInt64) = (0, 0)

    init(_ backend: BackendShare) {
        weight = backend.weight
        maxSessions = backend.maxSessions
        identity = backend.identity
        isBackup = backend.isBackup
    }

    /// It has a weight, and fewer sessions than it may.
    @inline(__always)
    var hasRoom: Bool {
        weight > 0 && active.load(ordering: .relaxed) < Int(maxSessions)
    }

    /// True where a session may come back to it. A weight of 0 turns only new ones away.
    @inline(__always)
    public var takesSticky: Bool { active.load(ordering: .relaxed) < Int(maxSessions) }
}

/// Counts of a whole pool, on a cache line of their own.
struct PoolCounts: ~Copyable {
    /// Backends that have as many sessions as they may.
    let full = Atomic<Int>(0)
    /// Sessions of all backends; kept only where a policy asks for it.
    let active = Atomic<Int>(0)
    /// Of all backends; kept only where a policy asks for it.
    let latency = Latency()
    private let padding: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
}

/// The candidates of one pool, or those of them that are chosen among together. The memory belongs to the
/// snapshot, which outlives every use.
@safe
public struct Candidates: BitwiseCopyable, @unchecked Sendable {
    private let first: UnsafeMutablePointer<Candidate>
    private let counts: UnsafeMutablePointer<PoolCounts>
    private let standings: UnsafeMutablePointer<StandingTally>
    private let countsSessions: Bool
    /// Of those of a tier.
    let areBackups: Bool
    public let count: Int
    /// The sum of the weights.
    public let totalWeight: UInt64

    /// Memory for one candidate for each backend; at most 65,535. Lives until `deallocate`.
    init(_ backends: [BackendShare], countsSessions: Bool, panicPercent: Int) {
        precondition(backends.count <= Int(UInt16.max))
        unsafe first = cacheLines(for: Candidate.self, count: backends.count)
        unsafe counts = cacheLines(for: PoolCounts.self, count: 1)
        unsafe counts.initialize(to: PoolCounts())
        unsafe standings = cacheLines(for: StandingTally.self, count: 1)
        let backups = backends.filter { $0.isBackup && $0.weight > 0 }.count
        let primaries = backends.filter { !$0.isBackup && $0.weight > 0 }.count
        let tally = StandingTally(primaries: primaries, backups: backups, panicPercent: panicPercent)
        unsafe standings.initialize(to: tally)
        for (index, backend) in backends.enumerated() {
            unsafe (first + index).initialize(to: Candidate(backend))
        }
        self.countsSessions = countsSessions
        areBackups = false
        count = backends.count
        totalWeight = Self.sum(backends[...])
    }

    /// Gives the memory back. Nobody may use a copy, or a part of it, afterwards.
    func deallocate() {
        unsafe first.deallocate()
        unsafe counts.deallocate()
        unsafe standings.deallocate()
    }

    /// Those of `whole` that are at these places.
    init(_ whole: Candidates, _ places: Range<Int>, of backends: [BackendShare]) {
        precondition(places.lowerBound >= 0 && places.upperBound <= whole.count)
        unsafe first = whole.first + places.lowerBound
        unsafe counts = whole.counts
        unsafe standings = whole.standings
        countsSessions = whole.countsSessions
        areBackups = backends[places].first?.isBackup ?? false
        count = places.count
        totalWeight = Self.sum(backends[places])
    }

    private static func sum(_ backends: ArraySlice<BackendShare>) -> UInt64 {
        backends.reduce(0) { $0 + UInt64($1.weight) }
    }

    /// A candidate in place.
    public subscript(index: Int) -> Candidate {
        @inline(__always)
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(first + index)
        }
    }

    /// Backends of the pool that have as many sessions as they may, now.
    public var fullCount: Int { max(whole.full.load(ordering: .relaxed), 0) }

    /// Sessions of the whole pool now, where the policy counts them.
    var activeCount: Int { max(whole.active.load(ordering: .relaxed), 0) }

    /// Sessions of all candidates now, added up: for what happens rarely.
    public var activeSum: Int {
        var sum = 0
        for index in 0..<count { sum += max(self[index].active.load(ordering: .relaxed), 0) }
        return sum
    }

    /// Counts of the whole pool.
    var whole: PoolCounts {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(counts) }
    }

    /// What health makes of the whole pool.
    var tally: StandingTally {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(standings) }
    }

    // MARK: - Places

    /// Takes a place for one session; false where there is none.
    @inline(__always)
    func take(_ index: Int) -> Bool {
        isUsable(index) && takePlace(index)
    }

    /// The same for a session that comes back to whom it had before. Neither a weight of 0 nor draining turns it
    /// away.
    @inline(__always)
    func takeSticky(_ index: Int) -> Bool { self[index].takesSticky && takePlace(index) }

    @inline(__always)
    private func takePlace(_ index: Int) -> Bool {
        let limit = Int(self[index].maxSessions)
        let before = self[index].active.wrappingAdd(1, ordering: .relaxed).oldValue
        if before + 1 == limit { whole.full.wrappingAdd(1, ordering: .relaxed) }
        guard before < limit else {
            // The last place went to somebody else meanwhile.
            giveBack(index)
            return false
        }
        countSession()
        return true
    }

    /// The same where the candidate still has as many sessions as were seen when it was chosen: who compares
    /// counts has compared what is.
    @inline(__always)
    func take(_ index: Int, ifActiveIs seen: Int) -> Bool {
        let limit = Int(self[index].maxSessions)
        guard self[index].weight > 0, seen < limit else { return false }
        let exchange = self[index].active.compareExchange(
            expected: seen, desired: seen + 1, ordering: .relaxed)
        guard exchange.exchanged else { return false }
        if seen + 1 == limit { whole.full.wrappingAdd(1, ordering: .relaxed) }
        countSession()
        return true
    }

    /// Counts a session that another version of the pool counted until now, whatever the limit is.
    public func adopt(_ index: Int) {
        let before = self[index].active.wrappingAdd(1, ordering: .relaxed).oldValue
        if before + 1 == Int(self[index].maxSessions) { whole.full.wrappingAdd(1, ordering: .relaxed) }
        countSession()
    }

    /// What was learned of a backend's times in another version of the pool holds in this one.
    public func inherit(_ index: Int, from other: Candidates, _ otherIndex: Int) {
        self[index].latency.copy(other[otherIndex].latency)
    }

    /// Gives back a place that a policy took.
    @inline(__always)
    public func release(_ index: Int) {
        giveBack(index)
        if countsSessions { whole.active.wrappingSubtract(1, ordering: .relaxed) }
    }

    /// Whoever crosses the limit, either way, counts it; so the sum is right when all are done.
    @inline(__always)
    private func giveBack(_ index: Int) {
        let before = self[index].active.wrappingSubtract(1, ordering: .relaxed).oldValue
        precondition(before > 0, "a backend is released as often as it was taken")
        if before == Int(self[index].maxSessions) {
            whole.full.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    @inline(__always)
    private func countSession() {
        if countsSessions { whole.active.wrappingAdd(1, ordering: .relaxed) }
    }
}

/// Memory that lives until it is deallocated, each element on cache lines of its own where its size is theirs.
func cacheLines<Element: ~Copyable>(
    for type: Element.Type, count: Int
) -> UnsafeMutablePointer<Element> {
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    return unsafe UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        .bindMemory(to: Element.self, capacity: count)
}
