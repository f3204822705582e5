// Checks that Weir makes itself: the model of `health.active` and its keys.

/// How each backend of a pool is asked whether it is well.
public struct ActiveSettings: Equatable, Sendable {
    // Exactly one of these is given, or `send` and `expect`.
    public var tcp: EmptySettings?
    public var http: HTTPCheckSettings?
    public var redis: EmptySettings?
    public var postgres: EmptySettings?
    /// Octets of the text go out as they are.
    public var send: String?
    /// What the answer begins with.
    public var expect: String?
    public var intervalNanoseconds: UInt64 = 5_000_000_000
    public var timeoutNanoseconds: UInt64 = 2_000_000_000
    /// Failed checks in a row that make a backend unhealthy.
    public var fall = 3
    /// Passed checks in a row that make it well again.
    public var rise = 2
    /// By so much an interval is longer or shorter, by chance.
    public var jitterPercent = 10

    public init() {}
}

/// A kind of check that has nothing to say.
public struct EmptySettings: Equatable, Sendable {
    public init() {}
}

public struct HTTPCheckSettings: Equatable, Sendable {
    /// With a query.
    public var path = "/"
    public var method = CheckMethod.get
    /// nil: the backend's address.
    public var host: String?
    public var headers: [HeaderField] = []
    public var expect: [StatusRange] = [StatusRange(200...399)]
    /// A text that the body contains; nil: anything.
    public var body: String?

    public init() {}
}

public enum CheckMethod: String, CaseIterable, Equatable, Sendable {
    case get = "GET"
    case head = "HEAD"
}

/// Statuses of http.
public struct StatusRange: Equatable, Sendable {
    public var statuses: ClosedRange<UInt16>

    public init(_ statuses: ClosedRange<UInt16>) { self.statuses = statuses }
}

extension Keys {
    private static let countRange = 1...100

    static var active: Section<ActiveSettings> {
        let text = ValueType<String>.scalar(
            expectation: "a text, 1 to 1024 bytes", shape: .anyText,
            parse: { scalar throws(TextProblem) in
                if (1...1024).contains(scalar.text.utf8.count) { return scalar.text }
                throw TextProblem(message: "a text of \(scalar.text.utf8.count) bytes")
            },
            write: { $0 }
        ).optional
        return Section(
            title: "`active`", documentation: "", prototype: ActiveSettings(),
            fields: [
                Field(
                    "tcp", \.tcp, empty("tcp", "A connection is made, and closed."), absent: "no such check"),
                Field("http", \.http, httpCheck, absent: "no such check"),
                Field(
                    "redis", \.redis, empty("redis", "PING is answered with PONG."), absent: "no such check"),
                Field(
                    "postgres", \.postgres,
                    empty("postgres", "The request for TLS is answered, either way. Needs no user."),
                    absent: "no such check"),
                Field("send", \.send, text, absent: "nothing is sent", "With `expect`: what is sent first."),
                Field(
                    "expect", \.expect, text, absent: "no such check", "What the answer has to begin with."),
                Field(
                    "interval", \.intervalNanoseconds, .duration(healthRangeNanoseconds),
                    "From the begin of one check of a backend to that of the next."),
                Field(
                    "timeout", \.timeoutNanoseconds, .duration(healthRangeNanoseconds),
                    "Of one check, the connection included."),
                Field(
                    "fall", \.fall, .wholeNumber(countRange),
                    "So many failed checks in a row make a backend `unhealthy`; the first check of all does so "
                        + "alone."),
                Field("rise", \.rise, .wholeNumber(countRange), "So many passed ones make it well again."),
                Field(
                    "jitter", \.jitterPercent, percentage(0...50),
                    "By so much an interval is longer or shorter, by chance."),
            ],
            judge: { node, active, owner, context in Validation.check(active, node, owner, &context) })
    }

    private static func empty(_ name: String, _ documentation: String) -> Section<EmptySettings> {
        Section(
            title: "`\(name)`", documentation: documentation, prototype: EmptySettings(), fields: [])
    }

