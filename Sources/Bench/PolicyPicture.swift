// A picture of what a policy does, for docs/balancing.md: how evenly it spreads sessions over many equal backends,
// and what it sends to one of three that is slow for a while. Drawn from runs of the policy itself; the same
// everywhere, since everything follows from a seed.

import Balancing
import Base

/// One policy, drawn.
public struct PolicyPicture {
    public let policy: Policy

    public init(_ policy: Policy) { self.policy = policy }

    private static var backendCount: Int { 100 }
    private static var sessionsEach: Int { 1000 }

    // Where things stand, in units of the picture.
    private static var size: (width: Double, height: Double) { (720, 166) }
    private static var panel: (width: Double, height: Double) { (310, 96) }
    private static var top: Double { 36 }
    private static var lefts: (spread: Double, slow: Double) { (38, 396) }

    private static var style: String {
        """
        <style>
        text { font: 12px sans-serif; fill: #1f2328 }
        .quiet { fill: #59636e }
        .bars { fill: #0969da }
        .line { fill: none; stroke: #bc4c00; stroke-width: 2; stroke-linejoin: round }
        .axis { stroke: #8c959f }
        .fair { stroke: #8c959f; stroke-dasharray: 4 3 }
        .band { fill: #8c959f; fill-opacity: .2 }
        @media (prefers-color-scheme: dark) {
        text { fill: #f0f6fc } .quiet { fill: #9198a1 }
        .bars { fill: #4493f8 } .line { stroke: #f0883e }
        }
        </style>
        """
    }

    /// A whole SVG document.
    public func svg() -> String {
        let (width, height) = Self.size
        return
            ([
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(fixed(width, 0)) \(fixed(height, 0))\""
                    + " role=\"img\">",
                "<title>\(policy.benchName): spread over equal backends, and one of three that is slow</title>",
                Self.style,
            ] + spread() + slow() + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    // MARK: - How even

    /// Sessions that each backend has when none has ended.
    private func sessions() -> [Int] {
        var random = RandomSource(seed: 1)
        let backends = (0..<Self.backendCount).map { _ in BackendShare(identity: random.next(), weight: 1) }
        let plan = PolicyPlan(policy, backends)
        for index in 0..<Self.backendCount { plan.observe(index, nanoseconds: 1_000_000, now: 0) }
        var state = PolicyState(plan, seed: random.next())
        var counts = [Int](repeating: 0, count: Self.backendCount)
        // Time passes only where somebody is to be asked in it: a millisecond from one session to the next.
        var told = ToldLoads(plan, mostPerSecond: 1000)
        var now: UInt64 = 0
        for _ in 0..<Self.backendCount * Self.sessionsEach {
            var sequence = CandidateSequence()
            if told != nil { now += 1_000_000 }
            told?.tick(now: now)
            guard let index = state.take(&sequence, Choice(key: random.next(), now: now)) else { continue }
            counts[index] += 1
            told?.begin(index)
        }
        return counts
    }

    private func spread() -> [String] {
        let counts = sessions()
        let (left, top, panel) = (Self.lefts.spread, Self.top, Self.panel)
        let step = panel.width / Double(counts.count)
        // Half as many again as is fair fit.
        let scale = panel.height / (1.5 * Double(Self.sessionsEach))
        let bars = counts.enumerated().map { index, count in
            let height = min(Double(count) * scale, panel.height)
            return "M\(fixed(left + Double(index) * step, 1)) \(fixed(top + panel.height, 1))"
                + "v-\(fixed(height, 1))h\(fixed(step * 0.7, 1))v\(fixed(height, 1))z"
        }
        let fair = top + panel.height - Double(Self.sessionsEach) * scale
        return frame(left, "Sessions of 100 equal backends", marks: [(0, "0"), (2.0 / 3, "1000")]) + [
            "<path class=\"bars\" d=\"\(bars.joined())\"/>",
            line("fair", left, fair, left + panel.width, fair),
            text(
                left, top + panel.height + 18, "fewest \(counts.min() ?? 0), most \(counts.max() ?? 0)",
                isQuiet: true),
        ]
    }

    // MARK: - One that is slow

    private func slow() -> [String] {
        let world = SlowBackend()
        let outcome = world.run(policy)
        let (left, top, panel) = (Self.lefts.slow, Self.top, Self.panel)
        let step = panel.width / Double(world.seconds)
        let x = { (second: Int) in left + Double(second) * step }
        // Up to one half.
        let y = { (share: Double) in top + panel.height * (1 - min(share * 2, 1)) }
        let points = outcome.shares.enumerated().map { second, share in
            "\(fixed(x(second), 1)),\(fixed(y(share), 1)) \(fixed(x(second + 1), 1)),\(fixed(y(share), 1))"
        }
        let from = x(world.slowSeconds.lowerBound)
        let share = outcome.shares[world.slowSeconds].reduce(0, +) / Double(world.slowSeconds.count)
        let p99 = outcome.latencies[outcome.latencies.count * 99 / 100]
        return frame(
            left, "Share of one of three, ten times slower in the grey", marks: [(0, "0 %"), (1, "50 %")]) + [
                "<rect class=\"band\" x=\"\(fixed(from, 1))\" y=\"\(fixed(top, 1))\""
                    + " width=\"\(fixed(x(world.slowSeconds.upperBound) - from, 1))\" height=\"\(fixed(panel.height, 1))\"/>",
                line("fair", left, y(1.0 / 3), left + panel.width, y(1.0 / 3)),
                "<polyline class=\"line\" points=\"\(points.joined(separator: " "))\"/>",
                text(
                    left, top + panel.height + 18,
                    "meanwhile \(fixed(share * 100, 2)) % of requests; p99 of all \(fixed(p99 / 1e6, 1)) ms",
                    isQuiet: true),
            ]
    }

    // MARK: - Parts

    /// A panel's title, its two axes, and the marks of the upright one, of its height.
    private func frame(_ left: Double, _ title: String, marks: [(height: Double, label: String)]) -> [String]
    {
        let bottom = Self.top + Self.panel.height
        return [
            text(left, Self.top - 18, title), line("axis", left, Self.top, left, bottom),
            line("axis", left, bottom, left + Self.panel.width, bottom),
        ]
            + marks.map { mark in
                let y = bottom - mark.height * Self.panel.height + 4
                return "<text class=\"quiet\" x=\"\(fixed(left - 5, 1))\" y=\"\(fixed(y, 1))\""
                    + " text-anchor=\"end\">\(mark.label)</text>"
            }
    }

    private func line(_ style: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
        "<line class=\"\(style)\" x1=\"\(fixed(x1, 1))\" y1=\"\(fixed(y1, 1))\""
            + " x2=\"\(fixed(x2, 1))\" y2=\"\(fixed(y2, 1))\"/>"
    }

    private func text(_ x: Double, _ y: Double, _ words: String, isQuiet: Bool = false) -> String {
        "<text\(isQuiet ? " class=\"quiet\"" : "") x=\"\(fixed(x, 1))\" y=\"\(fixed(y, 1))\">\(words)</text>"
    }
}
