// The candidate sequence that a session walks: first whom it had before, where it sticks; then whom the policy
// chooses; then, where that one refuses, every other usable candidate once. Also what a choice leaves behind for
// the log.

import Base

/// What a policy looks at beside the candidates.
public struct Choice: BitwiseCopyable, Sendable {
    /// The hash of what sessions stick by; only policies with `Policy.needsKey` look at it.
    public var key: UInt64
    /// The worker's clock, in nanoseconds.
    public var now: UInt64
    /// Whom the session had before, where it sticks: comes first, if it has room.
    public var sticky: Int?

    public init(key: UInt64 = 0, now: UInt64 = 0, sticky: Int? = nil) {
        self.key = key
        self.now = now
        self.sticky = sticky
    }
}

/// What became of `Choice.sticky`.
public enum StickyOutcome: UInt8, BitwiseCopyable, Sendable {
    /// There was none.
    case none
    /// It was taken.
    case taken
    /// It had as many sessions as it may.
    case full
    /// Health, or an operator, keeps it out.
    case unwell
    /// It was taken, and then failed.
    case failed
}

/// Why the last candidate was taken.
public struct Pick: BitwiseCopyable, Sendable {
    /// What the policy compared, where it compares: see `Policy.hasScore`.
    public internal(set) var score: UInt32 = 0
    /// Backends of the pool that had as many sessions as they may.
    public internal(set) var full: UInt16 = 0
    /// Backends that the key would have gone to and that had more than their share of sessions.
    public internal(set) var overBound: UInt8 = 0
    /// A backup was taken: nobody else was usable.
    public internal(set) var isBackup: Bool {
        get { flags & 1 != 0 }
        set { flags = flags & ~1 | (newValue ? 1 : 0) }
    }
    /// Health was ignored: too few backends were well.
    public internal(set) var isPanic: Bool {
        get { flags & 2 != 0 }
        set { flags = flags & ~2 | (newValue ? 2 : 0) }
    }
    /// With `prequal`: backends did not tell enough, and `peak_ewma` chose.
    public internal(set) var isFallback: Bool {
        get { flags & 4 != 0 }
        set { flags = flags & ~4 | (newValue ? 4 : 0) }
    }
    /// With `prequal`: every backend that is known had many requests in flight, this one the fewest.
    public internal(set) var isHot: Bool {
        get { flags & 8 != 0 }
        set { flags = flags & ~8 | (newValue ? 8 : 0) }
    }
    private var flags: UInt8 = 0
    /// Backends that took nothing, and why.
    public internal(set) var excluded = Exclusions()
    public internal(set) var sticky = StickyOutcome.none

    public init() {}
}

/// Where a session is in its walk over a pool's candidates: each at most once, backups after all others.
public struct CandidateSequence: BitwiseCopyable, Sendable {
    public internal(set) var pick = Pick()
    /// The trial that the session is to whom it was given last; `Standing.noTrial` where it is none.
    public internal(set) var trial = Standing.noTrial
    /// Whom the policy chose.
    private var chosen = Remembered()
    /// Coprime to the number of candidates, so that the walk meets each once; 0 until it is needed.
    private var step: UInt16 = 0
    /// How many positions of the walk were used, passed-over ones included.
    private var walked: UInt16 = 0
    private(set) var isAmongBackups = false
    /// Who was taken before the policy was asked, counted like the candidates that are chosen among now; -1, or
    /// beyond their range, where it is none of them.
    private var stickyIndex: Int32 = -1

    public init() {}

    /// Begins anew, with other candidates; what is known of the last choice stays, for the log.
    public init(keepingPickOf other: CandidateSequence) { pick = other.pick }

    /// True where the policy has had no say yet.
    var isFresh: Bool { chosen.count == 0 }
    /// True where it may not have another.
    var isAtLimit: Bool { chosen.isFull }

    @inline(__always)
    func wasChosen(_ index: Int) -> Bool { chosen.contains(index) || wasSticky(index) }

    @inline(__always)
    func wasSticky(_ index: Int) -> Bool { Int32(index) == stickyIndex }

    mutating func noteChoice(_ index: Int) { chosen.add(index) }

    /// Takes whom the session had before, if it is there to be taken and was not yet. Indices are those of the
    /// whole pool.
    mutating func takeSticky(_ index: Int, of candidates: Candidates) -> Bool {
        guard pick.sticky == .none else {
            if pick.sticky == .taken { pick.sticky = .failed }
            return false
        }
        guard index < candidates.count, candidates.keepsSticky(index), candidates.takeSticky(index) else {
            pick.sticky = index < candidates.count && !candidates.keepsSticky(index) ? .unwell : .full
            return false
        }
        pick.sticky = .taken
        stickyIndex = Int32(index)
        return true
    }

    /// `primaryCount` candidates of the pool are none of the backups.
    mutating func enterBackups(primaryCount: Int) {
        if stickyIndex >= 0 { stickyIndex -= Int32(primaryCount) }
        chosen = Remembered()
        step = 0
        walked = 0
        isAmongBackups = true
    }

    /// The walk goes on in steps of a random size, so that the sessions of a dead backend spread over all
    /// the others instead of falling on its neighbour.
    mutating func takeFollowing(of candidates: Candidates, _ random: inout RandomSource) -> Int? {
        let count = UInt32(candidates.count)
        if step == 0 { step = UInt16(Self.randomStep(coprimeTo: count, random: &random)) }
        while UInt32(walked) < count {
            let index = Int((UInt32(chosen.first) + UInt32(walked) * UInt32(step)) % count)
            walked += 1
            if !wasChosen(index), candidates.take(index) { return index }
        }
        return nil
    }

    private static func randomStep(coprimeTo count: UInt32, random: inout RandomSource) -> UInt32 {
        if count <= 2 { return 1 }
        var step = 1 + random.next(below: count - 1)
        while greatestCommonDivisor(step, count) != 1 { step = step % (count - 1) + 1 }
        return step
    }

    private static func greatestCommonDivisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
