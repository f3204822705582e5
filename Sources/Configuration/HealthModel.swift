// How the health of a pool's backends is found out, and what follows from it.

/// `health` of a pool.
public struct HealthSettings: Equatable, Sendable {
    /// nil: Weir does not ask.
    public var active: ActiveSettings?
    /// nil is `off`.
    public var passive: PassiveSettings? = PassiveSettings()
    /// The failure rate that halves a backend's weight, in percent; nil is off.
    public var degradeAtPercent: Int?
    /// With fewer usable backends than this, in percent, health is ignored; 0 is never.
    public var panicBelowPercent = 1

    public init() {}
}

/// What traffic makes of a backend.
public struct PassiveSettings: Equatable, Sendable {
    /// nil is off.
    public var consecutiveFailures: Int? = 5
    /// In percent; nil is off.
    public var failureRatePercent: Int?
    /// Outcomes that a rate is of.
    public var window = 100
    /// Outcomes that there must be.
    public var minimum = 20
    public var ejectNanoseconds: UInt64 = 10_000_000_000
    public var longestEjectNanoseconds: UInt64 = 300_000_000_000
    /// Of the pool's backends, at once.
    public var maxEjectedPercent = 50

    public init() {}
}
