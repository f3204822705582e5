// How a pool's health is kept, as the configuration says; all numbers ready for use.

/// What traffic makes of a backend.
public struct PassiveRules: BitwiseCopyable, Equatable, Sendable {
    /// Failures in a row that eject; 0 is off.
    public var consecutiveFailures: UInt32 = 5
    /// Of the last `window` outcomes, where there are `minimum`, in percent; 0 is off.
    public var failureRatePercent = 0
    public var window = 100
    public var minimum = 20
    /// The rate that halves the weight; 0 is off.
    public var degradePercent = 0
    /// Of the first ejection; each that follows soon takes twice as long as the last.
    public var ejectNanoseconds: UInt64 = 10_000_000_000
    public var longestEjectNanoseconds: UInt64 = 300_000_000_000
    /// The share of the pool's backends that may be ejected at once, rounded down.
    public var maxEjectedPercent = 50

    public init() {}

    /// Outcomes have to be remembered.
    var needsWindow: Bool { failureRatePercent > 0 || degradePercent > 0 }

    /// The first, the second ... of a row of ejections.
    func ejection(number: Int) -> UInt64 {
        // Shifted further than 2^20 nobody would wait for the end of it.
        let (length, overflow) = ejectNanoseconds.multipliedReportingOverflow(
            by: 1 << min(max(number - 1, 0), 20))
        return overflow ? longestEjectNanoseconds : min(length, longestEjectNanoseconds)
    }
}

/// How the results of active checks turn into a verdict.
public struct CheckRules: BitwiseCopyable, Equatable, Sendable {
    /// Failed checks in a row that make a backend unhealthy.
    public var fall = 3
    /// Passed checks in a row that make it well again.
    public var rise = 2

    public init(fall: Int = 3, rise: Int = 2) {
        self.fall = fall
        self.rise = rise
    }
}

/// How a pool's health is kept.
public struct HealthRules: BitwiseCopyable, Equatable, Sendable {
    /// nil is off.
    public var passive: PassiveRules? = PassiveRules()
    /// nil where there are no active checks.
    public var checks: CheckRules?
    /// Over which the share of a backend that recovered or joined grows; 0 for at once.
    public var slowStartNanoseconds: UInt64 = 0

    public init() {}
}
