// A received piece of a body that is rewritten in place: what is read runs ahead of what is written, or both
// are at the same octet as long as nothing was dropped. `ChunkedBody` works on one for the length of a call.

/// Octets with a place to read at and a place to write at, never beyond it.
@safe
struct Piece {
    private let start: UnsafeMutablePointer<UInt8>
    let count: Int
    private(set) var consumed = 0
    private(set) var produced = 0

    @unsafe
    init(_ start: UnsafeMutablePointer<UInt8>, count: Int) {
        unsafe self.start = start
        self.count = count
    }

    @inline(__always)
    var hasMore: Bool { consumed < count }

    /// The octet to be read; there is one.
    @inline(__always)
    var next: UInt8 {
        assert(hasMore)
        return unsafe start[consumed]
    }

    /// Takes one octet, and writes it or not.
    @inline(__always)
    mutating func take(writing: Bool) {
        assert(hasMore)
        if writing {
            if produced != consumed { unsafe start[produced] = start[consumed] }
            produced &+= 1
        }
        consumed &+= 1
    }

    /// Takes and writes that many octets.
    mutating func take(_ length: Int) {
        assert(length >= 0 && length <= count &- consumed)
        if produced != consumed && length > 0 {
            unsafe (start + produced).update(from: start + consumed, count: length)
        }
        consumed &+= length
        produced &+= length
    }

    /// Writes an octet in the place of one that was taken and not written.
    private mutating func write(_ octet: UInt8) {
        assert(produced < consumed)
        unsafe start[produced] = octet
        produced &+= 1
    }

    /// Looks for the empty line after field lines.
    func scanHead(_ limits: HeadLimits) -> HeadScan.Progress {
        var scan = HeadScan()
        return unsafe scan.advance(start + consumed, count: count &- consumed, limits: limits)
    }

    /// Takes a trailer section of `length` octets, its empty line included, and writes the lines that may be
    /// forwarded, without the blanks around their values.
    mutating func takeTrailers(_ length: Int) throws(Refusal) {
        let octets = unsafe Octets(start, count: consumed &+ length)
        let end = octets.count &- 2
        while consumed < end {
            guard let (field, next) = try? FieldLines.line(octets, at: consumed, to: end) else {
                throw .badTrailer
            }
            consumed = next
            if field.isAllowedInTrailers(octets) {
                copy(field.nameRange)
                write(Octet.colon)
                copy(field.valueRange)
                write(Octet.carriageReturn)
                write(Octet.lineFeed)
            }
        }
        take(2)
    }

    /// Writes a stretch of what was taken.
    private mutating func copy(_ range: HeadRange) {
        assert(range.end <= consumed && produced <= range.start)
        unsafe (start + produced).update(from: start + range.start, count: Int(range.count))
        produced &+= Int(range.count)
    }
}

extension Field {
    /// Whether a field may stand in a trailer section (RFC 9110, section 6.5.1): none that says how a message
    /// is framed, routed, authenticated or to be processed. All names that Weir knows but ETag are such.
    fileprivate func isAllowedInTrailers(_ octets: Octets) -> Bool {
        if name == .etag { return true }
        if name != .other { return false }
        let start = Int(nameOffset)
        if nameCount >= 3, octets.matches("if-", at: start) { return false }
        return nameCount < 12 || !octets.matches("x-forwarded-", at: start)
    }
}
