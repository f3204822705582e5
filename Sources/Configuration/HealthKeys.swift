// The keys that say how the health of a pool's backends is found out; `Keys.swift` has the rest of the table.

extension Keys {
    static let failureRange = 1...1_000
    static let windowRange = 1...10_000
    static let healthRangeNanoseconds: ClosedRange<UInt64> = 10_000_000...86_400_000_000_000

    static var health: Section<HealthSettings> {
        Section(
            title: "`health`", documentation: "When backends are taken out of rotation.",
            prototype: HealthSettings(),
            fields: [
                Field("active", \.active, active, absent: "no checks"),
                Field(
                    "passive", \.passive, passiveOrOff, absent: "on, as below",
                    "Ejects backends that fail sessions or requests; `off` leaves them in."),
                Field(
                    "degrade_at", \.degradeAtPercent, percentage(1...100).optional, absent: "off",
                    "The failure rate that halves a backend's weight. It is of the outcomes in "
                        + "`passive.window`."),
                Field(
                    "panic_below", \.panicBelowPercent, percentage(0...100),
                    "With a smaller share of usable backends health is ignored and all are tried; `0%` never "
                        + "does that. With the default it takes that none is usable (of more than a hundred, "
                        + "less than one in a hundred)."),
            ],
            judge: { node, health, _, context in Validation.check(health, node, &context) })
    }

    private static var passive: Section<PassiveSettings> {
        let count = ValueType<Int>.wholeNumber(failureRange).optional.orWord("off", for: nil) { $0 == nil }
        let rate = percentage(1...100).optional.orWord("off", for: nil) { $0 == nil }
        return Section(
            title: "`passive`", documentation: "", prototype: PassiveSettings(),
            fields: [
                Field(
                    "consecutive_failures", \.consecutiveFailures, count,
                    "So many failures without a success between them eject."),
                Field(
                    "failure_rate", \.failureRatePercent, rate,
                    "So many failures among the last outcomes eject."),
                Field(
                    "window", \.window, .wholeNumber(windowRange),
                    "How many outcomes of a backend a rate is of."),
                Field(
                    "minimum", \.minimum, .wholeNumber(windowRange),
                    "How many there must be for a rate to count."),
                Field(
                    "eject_for", \.ejectNanoseconds, .duration(healthRangeNanoseconds),
                    "How long an ejection lasts. One that follows soon lasts twice as long as the last."),
                Field(
                    "max_eject_for", \.longestEjectNanoseconds, .duration(healthRangeNanoseconds),
                    "The longest ejection. Who has served for so long starts again at `eject_for`."),
                Field(
                    "max_ejected", \.maxEjectedPercent, percentage(1...100),
                    "The share of the pool's backends that may be ejected at once, rounded down: of one "
                        + "backend none is, but with `100%`."),
            ],
            judge: { node, passive, owner, context in Validation.check(passive, node, &context) })
    }

    private static var passiveOrOff: ValueType<PassiveSettings?> {
        let section = passive
        return ValueType<PassiveSettings?>(
            expectation: "`off`, or a section", shape: .either([.choice(["off"]), .section(section.shape)]),
            reader: { node, expected, context in
                guard case .scalar = node.content else {
                    var settings = section.prototype
                    section.read(node, into: &settings, owner: node.span, &context)
                    return settings
                }
                guard let scalar = node.scalar(expected: expected, &context) else { return nil }
                if scalar.text == "off" { return .some(nil) }
                context.report("found \(scalar.text.quotedForMessage)", at: node.span, expected: expected)
                return nil
            },
            render: { $0.map(section.render) ?? .scalar("off") })
    }

    /// Whole percent.
    static func percentage(_ range: ClosedRange<Int>) -> ValueType<Int> {
        .scalar(
            expectation: "a percentage, `\(range.lowerBound)%` to `\(range.upperBound)%`",
            shape: .text(pattern: "^[0-9]{1,4}%$"),
            parse: { scalar throws(TextProblem) in
                let text = scalar.text
                guard text.hasSuffix("%"), let percent = Int(text.dropLast()), percent >= 0 else {
                    throw TextProblem(
                        message: "\(text.quotedForMessage) is not a percentage",
                        suggestion: Int(text).map { "\($0)%" })
                }
                if range.contains(percent) { return percent }
                throw TextProblem(message: "\(text.quotedForMessage) is out of range")
            },
            write: { "\($0)%" })
    }

    /// The word is no suggestion of its own for a duration.
    static var slowStart: ValueType<UInt64> {
        ValueType<UInt64>.duration(healthRangeNanoseconds).orWord("off", for: 0) { $0 == 0 }
    }
}
