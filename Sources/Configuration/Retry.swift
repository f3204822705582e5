// When a request that a backend failed is sent again: the model and its keys.

/// When a request that a backend failed is sent again, and how often.
public struct RetrySettings: Equatable, Sendable {
    /// Tries after the first one; 0 for none.
    public var attempts = 2
    public var on: [RetryCondition] = [.connect, .reset]
    /// Also requests whose method is not idempotent (RFC 9110, section 9.2.2): they may happen twice.
    public var includesNonIdempotent = false
    /// Requests that are being retried, as a share (0...1) of those that the pool is serving. A few are always
    /// allowed.
    public var budgetShare = 0.2
    /// From the begin of a try to the begin of its response; nil where only the listener's timeouts hold.
    public var perTryNanoseconds: UInt64?
    /// A request that waits longer than 95 of 100 is sent to a second backend as well.
    public var hedges = false

    public init() {}
}

/// What went wrong with a try.
public enum RetryCondition: Hashable, Sendable {
    /// No backend could be connected to, each having been tried.
    case connect
    /// The backend closed or reset the connection before its response.
    case reset
    /// The response did not begin in time.
    case timeout
    /// The backend answered with this status, 400...599.
    case status(UInt16)

    fileprivate static let words: [(String, Self)] = [
        ("connect", .connect), ("reset", .reset), ("timeout", .timeout),
    ]

    fileprivate var text: String {
        if case .status(let status) = self { return String(status) }
        return Self.words.first { $0.1 == self }!.0
    }
}

extension Keys {
    static var retry: Section<RetrySettings> {
        Section(
            title: "`retry`", documentation: "When a request that a backend failed is sent to another one.",
            prototype: RetrySettings(),
            fields: [
                Field(
                    "attempts", \.attempts, .wholeNumber(0...10),
                    "Tries after the first one. Candidates that cannot be connected to do not count."),
                Field(
                    "on", \.on, condition.oneOrList(limit: 16, of: "them"),
                    "`connect`: no candidate could be connected to. `reset`: the connection ended before the "
                        + "response. `timeout`: the response did not begin in time. A status: it was this."),
                Field(
                    "non_idempotent", \.includesNonIdempotent, .truth,
                    "Also POST and other methods that do harm when they happen twice."),
                Field(
                    "budget", \.budgetShare, .share,
                    "Requests that are being retried, as a share of those that the pool serves. Three are "
                        + "always allowed."),
                Field(
                    "per_try", \.perTryNanoseconds, ValueType.duration(durationRangeNanoseconds).optional,
                    absent: "`connect` and `response_head` of the listener's timeouts",
                    "From the begin of a try to the begin of its response."),
                Field(
                    "hedge", \.hedges, .truth,
                    "Idempotent requests whose response has not begun when 95 of 100 have are sent to a second "
                        + "backend too; the first that answers is heard."),
            ])
    }

    private static var condition: ValueType<RetryCondition> {
        let words = RetryCondition.words.map(\.0)
        return .scalar(
            expectation: alternatives(words.map { "`\($0)`" } + ["a status, `400` to `599`"]),
            shape: .either([.choice(words), .integer(400...599), .text(pattern: "^[45][0-9][0-9]$")]),
            parse: { scalar throws(TextProblem) in
                if let word = RetryCondition.words.first(where: { $0.0 == scalar.text }) { return word.1 }
                if let status = UInt16(scalar.text), (400...599).contains(status) { return .status(status) }
                throw TextProblem(
                    message: "\(scalar.text.quotedForMessage) is nothing to retry on",
                    suggestion: nearestSpelling(of: scalar.text, among: words))
            },
            write: { $0.text })
    }
}
