// The keys of `reload`: when a configuration that was applied is taken back by itself. Part of the table in
// `Keys.swift`.

/// When a configuration that was applied is taken back.
public struct ReloadSettings: Equatable, Sendable {
    /// More than this share fails.
    public var rollbackAbovePercent = 5
    public var withinNanoseconds: UInt64 = 60_000_000_000
    public var minimum = 100

    public init() {}
}

extension Keys {
    static let rollbackRangeNanoseconds: ClosedRange<UInt64> = 1_000_000_000...3_600_000_000_000

    static var reload: Section<ReloadSettings> {
        Section(
            title: "`reload`",
            documentation: "When a configuration that was applied is taken back by itself (docs/reload.md).",
            prototype: ReloadSettings(),
            fields: [
                Field(
                    "rollback_above", \.rollbackAbovePercent, percentage(1...99), isRequired: true,
                    "Where more than this share of tries at backends fails, or of requests is answered 5xx, in "
                        + "the time after the reload that brought this file, the configuration before comes back."
                ),
                Field(
                    "within", \.withinNanoseconds, .duration(rollbackRangeNanoseconds),
                    "How long after a reload."),
                Field(
                    "minimum", \.minimum, .wholeNumber(1...1_000_000),
                    "How many tries or requests there must be for a share to count."),
            ])
    }
}
