// `weir-bench choices`: how many choices a second each balancing policy makes on one core, each with its place
// taken and given back, and how long the tables of hash policies take to build. No network, no data plane:
// the policies by themselves.

import Balancing
import Base
import Glibc

/// What to measure.
public struct ChoicesOptions: Sendable {
    public var policies = Policy.allCases
    /// Sizes of the pools.
    public var backendCounts = [3, 100, 1_000, 10_000]
    /// CPU time of one measurement.
    public var nanoseconds: UInt64 = 50_000_000

    public init() {}
}

/// What the weights of a pool are.
public enum Weights: String, CaseIterable, Sendable {
    /// 1 each.
    case equal
    /// 1, 2, 3, 1, 2, 3, ...
    case unequal

    func backends(_ count: Int) -> [BackendShare] {
        var random = RandomSource(seed: 7)
        return (0..<count).map {
            BackendShare(identity: random.next(), weight: self == .equal ? 1 : UInt32(1 + $0 % 3))
        }
    }
}

extension Policy {
    /// As the configuration names it, or for `consistent_hash` its algorithm.
    public var benchName: String {
        switch self {
        case .ketama: "ketama"
        case .maglev: "maglev"
        default: "\(name)"
        }
    }
}

/// The measurement itself.
public enum Choices {
    /// One figure is the middle one of so many measurements.
    private static var measurements: Int { 5 }

    /// CPU time of this thread alone: on a busy machine the time that others run does not count.
    private static func cpuNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Measures everything, one after the other.
    public static func run(_ options: ChoicesOptions) -> ChoicesReport {
        var report = ChoicesReport(backendCounts: options.backendCounts)
        for weights in Weights.allCases {
            for policy in options.policies {
                let figures = options.backendCounts.map { count in
                    let plan = PolicyPlan(policy, weights.backends(count))
                    return choiceNanoseconds(plan, options.nanoseconds)
                }
                report.rows.append(.init(policy: policy, weights: weights, choiceNanoseconds: figures))
            }
        }
        let largest = options.backendCounts.max() ?? 0
        for policy in options.policies where policy == .maglev || policy == .ketama {
            report.builds.append((policy, largest, buildNanoseconds(policy, largest)))
        }
        return report
    }

    private static func choiceNanoseconds(_ plan: PolicyPlan, _ nanoseconds: UInt64) -> Double {
        var state = PolicyState(plan, seed: 1)
        var keys = RandomSource(seed: 2)
        let now: UInt64 = 1_000_000_000
        // Each answers a little slower than the one before.
        for index in 0..<plan.candidates.count {
            plan.observe(index, nanoseconds: 1_000_000 + UInt64(index), now: now)
        }
        var told = ToldLoads(plan)
        let found = (0..<measurements).map { _ in
            var choices = 0
            var batch = 1
            var spent: UInt64 = 0
            while spent < nanoseconds {
                batch = told?.tellAll(now: now) ?? batch
                let start = cpuNanoseconds()
                choose(batch, &state, &keys, now)
                spent += cpuNanoseconds() - start
                choices += batch
                batch = min(batch * 2, 10_000)
            }
            return Double(spent) / Double(choices)
        }
        return found.sorted()[measurements / 2]
    }

    private static func choose(
        _ count: Int, _ state: inout PolicyState, _ keys: inout RandomSource, _ now: UInt64
    ) {
        for _ in 0..<count {
            var sequence = CandidateSequence()
            guard let index = state.take(&sequence, Choice(key: keys.next(), now: now)) else { return }
            state.plan.candidates.release(index)
        }
    }

    private static func buildNanoseconds(_ policy: Policy, _ count: Int) -> UInt64 {
        let backends = Weights.equal.backends(count)
        let found = (0..<measurements).map { _ in
            let start = cpuNanoseconds()
            _ = PolicyPlan(policy, backends)
            return cpuNanoseconds() - start
        }
        return found.sorted()[measurements / 2]
    }
}
