// Reads the field lines of a head into the table and gathers what they say about the message: framing, host,
// connection. Requests and responses share it; each judges what was gathered in its own file.

/// What the field lines of one head said.
struct FieldLines: BitwiseCopyable {
    var count = 0
    /// The value of Host, and how many there were.
    var host = HeadRange.empty
    var hosts = 0
    var contentLength: UInt64?
    var transferCodings = TransferCodings()
    var connection = ConnectionOptions()
    var expectsContinue = false
    var hasUpgrade = false
    var acceptsTrailers = false

    /// Reads the lines in `start..<end`, where an empty line follows at `end`.
    mutating func read(
        _ octets: Octets, from start: Int, to end: Int, into table: FieldTable, limit: Int
    ) throws(Refusal) {
        var position = start
        while position < end {
            if count >= limit { throw .tooManyFields }
            let (field, next) = try Self.line(octets, at: position, to: end)
            position = next
            table[count] = field
            count &+= 1
            if field.name != .other { try note(field, octets, table) }
        }
    }

    /// The line that begins at `start`, and where the next one does (RFC 9112, section 5).
    @inline(__always)
    static func line(
        _ octets: Octets, at start: Int, to end: Int
    ) throws(Refusal) -> (field: Field, next: Int) {
        let colon = octets.first(Octet.colon, from: start, to: end)
        let name = HeadRange(start, colon)
        if colon == end || name.count > UInt32(UInt16.max) { throw refusal(of: octets, at: start, name) }
        let known = FieldName.named(octets, name)
        if known == .other && !octets.isToken(name) { throw refusal(of: octets, at: start, name) }
        let lineEnd = octets.first(Octet.carriageReturn, from: colon &+ 1, to: end)
        let value = octets.trimmed(colon &+ 1, lineEnd)
        let field = Field(
            nameOffset: name.offset, valueOffset: value.offset, valueCount: value.count,
            nameCount: UInt16(truncatingIfNeeded: name.count), name: known, isDropped: false)
        return (field, lineEnd &+ 2)
    }

    /// Says what is wrong with a line whose name is no token.
    private static func refusal(of octets: Octets, at start: Int, _ name: HeadRange) -> Refusal {
        if Octet.isBlank(octets[start]) { return .foldedField }
        // The colon may be that of a later line.
        let lineEnd = octets.first(Octet.carriageReturn, from: start, to: name.end)
        if lineEnd == name.end, !name.isEmpty, Octet.isBlank(octets[name.end &- 1]) {
            return .spaceBeforeColon
        }
        return .badFieldName
    }

    /// Takes in what a known field says.
    private mutating func note(
        _ field: Field, _ octets: Octets, _ table: FieldTable
    ) throws(Refusal) {
        let value = field.valueRange
        switch field.name {
        case .host:
            host = value
            hosts &+= 1
        case .contentLength:
            if contentLength != nil { throw .severalLengths }
            contentLength = decimal(octets, value)
            if contentLength == nil { throw .badLength }
        case .transferEncoding:
            transferCodings.add(octets, value)
            table.drop(count &- 1)
        case .connection:
            try connection.add(octets, value)
            table.drop(count &- 1)
        case .expect:
            if hasToken("100-continue", octets, value) { expectsContinue = true }
        case .upgrade:
            hasUpgrade = true
        case .te:
            if hasToken("trailers", octets, value) { acceptsTrailers = true }
            table.drop(count &- 1)
        case .keepAlive, .proxyConnection, .http2Settings:
            table.drop(count &- 1)
        default: break
        }
    }

    /// Whether the body is chunked (RFC 9112, sections 6.1 and 6.3).
    func isChunked(minorVersion: UInt8) throws(Refusal) -> Bool {
        if !transferCodings.isPresent { return false }
        if minorVersion == 0 { throw .transferEncodingInOldVersion }
        if contentLength != nil { throw .conflictingLength }
        try transferCodings.judge()
        return true
    }

