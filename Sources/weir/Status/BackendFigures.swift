// A backend's figures of an interval, in what order they are shown, and what they were before.

/// Names a backend in every sample.
struct BackendKey: Hashable {
    let pool: String
    let name: String

    init(_ backend: Sample.Backend) { (pool, name) = (backend.pool, backend.name) }
}

struct BackendFigures {
    let now: Sample.Backend
    let rate: Double
    let failures: Double
    let answerMicroseconds: UInt64?

    init(_ now: Sample.Backend, since then: Sample.Backend?, _ interval: Interval) {
        self.now = now
        rate = interval.rate(now.tries, since: then?.tries)
        failures = interval.rate(now.failures, since: then?.failures)
        answerMicroseconds = interval.answer(now, since: then)
    }
}

/// By what backends are sorted; numbers with the largest first.
enum BackendOrder: String, CaseIterable {
    case file = "the file"
    case rate
    case failures
    case active
    case answer

    var next: BackendOrder {
        let all = Self.allCases
        return all[(all.firstIndex(of: self)! + 1) % all.count]
    }

    func sorted(_ figures: [BackendFigures]) -> [BackendFigures] {
        switch self {
        case .file: figures
        case .rate: figures.sorted { $0.rate > $1.rate }
        case .failures: figures.sorted { $0.failures > $1.failures }
        case .active: figures.sorted { $0.now.active > $1.now.active }
        case .answer: figures.sorted { $0.answerMicroseconds ?? 0 > $1.answerMicroseconds ?? 0 }
        }
    }
}

/// The last rates of each backend.
struct RateHistory {
    private static let length = 20
    private static let bars = Array("▁▂▃▄▅▆▇█")
    private var rates: [BackendKey: [Double]] = [:]

    /// Who is gone is forgotten.
    mutating func add(_ interval: Interval) {
        let before = Dictionary(
            interval.before.backends.map { (BackendKey($0), $0.tries) },
            uniquingKeysWith: { first, _ in first })
        var next: [BackendKey: [Double]] = [:]
        for backend in interval.after.backends {
            let key = BackendKey(backend)
            let rate = interval.rate(backend.tries, since: before[key])
            next[key] = (rates[key] ?? []).suffix(Self.length - 1) + [rate]
        }
        rates = next
    }

    /// A bar for each second, of the backend's own height.
    func sparkline(_ key: BackendKey) -> String {
        let rates = rates[key] ?? []
        guard let top = rates.max(), top > 0 else {
            return String(repeating: Self.bars[0], count: rates.count)
        }
        return String(rates.map { Self.bars[Int($0 / top * Double(Self.bars.count - 1) + 0.5)] })
    }
}
