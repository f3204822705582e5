// What an access record says, in words, for `weir explain --request`: which route and pool, who was chosen and why, who
// could not be, what the tries came to, and why it ended. docs/logs.md has the meaning of each key.

public struct RecordInWords {
    private let record: LogRecord

    public init(_ record: LogRecord) { self.record = record }

    /// As a page; whatever clients sent is escaped.
    public var text: String {
        var page = Page()
        for (word, lines) in sections { page.add(word, lines.map(DisplayText.escaped)) }
        return page.text
    }

    /// A word, and what it means. What the record does not have is left out.
    var sections: [(word: String, lines: [String])] {
        [
            (isRequest ? "request" : "session", requestLines), ("ended", [record.time ?? "-"]),
            ("listener", [record.listener ?? "-"]), ("route", routeLines), ("pool", poolLines),
            ("excluded", excludedLines), ("affinity", affinityLines), ("choice", choiceLines),
            ("attempts", attemptLines), ("answer", answerLines), ("took", durationLines),
            ("reason", reasonLines),
        ]
    }

    private var isRequest: Bool { text("mode") == "http" }

    // MARK: - Members

    private func value(_ name: String) -> JSONValue? { record.members.first { $0.name == name }?.value }

    private func text(_ name: String) -> String? { value(name)?.string }

    private var pick: [JSONMember] {
        if case .object(let members)? = value("pick") { members } else { [] }
    }

    private func pick(_ name: String) -> JSONValue? { pick.first { $0.name == name }?.value }

    private func duration(_ name: String) -> String? {
        value(name)?.wholeNumber.map { UnitText.duration(microseconds: $0) }
    }

    // MARK: - Sections

    private var requestLines: [String] {
        var first = "from \(record.client ?? "-")"
        if let method = record.method {
            let url = (record.host ?? "") + (record.path ?? "")
            first = "\(method) \(url) \(text("protocol") ?? "") \(first)"
        } else if isRequest {
            first = "not understood, \(first)"
        }
        var lines = [first, "id \(text("id") ?? "-")"]
        if let id = text("request_id"), id != text("id") { lines.append("request id \(id)") }
        if let trace = text("traceparent") { lines.append("traceparent \(trace)") }
        if let agent = text("user_agent") { lines.append("user agent \(agent)") }
        return lines
    }

    private var routeLines: [String] {
        guard isRequest else { return [] }
        if let route = value("route") { return ["\(route.shown), in the order of the file"] }
        if record.reason == "no_route" { return ["none: none matches, and the listener has no pool"] }
        return record.pool == nil ? ["none"] : ["none: the pool is the listener's own"]
    }

    private var poolLines: [String] {
        guard let pool = record.pool else { return isRequest ? ["none was asked for a backend"] : [] }
        let policy = pick("policy")?.shown ?? "-"
        let count = pick("candidates")?.shown ?? "-"
        return ["\(pool): \(policy), \(count) \(count == "1" ? "backend" : "backends")"]
    }

    private var excludedLines: [String] {
        guard case .object(let causes)? = pick("excluded") else { return [] }
        let words = [
            "full": "full: they had max_sessions",
            "bounded_load": "chosen by the key, but with more than their share (bounded_load)",
        ]
        return causes.map { "\($0.value.shown) \(words[$0.name] ?? $0.name)" }
    }

    private var affinityLines: [String] {
        guard case .object(let members)? = pick("affinity") else { return [] }
        func shown(_ name: String) -> String { members.first { $0.name == name }?.value.shown ?? "-" }
        let isCookie = shown("by") == "cookie"
        let result =
            switch shown("result") {
            case "hit": isCookie ? "named the backend" : "was remembered"
            case "none": isCookie ? "the request had none" : "was not remembered"
            case "unknown": "named no backend of the pool"
            case "full": "its backend had max_sessions"
            case "unwell": "its backend was not well"
            case "failed": "its backend was tried in vain"
            case let other: other
            }
        return ["\(shown("by")): \(result)"]
    }

