// What a line of Weir's logs says, key by key as docs/logs.md names them. Everything is optional: a key
// that is absent or of another type is nil, and the line is shown all the same.

/// One line of the access log or of the event log.
public struct LogRecord: Sendable {
    public enum Kind: Sendable {
        /// A session or a request that ended.
        case access
        /// What happened to Weir itself.
        case event
        /// A JSON object that is neither.
        case other
    }

    public private(set) var kind = Kind.other
    /// All members, in the order of the line.
    public let members: [JSONMember]

    public private(set) var time: String?
    public private(set) var listener: String?
    public private(set) var client: String?
    public private(set) var pool: String?
    public private(set) var backend: String?
    public private(set) var reason: String?
    public private(set) var cause: String?
    public private(set) var attempts: UInt64?
    public private(set) var bytesIn: UInt64?
    public private(set) var bytesOut: UInt64?
    public private(set) var totalMicroseconds: UInt64?

    // Of http records only.
    public private(set) var status: UInt64?
    public private(set) var method: String?
    public private(set) var host: String?
    public private(set) var path: String?

    // Of events only.
    public private(set) var level: String?
    public private(set) var event: String?

    /// Nil where the line is neither a JSON object nor in the text format.
    public init?(_ line: [UInt8]) {
        guard let members = JSONObject.members(of: line) ?? TextLine.members(of: line) else { return nil }
        self.members = members
        for member in members { read(member) }
        if event != nil {
            kind = .event
        } else if reason != nil || status != nil {
            kind = .access
        }
    }

    private mutating func read(_ member: JSONMember) {
        switch member.name {
        case "time": time = member.value.string
        case "listener": listener = member.value.string
        case "client": client = member.value.string
        case "pool": pool = member.value.string
        case "backend": backend = member.value.string
        case "reason": reason = member.value.string
        case "cause": cause = member.value.string
        case "attempts": attempts = member.value.wholeNumber
        case "bytes_in": bytesIn = member.value.wholeNumber
        case "bytes_out": bytesOut = member.value.wholeNumber
        case "total_us": totalMicroseconds = member.value.wholeNumber
        case "status": status = member.value.wholeNumber
        case "method": method = member.value.string
        case "host": host = member.value.string
        case "path": path = member.value.string
        case "level": level = member.value.string
        case "event": event = member.value.string
        default: break
        }
    }
}

/// How a session or request went, for its colour and for the share of errors.
public enum Severity: Comparable, Sendable {
    case good
    /// The client's doing, or a limit that did its work: status 4xx, `client_reset`, `timeout_idle`, ...
    case notable
    /// The service did not do what it is there for: status 5xx, `no_backend`, `backend_reset`, ...
    case failed
}

extension LogRecord {
    public var severity: Severity {
        max(severityOfStatus, severityOfReason)
    }

    private var severityOfStatus: Severity {
        switch status {
        case .some(500...): .failed
        case .some(400...499): .notable
        default: .good
        }
    }

    private var severityOfReason: Severity {
        guard let reason, reason != "ok", reason != "upgraded" else { return .good }
        if reason.hasPrefix("backend") || reason.hasPrefix("no_backend") || reason.hasPrefix("connect_") {
            return .failed
        }
        // With a status, that says how bad another reason is: a 404 for want of a route is no failure.
        if status != nil || reason.hasPrefix("client_") { return .notable }
        return ["timeout_idle", "timeout_request_head", "denied", "rate_limited", "shutdown"].contains(reason)
            ? .notable : .failed
    }
}
