// The head of a request, parsed strictly out of octets that `HeadScan` has passed. The data plane parses,
// routes and writes it anew in one go; what it keeps longer it copies.

/// A request's head. All ranges are in the buffer that it was parsed from; the fields are in the table.
public struct RequestHead: BitwiseCopyable, Sendable {
    /// Octets of the head, an empty line before it included.
    public internal(set) var length: UInt32
    public internal(set) var method: Method
    /// Minor version: 0 or 1.
    public internal(set) var minorVersion: UInt8
    /// Fields in the table.
    public internal(set) var fieldCount: UInt16
    public internal(set) var methodRange: HeadRange
    public internal(set) var target: RequestTarget
    /// Whom the request is for: of the target where that is absolute, else the value of Host. Empty only in
    /// HTTP/1.0 without Host.
    public internal(set) var authority = Authority()
    public internal(set) var framing = BodyFraming.none
    /// Whether the client wants to send more on the connection (RFC 9112, section 9.3).
    public internal(set) var isPersistent = false
    /// Whether the client waits for 100 before it sends the body (RFC 9110, section 10.1.1).
    public internal(set) var expectsContinue = false
    /// Whether the client asks for another protocol (RFC 9110, section 7.8): the Upgrade lines are forwarded
    /// and need `Connection: upgrade` beside them.
    public internal(set) var wantsUpgrade = false
    /// Whether the client said `TE: trailers` (RFC 9110, section 6.5.1).
    public internal(set) var acceptsTrailers = false

    /// Parses the head that `HeadScan` found complete: the first `length` of `octets`. `count` octets may be
    /// read. The table holds the fields afterwards, also (some of them) after a refusal.
    public static func parse(
        _ octets: UnsafePointer<UInt8>, count: Int, length: Int, limits: HeadLimits, into table: FieldTable
    ) throws(Refusal) -> RequestHead {
        precondition(length <= count)
        let view = unsafe Octets(octets, count: count)
        var start = 0
        if length >= 2, view[0] == Octet.carriageReturn { start = 2 }
        // Both the first line's end and the empty line take two octets.
        guard length &- start >= 4 else { throw .badRequestLine }
        let lineEnd = view.first(Octet.carriageReturn, from: start, to: length &- 2)
        var head = try RequestHead(view, HeadRange(start, lineEnd), limits)
        head.length = UInt32(truncatingIfNeeded: length)
        var lines = FieldLines()
        let limit = min(Int(limits.fields), table.capacity)
        try lines.read(view, from: lineEnd &+ 2, to: length &- 2, into: table, limit: limit)
        try head.judge(lines, view)
        lines.dropConnectionFields(view, table, keepsUpgrade: head.wantsUpgrade)
        return head
    }

    /// Reads the request line (RFC 9112, section 3).
    private init(_ octets: Octets, _ line: HeadRange, _ limits: HeadLimits) throws(Refusal) {
        length = 0
        fieldCount = 0
        let methodEnd = octets.first(Octet.space, from: line.start, to: line.end)
        methodRange = HeadRange(line.start, methodEnd)
        method = Method.named(octets, methodRange)
        if method == .other && !octets.isToken(methodRange) { throw .badMethod }
        // `SP HTTP/1.1` ends the line, wherever else spaces are.
        let versionStart = line.end &- 8
        guard versionStart > methodEnd else { throw .badRequestLine }
        minorVersion = try version(octets, at: versionStart)
        guard octets[versionStart &- 1] == Octet.space else { throw .badRequestLine }
        if method == .connect || method == .trace { throw .methodNotAllowed }
        // Where the two spaces are one, the target is missing.
        guard versionStart &- 1 > methodEnd else { throw .badRequestLine }
        let range = HeadRange(methodEnd &+ 1, versionStart &- 1)
        if range.count > limits.targetBytes { throw .targetTooLong }
        target = try RequestTarget(octets, range, method)
    }

    /// Judges what the fields said together with the request line.
    private mutating func judge(_ lines: FieldLines, _ octets: Octets) throws(Refusal) {
        fieldCount = UInt16(truncatingIfNeeded: lines.count)
        try judgeHost(lines, octets)
        if try lines.isChunked(minorVersion: minorVersion) {
            framing = .chunked
        } else if let length = lines.contentLength {
            framing = .length(length)
        }
        isPersistent = lines.isPersistent(minorVersion: minorVersion)
        acceptsTrailers = lines.acceptsTrailers
        // HTTP/1.0 knows neither: both are ignored there (RFC 9110, sections 7.8 and 10.1.1).
        expectsContinue = lines.expectsContinue && minorVersion > 0
        wantsUpgrade = lines.hasUpgrade && lines.connection.upgrade && minorVersion > 0
    }

    /// RFC 9112, sections 3.2 and 3.2.2. A Host that differs from an absolute target is to be ignored there;
    /// Weir refuses it, because the two are a sign of somebody who wants to be routed by one and served by
    /// the other.
    private mutating func judgeHost(_ lines: FieldLines, _ octets: Octets) throws(Refusal) {
        if lines.hosts > 1 { throw .severalHosts }
        if lines.hosts == 0 && minorVersion > 0 { throw .missingHost }
        if lines.hosts == 1 { authority = try Authority(octets, lines.host) }
        guard target.form == .absoluteHTTP || target.form == .absoluteHTTPS else { return }
        let named = try Authority(octets, target.authority)
        let defaultPort: UInt16 = target.form == .absoluteHTTP ? 80 : 443
        if lines.hosts == 1, !named.isSame(as: authority, defaultPort: defaultPort, octets) {
            throw .hostMismatch
        }
        authority = named
    }
}

/// The minor version out of the eight octets of `HTTP/1.x` (RFC 9112, section 2.3).
func version(_ octets: Octets, at start: Int) throws(Refusal) -> UInt8 {
    guard octets.equals("HTTP/", at: start), Octet.isDigit(octets[start &+ 5]), octets[start &+ 6] == 0x2E,
        Octet.isDigit(octets[start &+ 7])
    else { throw .badVersion }
    let minor = octets[start &+ 7] &- 0x30
    guard octets[start &+ 5] == 0x31, minor <= 1 else { throw .unsupportedVersion }
    return minor
}
