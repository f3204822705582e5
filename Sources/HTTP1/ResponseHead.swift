// The head of a response, parsed strictly out of octets that `HeadScan` has passed, with what its request was
// in mind. The data plane answers the client with 502 where a backend's head is refused.

/// A response's head. All ranges are in the buffer that it was parsed from; the fields are in the table.
public struct ResponseHead: BitwiseCopyable, Sendable {
    /// Octets of the head.
    public internal(set) var length: UInt32
    /// 100 to 999: what lies above 599 is forwarded as it is.
    public internal(set) var status: UInt16
    /// Fields in the table.
    public internal(set) var fieldCount: UInt16
    /// Minor version: 0 or 1.
    public internal(set) var minorVersion: UInt8
    /// May be empty.
    public internal(set) var reason: HeadRange
    public internal(set) var framing = BodyFraming.none
    /// Whether the backend's connection may serve another request after this response.
    public internal(set) var isPersistent = false
    /// Whether the Upgrade lines are forwarded (101 and 426); they need `Connection: upgrade` beside them.
    public internal(set) var keepsUpgrade = false

    /// Whether another response follows for the same request (1xx but 101; RFC 9110, section 15.2).
    public var isInterim: Bool { status < 200 && status != 101 }

    /// Parses the head that `HeadScan` found complete: the first `length` of `octets`. `count` octets may be
    /// read. `method` is the request's; `wantsUpgrade` is whether the request that was sent asked for another
    /// protocol.
    public static func parse(
        _ octets: UnsafePointer<UInt8>, count: Int, length: Int, limits: HeadLimits, into table: FieldTable,
        method: Method, wantsUpgrade: Bool
    ) throws(Refusal) -> ResponseHead {
        precondition(length <= count)
        let view = unsafe Octets(octets, count: count)
        guard length >= 4 else { throw .badStatusLine }
        let lineEnd = view.first(Octet.carriageReturn, from: 0, to: length &- 2)
        var head = try ResponseHead(view, lineEnd: lineEnd)
        head.length = UInt32(truncatingIfNeeded: length)
        var lines = FieldLines()
        let limit = min(Int(limits.fields), table.capacity)
        try lines.read(view, from: lineEnd &+ 2, to: length &- 2, into: table, limit: limit)
        try head.judge(lines, method: method, wantsUpgrade: wantsUpgrade)
        lines.dropConnectionFields(view, table, keepsUpgrade: head.keepsUpgrade)
        if head.status < 200 || head.status == 204 { lines.dropContentLength(table) }
        return head
    }

    /// Reads the status line (RFC 9112, section 4). The space before an empty reason may be missing: many
    /// servers leave it out, and nothing hangs on it.
    private init(_ octets: Octets, lineEnd: Int) throws(Refusal) {
        length = 0
        fieldCount = 0
        guard lineEnd >= 8 else { throw .badStatusLine }
        minorVersion = try version(octets, at: 0)
        guard lineEnd >= 12, octets[8] == Octet.space, lineEnd == 12 || octets[12] == Octet.space else {
            throw .badStatusLine
        }
        guard let number = decimal(octets, HeadRange(9, 12)), number >= 100 else { throw .badStatusLine }
        status = UInt16(truncatingIfNeeded: number)
        reason = HeadRange(min(13, lineEnd), lineEnd)
    }

    private mutating func judge(
        _ lines: FieldLines, method: Method, wantsUpgrade: Bool
    ) throws(Refusal) {
        fieldCount = UInt16(truncatingIfNeeded: lines.count)
        // A wrong framing is refused even where there is no body: the backend's word is not to be trusted
        // for the next response then.
        let isChunked = try lines.isChunked(minorVersion: minorVersion)
        if status == 101 && !(wantsUpgrade && lines.hasUpgrade) { throw .unexpectedUpgrade }
        keepsUpgrade = lines.hasUpgrade && (status == 101 || status == 426)
        isPersistent = lines.isPersistent(minorVersion: minorVersion)
        if status < 200 || status == 204 || status == 304 || method == .head { return }
        if isChunked {
            framing = .chunked
        } else if let length = lines.contentLength {
            framing = .length(length)
        } else {
            framing = .untilClose
            isPersistent = false
        }
    }
}

extension FieldLines {
    /// Neither 1xx nor 204 may have Content-Length (RFC 9110, section 8.6).
    fileprivate func dropContentLength(_ table: FieldTable) {
        if contentLength == nil { return }
        for index in 0..<count where table[index].name == .contentLength { table.drop(index) }
    }
}
