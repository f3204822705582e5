// What is wrong with the keys of `health` together.

extension Validation {
    static func check(_ health: HealthSettings, _ node: Node, _ context: inout ReadingContext) {
        if health.passive == nil, let entry = node.entry(at: "degrade_at") {
            context.report(
                "`degrade_at` needs passive health, which is `off`", at: entry.keySpan,
                hint: "active checks do not say how many requests fail")
        }
        if let rate = health.passive?.failureRatePercent, let degrade = health.degradeAtPercent,
            degrade >= rate, let value = node.value(at: "degrade_at")
        {
            context.report(
                "a backend is ejected at `failure_rate: \(rate)%`, before it could be degraded",
                at: value.span, expected: "less than `\(rate)%`")
        }
    }

    static func check(_ passive: PassiveSettings, _ node: Node, _ context: inout ReadingContext) {
        if passive.minimum > passive.window {
            let value = node.value(at: "minimum") ?? node.value(at: "window") ?? node
            context.report(
                "a window of \(passive.window) never holds \(passive.minimum) outcomes", at: value.span,
                hint: "`minimum` is at most `window`")
        }
        if passive.longestEjectNanoseconds < passive.ejectNanoseconds {
            let value = node.value(at: "max_eject_for") ?? node.value(at: "eject_for") ?? node
            let first = Quantities.durationText(nanoseconds: passive.ejectNanoseconds)
            let longest = Quantities.durationText(nanoseconds: passive.longestEjectNanoseconds)
            context.report(
                "the longest ejection, \(longest), is shorter than the first, \(first)", at: value.span,
                hint: "`max_eject_for` is at least `eject_for`")
        }
        if passive.consecutiveFailures == nil, passive.failureRatePercent == nil,
            let entry = node.entry(at: "consecutive_failures")
        {
            context.report(
                "nothing is left that ejects", at: entry.keySpan,
                hint: "without passive health: `passive: off`")
        }
    }
}
