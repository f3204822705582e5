// Which records `weir tail` shows. A filter that is given several times wants one of its values; several
// filters want all of them; a record without the key that a filter asks for does not match.

/// Status codes as `--status` names them.
public struct StatusRange: Equatable, Sendable {
    public let codes: ClosedRange<UInt64>

    /// From `5xx`, `503` or `400-499`; nil where it is none of these.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard let low = Self.code(parts[0]), let high = Self.code(parts[1]), low <= high else {
                return nil
            }
            codes = low...high
        } else if text.utf8.count == 3, text.lowercased().hasSuffix("xx"), let digit = text.first,
            let hundreds = UInt64(String(digit)), (1...9).contains(hundreds)
        {
            codes = (hundreds * 100)...(hundreds * 100 + 99)
        } else if let code = Self.code(Substring(text)) {
            codes = code...code
        } else {
            return nil
        }
    }

    private static func code(_ text: Substring) -> UInt64? {
        guard text.utf8.count == 3, let code = UInt64(text), code >= 100 else { return nil }
        return code
    }
}

public struct LogFilter: Sendable {
    public var statuses: [StatusRange] = []
    public var listeners: [String] = []
    public var pools: [String] = []
    public var backends: [String] = []
    public var clients: [ClientRange] = []
    /// A record's `reason` or its `cause`.
    public var reasons: [String] = []
    /// At least so many microseconds in all.
    public var leastMicroseconds: UInt64?

    public init() {}

    /// True where every line matches, even one that cannot be read.
    public var isEmpty: Bool {
        statuses.isEmpty && listeners.isEmpty && pools.isEmpty && backends.isEmpty && clients.isEmpty
            && reasons.isEmpty && leastMicroseconds == nil
    }

    public func matches(_ record: LogRecord) -> Bool {
        Self.isAmong(record.listener, listeners) && Self.isAmong(record.pool, pools)
            && Self.isAmong(record.backend, backends)
            && (reasons.isEmpty
                || [record.reason, record.cause].contains { $0.map(reasons.contains) ?? false })
            && (statuses.isEmpty
                || record.status.map { status in statuses.contains { $0.codes.contains(status) } } ?? false)
            && (clients.isEmpty
                || record.client.map { client in clients.contains { $0.contains(client: client) } } ?? false)
            && leastMicroseconds.map { record.totalMicroseconds ?? 0 >= $0 } ?? true
    }

    private static func isAmong(_ value: String?, _ wanted: [String]) -> Bool {
        wanted.isEmpty || value.map(wanted.contains) ?? false
    }
}