    private var choiceLines: [String] {
        guard record.pool != nil else { return [] }
        guard let backend = record.backend else { return ["none"] }
        var lines = [backend]
        if pick("panic") != nil {
            lines.append("Health was ignored, because too few backends were well.")
        }
        if pick("backup") != nil { lines.append("A backup, because nobody else was usable.") }
        if let key = pick("key") {
            lines.append("By the key \(key.shown), whose hash was \(pick("hash")?.shown ?? "-").")
        }
        if let fallback = pick("fallback") {
            lines.append("By \(fallback.shown), because too few backends had told their load.")
        }
        if pick("hot") != nil {
            lines.append("All had many requests in flight, this one the fewest.")
        }
        if let score = pick("score") { lines.append(scoreLine(score.shown)) }
        return lines
    }

    private func scoreLine(_ score: String) -> String {
        switch (pick("fallback") ?? pick("policy"))?.shown {
        case "least_connections", "power_of_two": return "It had \(score) sessions."
        case "peak_ewma": return "Its cost was \(score) microseconds."
        case "adaptive": return "Its weight counted \(score) percent."
        case "prequal": return "It had told a latency of \(score) microseconds."
        default: return "Its score was \(score)."
        }
    }

    private var attemptLines: [String] {
        guard let attempts = record.attempts else { return [] }
        var lines = ["\(attempts) \(attempts == 1 ? "backend was" : "backends were") tried"]
        if attempts > 1 { lines[0] += "; what is said of the choice is of the last one" }
        if let retried = text("retried") { lines.append("tried again because of: \(retried)") }
        switch text("hedged") {
        case "won": lines.append("sent to a second backend as well, which took over")
        case "lost": lines.append("sent to a second backend as well, which was not needed")
        default: break
        }
        return lines
    }

    private var answerLines: [String] {
        var parts: [String] = []
        if let status = record.status { parts.append("status \(status)") }
        if value("upgraded") != nil { parts.append("went on in another protocol") }
        if let count = record.bytesIn { parts.append("\(UnitText.bytes(count)) from the client") }
        if let count = record.bytesOut { parts.append("\(UnitText.bytes(count)) to it") }
        return parts.isEmpty ? [] : [parts.joined(separator: ", ")]
    }

    private var durationLines: [String] {
        let parts = [
            ("wait_us", "waiting for a place at a backend"), ("connect_us", "connecting"),
            ("first_byte_us", "until the backend's first byte"), ("total_us", "in all"),
        ]
        return Page.aligned(parts.compactMap { name, words in duration(name).map { [$0, words] } })
    }

    private var reasonLines: [String] {
        guard let reason = record.reason else { return [] }
        var lines = ["\(reason): \(Self.reasons[reason] ?? "docs/logs.md has its meaning")"]
        if let cause = record.cause {
            lines.append("cause \(cause)" + (Self.causes[cause].map { ": \($0)" } ?? ""))
        }
        return lines
    }

    // MARK: - Words of docs/logs.md

    private static let reasons = [
        "ok": "all went its way", "client_reset": "the client reset the connection, or was gone",
        "client_closed": "the client closed before its request was whole",
        "backend_reset": "the backend reset the connection, or was gone",
        "backend_closed": "the backend closed before its response was whole",
        "bad_request": "the request broke a rule", "body_too_large": "the body is beyond limits.body_size",
        "bad_response": "the response broke a rule", "no_route": "no route matches",
        "timeout_idle": "no byte either way for timeouts.idle",
        "timeout_request_head": "the head was not whole within timeouts.request_head",
        "timeout_request_body": "the body came too slowly",
        "timeout_response_head": "no response within timeouts.response_head",
        "timeout_pending": "all backends stayed full for breaker.pending_timeout",
        "no_backend": "no backend could be reached",
        "client_limit": "the client has sessions_per_client sessions already",
        "denied": "the client's address is not served (allow, deny)",
        "rate_limited": "a rate limit had nothing left", "out_of_descriptors": "no descriptor was left",
        "backend_removed": "its backend was taken out of the configuration",
        "overloaded": "no buffer or slot was left", "shutdown": "Weir stopped",
    ]

    private static let causes = [
        "connect_refused": "nobody listens there", "timeout_connect": "no answer within timeouts.connect",
        "connect_unreachable": "no way to the host or network",
        "connect_failed": "the socket could not be used",
        "backend_removed": "it was taken out of the configuration meanwhile",
        "backends_full": "every backend has max_sessions sessions",
    ]
}
