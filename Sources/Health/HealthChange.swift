// What the keeper reports: a change of a backend's state with its cause and numbers, ready for the log; and the
// begin and end of panic.

import Balancing

/// A backend is in another state.
public struct HealthChange: Equatable, Sendable {
    public enum Cause: Equatable, Sendable {
        /// Failures in a row, the last of this kind.
        case failures(count: Int, Fault, spanNanoseconds: UInt64)
        /// Failures among the last outcomes.
        case failureRate(failed: Int, of: Int, Fault)
        /// The session that it got on trial went well.
        case trialPassed(afterNanoseconds: UInt64)
        /// The session that it got on trial failed.
        case trialFailed(Fault)
        case checksFailed(count: Int, why: String)
        case checksPassed(count: Int)
        case slowStartOver
        case failsLess(failed: Int, of: Int)
        case noFailure(forNanoseconds: UInt64)
        /// By an operator.
        case ordered
        /// The process whose place this one took had found it so.
        case handedOver
    }

    public var pool: Int
    /// As in the pool's candidates.
    public var backend: Int
    public var from: BackendState
    public var to: BackendState
    public var cause: Cause
    /// When an ejection ends, from now; 0 of other changes.
    public var backInNanoseconds: UInt64 = 0
    /// How many ejections followed each other; 0 of other changes.
    public var repetition = 0

    /// For people: `5 consecutive connect_refused in 1.2 s; back in 30 s`.
    public var text: String {
        let cause =
            switch cause {
            case .failures(let count, let fault, let span):
                "\(count) consecutive \(fault.name) in \(seconds(span))"
            case .failureRate(let failed, let all, let fault):
                "\(failed) of the last \(all) failed, the last with \(fault.name)"
            case .trialPassed(let length):
                "a session on trial went well, \(seconds(length)) after its ejection"
            case .trialFailed(let fault): "\(fault.name) on trial"
            case .checksFailed(let count, let why):
                "\(count) \(count == 1 ? "check" : "consecutive checks") failed: \(why)"
            case .checksPassed(let count): "\(count) \(count == 1 ? "check" : "consecutive checks") passed"
            case .slowStartOver: "slow start is over"
            case .failsLess(let failed, let all): "\(failed) of the last \(all) failed"
            case .noFailure(let length): "no failure for \(seconds(length))"
            case .ordered: "by order"
            case .handedOver: "as the process before left it"
            }
        return to == .ejected ? "\(cause); back in \(seconds(backInNanoseconds))" : cause
    }

    private func seconds(_ nanoseconds: UInt64) -> String {
        if nanoseconds < 1_000_000_000 { return "\((nanoseconds + 500_000) / 1_000_000) ms" }
        let tenths = (nanoseconds + 50_000_000) / 100_000_000
        return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
}

/// Something that the log should have.
public enum HealthEvent: Equatable, Sendable {
    case change(HealthChange)
    /// The ejection took its time: the backend gets one session at a time, until one goes well.
    case trial(pool: Int, backend: Int, afterNanoseconds: UInt64)
    /// Health of the pool is ignored from now on, or no longer: so many backends are well, of so many.
    case panic(pool: Int, isOn: Bool, usable: Int, of: Int)
}
