// Writes heads and chunk framing into memory of the caller. Running out of room sets a flag instead of
// stopping: the caller writes a whole head and looks once.

/// A place to write at, with an end.
@safe
public struct HeadWriter {
    @usableFromInline let start: UnsafeMutablePointer<UInt8>
    public let capacity: Int
    @usableFromInline var written = 0
    @usableFromInline var isFull = false

    /// Octets written. Not beyond `capacity`.
    public var count: Int { written }
    /// True once something did not fit; nothing is written from then on.
    public var hasOverflowed: Bool { isFull }

    @unsafe
    public init(_ start: UnsafeMutablePointer<UInt8>, capacity: Int) {
        unsafe self.start = start
        self.capacity = capacity
    }

    /// Makes room for `length` octets; nil where there is none.
    @inlinable @inline(__always)
    mutating func reserve(_ length: Int) -> UnsafeMutablePointer<UInt8>? {
        if isFull || length > capacity &- written {
            isFull = true
            return nil
        }
        let place = unsafe start + written
        written &+= length
        return unsafe place
    }

    public mutating func append(_ octet: UInt8) {
        guard let place = unsafe reserve(1) else { return }
        unsafe place.pointee = octet
    }

    /// Inlined, so that the octets are stored as the constants that they are.
    @inlinable @inline(__always)
    public mutating func append(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        guard let place = unsafe reserve(length) else { return }
        unsafe place.update(from: text.utf8Start, count: length)
    }

    public mutating func append(_ octets: UnsafePointer<UInt8>, count length: Int) {
        guard let place = unsafe reserve(length) else { return }
        unsafe copy(octets, to: place, count: length)
    }

    /// A stretch of the buffer that a head was parsed from.
    public mutating func append(_ octets: UnsafePointer<UInt8>, _ range: HeadRange) {
        unsafe append(octets + range.start, count: Int(range.count))
    }

    public mutating func append(decimal number: UInt64) {
        if number < 1000 {
            append(short: number, digits: 1 &+ (number >= 10 ? 1 : 0) &+ (number >= 100 ? 1 : 0))
        } else {
            append(decimal: number / 1000)
            append(short: number % 1000, digits: 3)
        }
    }

    /// Four numbers with points between them, the first in the top octet of `address`. Wants room for the longest.
    public mutating func append(ipv4 address: UInt32) {
        let longest = 15
        guard let place = unsafe reserve(longest) else { return }
        var count = 0
        for index in 0..<4 {
            let number = UInt32(truncatingIfNeeded: address >> UInt32(24 &- 8 &* index)) & 255
            if index > 0 {
                unsafe place[count] = 0x2E
                count &+= 1
            }
            if number >= 100 {
                unsafe place[count] = UInt8(truncatingIfNeeded: 0x30 &+ number / 100)
                count &+= 1
            }
            if number >= 10 {
                unsafe place[count] = UInt8(truncatingIfNeeded: 0x30 &+ number / 10 % 10)
                count &+= 1
            }
            unsafe place[count] = UInt8(truncatingIfNeeded: 0x30 &+ number % 10)
            count &+= 1
        }
        written &-= longest &- count
    }

    /// One to three digits of a number below 1,000.
    @inline(__always)
    private mutating func append(short number: UInt64, digits: Int) {
        guard let place = unsafe reserve(digits) else { return }
        let tens = number / 10
        unsafe place[digits &- 1] = UInt8(truncatingIfNeeded: 0x30 &+ number % 10)
        if digits > 1 { unsafe place[digits &- 2] = UInt8(truncatingIfNeeded: 0x30 &+ tens % 10) }
        if digits > 2 { unsafe place[0] = UInt8(truncatingIfNeeded: 0x30 &+ tens / 10) }
    }

    /// In lower case, without leading zeros.
    public mutating func append(hexadecimal number: UInt64) {
        let digits = max(1, (67 &- number.leadingZeroBitCount) / 4)
        guard let place = unsafe reserve(digits) else { return }
        for index in 0..<digits {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(4 &* (digits &- 1 &- index))) & 15
            unsafe place[index] = digit &+ (digit < 10 ? 0x30 : 0x57)
        }
    }

    @inlinable @inline(__always)
    public mutating func appendLineEnd() {
        guard let place = unsafe reserve(2) else { return }
        unsafe place[0] = 0x0D
        unsafe place[1] = 0x0A
    }
}