    /// Whether the connection may serve another message (RFC 9112, section 9.3).
    func isPersistent(minorVersion: UInt8) -> Bool {
        if connection.close { return false }
        return minorVersion > 0 || connection.keepAlive
    }

    /// Marks the lines that Connection takes away, and the Upgrade lines unless they are to be forwarded.
    func dropConnectionFields(_ octets: Octets, _ table: FieldTable, keepsUpgrade: Bool) {
        if hasUpgrade && !keepsUpgrade {
            for index in 0..<count where table[index].name == .upgrade { table.drop(index) }
        }
        if !connection.namesFields { return }
        for index in 0..<count where table[index].name == .connection {
            var options = ListElements(table[index].valueRange)
            while let option = options.next(octets) {
                dropFields(named: option, octets, table, keepsUpgrade: keepsUpgrade)
            }
        }
    }

    private func dropFields(
        named option: HeadRange, _ octets: Octets, _ table: FieldTable, keepsUpgrade: Bool
    ) {
        for index in 0..<count {
            let field = table[index]
            if field.isDropped || !octets.matches(field.nameRange, option) { continue }
            if field.name == .upgrade && keepsUpgrade { continue }
            if !field.isEndToEnd(octets) { table.drop(index) }
        }
    }
}

extension Field {
    /// Whether Connection has no power over the line: taking one of these away would change who a request is
    /// for, how long it is, or whom it says it comes from.
    fileprivate func isEndToEnd(_ octets: Octets) -> Bool {
        switch name {
        case .host, .contentLength, .contentType, .authorization, .cookie, .expect, .forwarded, .xRealIP,
            .xRequestID, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort:
            true
        case .other: nameCount >= 12 && octets.matches("x-forwarded-", at: Int(nameOffset))
        default: false
        }
    }
}

/// The options of all Connection lines (RFC 9110, section 7.6.1).
struct ConnectionOptions: BitwiseCopyable {
    /// More would let a head of a few kilobytes cost a comparison of each option with each field.
    static let limit: UInt8 = 32

    var count: UInt8 = 0
    var close = false
    var keepAlive = false
    var upgrade = false
    /// Whether there are options that may be names of fields in the head.
    var namesFields = false

    mutating func add(_ octets: Octets, _ value: HeadRange) throws(Refusal) {
        var options = ListElements(value)
        while let option = options.next(octets) {
            if count == Self.limit { throw .tooManyConnectionOptions }
            count &+= 1
            if octets.matches("close", option) {
                close = true
            } else if octets.matches("keep-alive", option) {
                keepAlive = true
            } else if octets.matches("upgrade", option) {
                upgrade = true
            } else if !octets.matches("te", option) {
                namesFields = true
            }
        }
    }
}

/// The codings of all Transfer-Encoding lines, which are one list (RFC 9112, section 6.1).
struct TransferCodings: BitwiseCopyable {
    var isPresent = false
    private var isMalformed = false
    private var hasChunked = false
    private var lastIsChunked = false
    private var hasOthers = false

    mutating func add(_ octets: Octets, _ value: HeadRange) {
        isPresent = true
        var start = value.start
        while true {
            let end = octets.first(Octet.comma, from: start, to: value.end)
            add(coding: octets.trimmed(start, end), octets)
            if end == value.end { return }
            start = end &+ 1
        }
    }

    private mutating func add(coding: HeadRange, _ octets: Octets) {
        let semicolon = octets.first(Octet.semicolon, from: coding.start, to: coding.end)
        let name = octets.trimmed(coding.start, semicolon)
        if octets.matches("chunked", name) {
            // chunked has no parameters and is applied once (section 7.1).
            if hasChunked || semicolon != coding.end { isMalformed = true }
            hasChunked = true
            lastIsChunked = true
        } else {
            if !octets.isToken(name) { isMalformed = true }
            hasOthers = true
            lastIsChunked = false
        }
    }

    /// Refuses all but a single `chunked`.
    func judge() throws(Refusal) {
        if isMalformed || !lastIsChunked { throw .badTransferEncoding }
        if hasOthers { throw .unsupportedTransferEncoding }
    }
}
