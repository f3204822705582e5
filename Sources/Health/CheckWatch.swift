// Whether active checks still happen: who asks may hang, its ring may fail, a check may never end. Says so once when
// it begins, and once when it is over.

public struct CheckWatch: Sendable {
    /// Why checks stand still.
    public enum Trouble: Equatable, Sendable {
        /// What they run on cannot be used.
        case failed(String)
        /// The thread has not turned for so long.
        case stalled(nanoseconds: UInt64)
        /// So many checks have not ended in their time.
        case overdue(Int)

        /// For people.
        public var text: String {
            switch self {
            case .failed(let cause): cause
            case .stalled(let nanoseconds):
                "the thread that checks has not turned for \(nanoseconds / 1_000_000_000) s"
            case .overdue(let count): "\(count) checks have not ended in their time"
            }
        }
    }

    public enum News: Equatable, Sendable {
        case began(Trouble)
        case over
    }

    /// Beyond its timeout a check may take this long to end, and the thread to turn.
    public static let patienceNanoseconds: UInt64 = 3_000_000_000

    private var isInTrouble = false
    private var looksInTrouble = 0

    public init() {}

    /// - Parameters:
    ///   - turnedAt: when the thread turned last, on the clock of `now`.
    ///   - overdue: checks that should have ended long ago.
    ///   - failure: why there will be no more checks; nil where there will.
    public mutating func look(now: UInt64, turnedAt: UInt64, overdue: Int, failure: String?) -> News? {
        let trouble: Trouble? =
            if let failure { .failed(failure) } else if now > turnedAt + Self.patienceNanoseconds {
                .stalled(nanoseconds: now - turnedAt)
            } else if overdue > 0 { .overdue(overdue) } else { nil }
        guard let trouble else {
            looksInTrouble = 0
            defer { isInTrouble = false }
            return isInTrouble ? .over : nil
        }
        // Where the whole process was stopped, whoever looks may be back before whoever checks.
        looksInTrouble += 1
        guard looksInTrouble > 1, !isInTrouble else { return nil }
        isInTrouble = true
        return .began(trouble)
    }
}
