// When a pool is in trouble: no backend of it is usable, one is left, or too many tries at its backends fail. What
// holds begins an alert at once and ends it when it has not held for a while, so that nobody is told of every step of
// a pool that goes to and fro. Pure: the control thread passes in the clock and what it counted.

/// What an alert is about.
public enum AlertCondition: UInt8, CaseIterable, Sendable {
    case noUsableBackend
    case oneBackendLeft
    case errorRate

    /// As the log has it.
    public var name: StaticString {
        switch self {
        case .noUsableBackend: "no_usable_backend"
        case .oneBackendLeft: "one_backend_left"
        case .errorRate: "error_rate"
        }
    }
}

/// What is seen of a pool at a moment.
public struct PoolSight: Equatable, Sendable {
    /// Of the backends with a weight, those in a state that takes sessions.
    public var usable: Int
    public var backends: Int
    /// Tries at its backends, and those that failed, since the process began.
    public var tries: UInt64
    public var failures: UInt64

    public init(usable: Int, backends: Int, tries: UInt64, failures: UInt64) {
        self.usable = usable
        self.backends = backends
        self.tries = tries
        self.failures = failures
    }
}

/// An alert has begun, or is over.
public struct Alert: Equatable, Sendable {
    public var condition: AlertCondition
    public var isOver: Bool
    public var usable: Int
    public var backends: Int
    /// Within the last `AlertWatch.windowNanoseconds`.
    public var tries: UInt64
    public var failures: UInt64
    /// How long it lasted; 0 where it begins.
    public var lastedNanoseconds: UInt64

    /// For people.
    public var text: String {
        let sight =
            switch condition {
            case .noUsableBackend, .oneBackendLeft: "\(usable) of \(backends) backends usable"
            case .errorRate:
                "\(failures) of \(tries) tries failed in \(AlertWatch.windowNanoseconds / 1_000_000_000) s"
            }
        return isOver ? "over after \(lastedNanoseconds / 1_000_000_000) s: \(sight)" : sight
    }
}

/// Of one pool.
public struct AlertWatch: Sendable {
    /// What a rate is of.
    public static let windowNanoseconds: UInt64 = 10_000_000_000
    /// Fewer tries have no rate.
    public static let fewestTries: UInt64 = 20
    /// An alert is over when its condition has not held for so long.
    public static let calmNanoseconds: UInt64 = 10_000_000_000
    private static let sampleNanoseconds: UInt64 = 1_000_000_000

    private struct Sample {
        var at: UInt64
        var tries: UInt64
        var failures: UInt64
    }

    private struct Lasting {
        var began: UInt64
        var heldLast: UInt64
    }

    private let errorRatePercent: UInt64
    /// Oldest first; the first is what the window is counted from. None before the first look after `countAnew`.
    private var samples: [Sample]
    private var lasting: [Lasting?] = Array(repeating: nil, count: AlertCondition.allCases.count)

    /// `now` is when counting began, or soon after.
    public init(errorRatePercent: Int, now: UInt64) {
        self.errorRatePercent = UInt64(errorRatePercent)
        samples = [Sample(at: now, tries: 0, failures: 0)]
    }

    /// The pool has other backends, and their counts are others: rates are of what comes from the next look on.
    /// Alerts go on.
    public mutating func countAnew() { samples = [] }

    /// The pool is gone: what lasted is over.
    public mutating func end() -> [Alert] {
        defer { lasting = Array(repeating: nil, count: lasting.count) }
        return AlertCondition.allCases.compactMap { condition in
            lasting[Int(condition.rawValue)].map { known in
                Alert(
                    condition: condition, isOver: true, usable: 0, backends: 0, tries: 0, failures: 0,
                    lastedNanoseconds: known.heldLast - known.began)
            }
        }
    }

    /// Call it as often as wanted, with a clock in nanoseconds.
    public mutating func look(_ sight: PoolSight, now: UInt64) -> [Alert] {
        let (tries, failures) = note(sight, now)
        var alerts: [Alert] = []
        for condition in AlertCondition.allCases {
            let place = Int(condition.rawValue)
            let isLasting = lasting[place] != nil
            let holds = holds(condition, sight, tries, failures, isLasting)
            if holds, isLasting {
                lasting[place]!.heldLast = now
                continue
            }
            guard holds || isLasting else { continue }
            var alert = Alert(
                condition: condition, isOver: !holds, usable: sight.usable, backends: sight.backends,
                tries: tries, failures: failures, lastedNanoseconds: 0)
            if let known = lasting[place] {
                guard now - known.heldLast >= Self.calmNanoseconds else { continue }
                alert.lastedNanoseconds = known.heldLast - known.began
                lasting[place] = nil
            } else {
                lasting[place] = Lasting(began: now, heldLast: now)
            }
            alerts.append(alert)
        }
        return alerts
    }

    /// Tries and failures within the window.
    private mutating func note(_ sight: PoolSight, _ now: UInt64) -> (tries: UInt64, failures: UInt64) {
        if samples.last.map({ now - $0.at >= Self.sampleNanoseconds }) ?? true {
            samples.append(Sample(at: now, tries: sight.tries, failures: sight.failures))
        }
        while samples.count > 1, now - samples[1].at >= Self.windowNanoseconds { samples.removeFirst() }
        let first = samples[0]
        return (sight.tries - first.tries, sight.failures - first.failures)
    }

    /// A rate that was reached lasts until it is half of that.
    private func holds(
        _ condition: AlertCondition, _ sight: PoolSight, _ tries: UInt64, _ failures: UInt64,
        _ isLasting: Bool
    ) -> Bool {
        switch condition {
        case .noUsableBackend: return sight.usable == 0 && sight.backends > 0
        case .oneBackendLeft: return sight.usable == 1 && sight.backends > 1
        case .errorRate:
            let percent = isLasting ? (errorRatePercent + 1) / 2 : errorRatePercent
            return tries >= Self.fewestTries && failures * 100 >= percent * tries
        }
    }
}