/// Lines of a head.
extension HeadWriter {
    /// `METHOD target HTTP/1.1` with its line end. The target is in origin form, or `*`: what came in absolute
    /// form is sent to a backend so (RFC 9112, section 3.2.1).
    public mutating func appendRequestLine(_ octets: UnsafePointer<UInt8>, _ head: RequestHead) {
        unsafe append(octets, head.methodRange)
        append(Octet.space)
        if head.target.path.isEmpty {
            append(head.method == .options && head.target.query == nil ? "*" : "/")
        } else {
            unsafe append(octets, head.target.path)
        }
        if let query = head.target.query {
            append(0x3F)
            unsafe append(octets, query)
        }
        append(" HTTP/1.1\r\n")
    }

    /// `HTTP/1.1 status reason` with its line end, out of a backend's head.
    public mutating func appendStatusLine(_ octets: UnsafePointer<UInt8>, _ head: ResponseHead) {
        append("HTTP/1.1 ")
        append(short: UInt64(head.status), digits: 3)
        append(Octet.space)
        unsafe append(octets, head.reason)
        appendLineEnd()
    }

    /// `HTTP/1.1 status reason` with its line end, of Weir's own.
    public mutating func appendStatusLine(_ status: UInt16, _ reason: StaticString) {
        append("HTTP/1.1 ")
        append(decimal: UInt64(status))
        append(Octet.space)
        append(reason)
        appendLineEnd()
    }

    /// A line as it was received, but for blanks around the value.
    public mutating func append(_ octets: UnsafePointer<UInt8>, _ field: Field) {
        let (name, value) = (Int(field.nameCount), Int(field.valueCount))
        guard let place = unsafe reserve(name &+ value &+ 4) else { return }
        unsafe copy(octets + Int(field.nameOffset), to: place, count: name)
        unsafe place[name] = Octet.colon
        unsafe place[name &+ 1] = Octet.space
        unsafe copy(octets + Int(field.valueOffset), to: place + name + 2, count: value)
        unsafe place[name &+ value &+ 2] = Octet.carriageReturn
        unsafe place[name &+ value &+ 3] = Octet.lineFeed
    }

    /// All lines of the table that are forwarded.
    public mutating func appendFields(
        _ octets: UnsafePointer<UInt8>, _ table: FieldTable, count: UInt16
    ) {
        for index in 0..<Int(count) {
            let field = table[index]
            if !field.isDropped { unsafe append(octets, field) }
        }
    }

    /// A line of Weir's own.
    public mutating func append(field name: StaticString, _ value: StaticString) {
        append(name)
        append(": ")
        append(value)
        appendLineEnd()
    }

    /// A line of Weir's own with a number.
    public mutating func append(field name: StaticString, _ value: UInt64) {
        append(name)
        append(": ")
        append(decimal: value)
        appendLineEnd()
    }
}

/// Chunks of a body that came without a length (RFC 9112, section 7.1). For each piece of data:
/// `appendChunkSize`, the data, `appendLineEnd`; at the end `appendLastChunk`.
extension HeadWriter {
    /// The most that `appendChunkSize` takes, in bytes.
    public static let chunkSizeBytes = 18

    /// The line before `length` octets of data. Zero would end the body: that is `appendLastChunk`.
    public mutating func appendChunkSize(_ length: Int) {
        assert(length > 0)
        append(hexadecimal: UInt64(length))
        appendLineEnd()
    }

    /// The end of a body without trailers.
    public mutating func appendLastChunk() { append("0\r\n\r\n") }
}

/// Copies octets that do not overlap. Names and values are short: for up to 32 octets two loads and two stores that
/// overlap in the middle cost less than the call of memcpy(3).
@inline(__always)
private func copy(_ source: UnsafePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>, count: Int) {
    if count > 32 {
        unsafe target.update(from: source, count: count)
    } else if count >= 16 {
        unsafe copyEnds(SIMD16<UInt8>.self, source, target, count)
    } else if count >= 8 {
        unsafe copyEnds(UInt64.self, source, target, count)
    } else if count >= 4 {
        unsafe copyEnds(UInt32.self, source, target, count)
    } else {
        for index in 0..<count { unsafe target[index] = source[index] }
    }
}

@inline(__always)
private func copyEnds<Word: BitwiseCopyable>(
    _ type: Word.Type, _ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ count: Int
) {
    let from = unsafe UnsafeRawPointer(source)
    let to = UnsafeMutableRawPointer(target)
    let last = count - MemoryLayout<Word>.size
    let first = unsafe from.loadUnaligned(as: Word.self)
    let second = unsafe from.loadUnaligned(fromByteOffset: last, as: Word.self)
    unsafe to.storeBytes(of: first, as: Word.self)
    unsafe to.storeBytes(of: second, toByteOffset: last, as: Word.self)
}