    private static var httpCheck: Section<HTTPCheckSettings> {
        Section(
            title: "`http`", documentation: "", prototype: HTTPCheckSettings(),
            fields: [
                Field(
                    "path", \.path,
                    visible("a path, `/healthz?deep=1`", pattern: "^/[!-~]*$") { $0.hasPrefix("/") },
                    "What is asked for, with a query."),
                Field("method", \.method, .choice("method"), "`HEAD` has no body."),
                Field(
                    "host", \.host,
                    visible("a host, with or without a port", pattern: "^[!-~]+$") { !$0.isEmpty }.optional,
                    absent: "the backend's address", "The field `host` of the request."),
                Field("headers", \.headers, headerFields, absent: "none", "Further fields of the request."),
                Field(
                    "expect", \.expect, statusRange.oneOrList(limit: 32, of: "them"),
                    "The statuses of who is well."),
                Field(
                    "body", \.body,
                    ValueType<String>.scalar(
                        expectation: "a text", shape: .anyText, parse: { $0.text }, write: { $0 }
                    ).optional, absent: "anything", "A text within the first 16 KiB of the body."),
            ])
    }

    private static func visible(
        _ expectation: String, pattern: String, _ isGood: @escaping (String) -> Bool
    ) -> ValueType<String> {
        .scalar(
            expectation: expectation, shape: .text(pattern: pattern),
            parse: { scalar throws(TextProblem) in
                if scalar.text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), isGood(scalar.text) {
                    return scalar.text
                }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) cannot be asked for")
            },
            write: { $0 })
    }

    private static var statusRange: ValueType<StatusRange> {
        .scalar(
            expectation: "a status such as `200`, or a range such as `200-299`",
            shape: .either([.integer(100...599), .text(pattern: "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$")]),
            parse: { scalar throws(TextProblem) in
                let ends = scalar.text.split(separator: "-", omittingEmptySubsequences: false)
                    .map { UInt16($0) ?? 0 }
                if (1...2).contains(ends.count), let low = ends.first, let high = ends.last,
                    (200...599).contains(low), (low...599).contains(high)
                {
                    return StatusRange(low...high)
                }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) is no status")
            },
            write: { range in
                let (low, high) = (range.statuses.lowerBound, range.statuses.upperBound)
                return low == high ? "\(low)" : "\(low)-\(high)"
            })
    }
}

extension Validation {
    static func check(
        _ active: ActiveSettings, _ node: Node, _ owner: SourceSpan, _ context: inout ReadingContext
    ) {
        let kinds = ["tcp", "http", "redis", "postgres", "expect"].compactMap { node.entry(at: $0) }
        if kinds.isEmpty {
            let place = node.entry(at: "send")?.keySpan ?? owner
            context.report(
                node.entry(at: "send") == nil ? "a check needs to know what to ask" : "`send` needs `expect`",
                at: place, expected: "`tcp: {}`, `http`, `redis: {}`, `postgres: {}`, or `send` with `expect`"
            )
        } else if kinds.count > 1 {
            context.report(
                "\(kinds[1].key.quotedForMessage) beside \(kinds[0].key.quotedForMessage): a backend is checked in one way",
                at: kinds[1].keySpan)
        } else if let send = node.entry(at: "send"), active.expect == nil, kinds[0].key != "expect" {
            context.report(
                "`send` has no meaning with \(kinds[0].key.quotedForMessage)", at: send.keySpan,
                hint: "it belongs to `expect`")
        }
        if active.timeoutNanoseconds > active.intervalNanoseconds {
            let value = node.value(at: "timeout") ?? node.value(at: "interval") ?? node
            let timeout = Quantities.durationText(nanoseconds: active.timeoutNanoseconds)
            let interval = Quantities.durationText(nanoseconds: active.intervalNanoseconds)
            context.report(
                "a check may take \(timeout), and the next one begins after \(interval)", at: value.span,
                hint: "`timeout` is at most `interval`")
        }
        if let headers = node.value(at: "http")?.value(at: "headers"),
            case .mapping(let entries) = headers.content
        {
            for entry in entries where entry.key.lowercased() == "host" {
                context.report("`host` is a key beside `headers`", at: entry.keySpan)
            }
        }
        if active.http?.method == .head, active.http?.body != nil,
            let body = node.value(at: "http")?.entry(at: "body")
        {
            context.report("an answer to `HEAD` has no body", at: body.keySpan, expected: "`method: GET`")
        }
    }
}
