// What `weir-bench choices` found, as a table for people and as one JSON object for programs.

import Balancing

/// The figures of one `weir-bench choices`.
public struct ChoicesReport {
    struct Row {
        let policy: Policy
        let weights: Weights
        /// Of one choice, for each number of backends.
        let choiceNanoseconds: [Double]
    }

    let backendCounts: [Int]
    var rows: [Row] = []
    var builds: [(policy: Policy, backends: Int, nanoseconds: UInt64)] = []

    init(backendCounts: [Int]) { self.backendCounts = backendCounts }

    /// A table for each kind of weights.
    public func text() -> String {
        var text = ""
        for weights in Weights.allCases {
            text += "millions of choices a second on one core, \(weights.rawValue) weights\n"
            text += padded("backends", 18) + backendCounts.map { right("\($0)", 10) }.joined() + "\n"
            for row in rows where row.weights == weights {
                let cells = row.choiceNanoseconds.map { right(fixed(1000 / $0, 2), 10) }
                text += padded(row.policy.benchName, 18) + cells.joined() + "\n"
            }
            text += "\n"
        }
        for build in builds {
            let time = fixed(Double(build.nanoseconds) / 1e6, 1)
            text += "\(build.policy.benchName) of \(build.backends) backends is built in \(time) ms\n"
        }
        return text
    }

    /// One JSON object on a line; times of choices in nanoseconds.
    public func json() -> String {
        let rows = rows.map { row in
            object([
                ("policy", quoted(row.policy.benchName)), ("weights", quoted(row.weights.rawValue)),
                (
                    "choice_ns",
                    object(zip(backendCounts, row.choiceNanoseconds).map { ("\($0)", fixed($1, 3)) })
                ),
            ])
        }
        let builds = builds.map {
            object([
                ("policy", quoted($0.policy.benchName)), ("backends", "\($0.backends)"),
                ("ms", fixed(Double($0.nanoseconds) / 1e6, 3)),
            ])
        }
        return object([
            ("choices", "[\(rows.joined(separator: ","))]"), ("builds", "[\(builds.joined(separator: ","))]"),
        ]) + "\n"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
    }
}
