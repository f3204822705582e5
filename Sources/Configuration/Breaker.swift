// What a pool takes at once, and how long the rest waits: the model and its keys.

/// Limits of a pool as a whole. Backends have `max_sessions` of their own beside it.
public struct BreakerSettings: Equatable, Sendable {
    /// Sessions (in http mode requests) of the whole pool at once; nil for no limit.
    public var maxSessions: Int?
    /// How many may wait for a place; 0 turns them away at once.
    public var maxPending = 1024
    /// How long each waits.
    public var pendingTimeoutNanoseconds: UInt64 = 1_000_000_000

    public init() {}
}

extension Keys {
    static var breaker: Section<BreakerSettings> {
        let sessions = ValueType<Int>.wholeNumber(1...10_000_000)
        return Section(
            title: "`breaker`", documentation: "What a pool takes at once, and how long the rest waits.",
            prototype: BreakerSettings(),
            fields: [
                Field(
                    "max_sessions", \.maxSessions, sessions.optional, absent: "no limit",
                    "Sessions, in http mode requests, of all its backends at once."),
                Field(
                    "max_pending", \.maxPending, .wholeNumber(0...10_000_000),
                    "So many wait while all backends are full; 0 turns them away at once."),
                Field(
                    "pending_timeout", \.pendingTimeoutNanoseconds, .duration(durationRangeNanoseconds),
                    "How long one waits for a place."),
            ])
    }
}
