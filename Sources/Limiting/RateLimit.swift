// How often a thing may happen, by the generic cell rate algorithm (ITU-T I.371): all that a key needs is the
// time at which its bucket is full again. Times are counted in ticks of the limit's own, a power of two of which is
// one grant, so that the rate is exact and the time fits into a part of a word. The time of now is an argument.

/// So many grants in a period, and so many at once.
public struct RateLimit: BitwiseCopyable, Sendable {
    /// What a key's word has for the time; a time is told apart from one that is half of this away.
    static let tickBits: UInt64 = 44
    static let tickMask: UInt64 = (1 << tickBits) - 1
    private static let halfRange: UInt64 = 1 << (tickBits - 1)
    /// Fine enough that waiting for a whole tick is a tenth of a percent of waiting for a grant.
    private static let largestShift: UInt64 = 10

    /// The most grants of one nanosecond's multiple: a grant must take several ticks, a tick a nanosecond or more.
    public static let mostGrantsPerSecond: UInt64 = 1_000_000
    /// Grants at once.
    public static let mostBurst: UInt64 = 1_000_000

    /// Grants of a period.
    public let grants: UInt64
    /// Nanoseconds.
    public let period: UInt64
    /// Grants at once after a rest.
    public let burst: UInt64
    /// Ticks that one grant takes to come back.
    let ticksPerGrant: UInt64
    /// Ticks of a nanosecond, times 2^64.
    private let ticksPerNanosecond: UInt64

    /// `grants` is at most `mostGrantsPerSecond` of a second, `burst` at most `mostBurst`; both at least 1.
    public init(grants: UInt64, period nanoseconds: UInt64, burst: UInt64) {
        precondition(grants > 0 && burst > 0 && burst <= Self.mostBurst)
        var shift = Self.largestShift
        while shift > 0, grants << shift >= nanoseconds { shift -= 1 }
        precondition(grants << shift < nanoseconds, "a tick is a nanosecond or more")
        self.grants = grants
        period = nanoseconds
        self.burst = burst
        ticksPerGrant = 1 << shift
        // Rounded up, by less than a hundred-millionth: who waits as long as told gets what he waited for.
        ticksPerNanosecond = nanoseconds.dividingFullWidth((grants << shift, 0)).quotient + 1
    }

    /// What a full bucket holds, in ticks.
    var capacity: UInt64 { burst * ticksPerGrant }

    /// The whole time, which a word has the low bits of.
    @inline(__always)
    func ticks(at now: UInt64) -> UInt64 { now.multipliedFullWidth(by: ticksPerNanosecond).high }

    /// What is missing in a bucket that is full again at `fullAt`, which is a time of the last or the next half of
    /// the range; 0 where that is past.
    @inline(__always)
    func missing(fullAt: UInt64, now ticks: UInt64) -> UInt64 {
        let ahead = (fullAt &- ticks) & Self.tickMask
        return ahead < Self.halfRange ? ahead : 0
    }

    /// Nanoseconds after which so many ticks have certainly passed: what they take, and one for rounding.
    public func nanoseconds(ticks: UInt64) -> UInt64 {
        guard ticks < ticksPerNanosecond else { return .max }
        return ticksPerNanosecond.dividingFullWidth((ticks, 0)).quotient + 1
    }
}
