// Turns results of active checks into a verdict: so many in a row, either way. The first result of all decides
// alone, so that a backend which is down when Weir starts gets no session for long.

/// Of one backend.
struct CheckCount: Equatable, Sendable {
    enum Verdict: Equatable, Sendable {
        case unknown, passing, failing
    }

    private(set) var verdict = Verdict.unknown
    /// Equal results in a row, of the last kind.
    private(set) var passed = 0
    private(set) var failed = 0

    /// True where the verdict is another than before.
    mutating func note(hasPassed: Bool, _ rules: CheckRules) -> Bool {
        let before = verdict
        if hasPassed {
            passed += 1
            failed = 0
            if verdict == .unknown || passed >= rules.rise { verdict = .passing }
        } else {
            failed += 1
            passed = 0
            if verdict == .unknown || failed >= rules.fall { verdict = .failing }
        }
        return verdict != before
    }

    /// What passed before its ejection does not speak for a backend.
    mutating func forgetPassed() { passed = 0 }
}
