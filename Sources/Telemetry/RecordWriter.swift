// Writes one log record, a line of JSON or of key=value text, straight into memory that the caller lends.
// Nothing is allocated; what does not fit makes the whole record void instead of a broken line.

/// How records look.
public enum RecordFormat: UInt8, Sendable {
    /// One JSON object a line (RFC 8259).
    case json
    /// `key=value` pairs; values with spaces or quotes are quoted as in JSON.
    case text
}

/// One record in the making. Keys must be plain lower-case words: they are written as they are.
public struct RecordWriter {
    private let start: UnsafeMutableRawPointer
    private var cursor: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer
    private let format: RecordFormat
    private var isFirstField = true
    private var overflowed = false
    /// In text format: the names of the open objects, written before each key.
    private var prefix: StaticString?
    private var innerPrefix: StaticString?

    /// Writes into `memory` up to `capacity` bytes, the line's end included.
    public init(into memory: UnsafeMutableRawPointer, capacity: Int, format: RecordFormat) {
        start = memory
        cursor = memory
        end = memory + capacity
        self.format = format
        if format == .json { byte(UInt8(ascii: "{")) }
    }

    /// Ends the line. Answers its bytes; 0 where it did not fit.
    public mutating func finish() -> Int {
        if format == .json { byte(UInt8(ascii: "}")) }
        byte(UInt8(ascii: "\n"))
        return overflowed ? 0 : cursor - start
    }

    /// A number.
    public mutating func number(_ key: StaticString, _ value: UInt64) {
        begin(key)
        decimal(value)
    }

    /// Says that something is so; where it is not, the key is left out.
    public mutating func flag(_ key: StaticString) {
        begin(key)
        let value: StaticString = "true"
        copy(UnsafeRawPointer(value.utf8Start), value.utf8CodeUnitCount)
    }

    /// Words of ours that need no escape.
    public mutating func word(_ key: StaticString, _ value: StaticString) {
        begin(key)
        let bytes = UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount)
        let quoted = format == .json || Self.needsQuotes(bytes)
        if quoted { byte(UInt8(ascii: "\"")) }
        copy(UnsafeRawPointer(value.utf8Start), value.utf8CodeUnitCount)
        if quoted { byte(UInt8(ascii: "\"")) }
    }

    /// Any bytes; what is no UTF-8 becomes U+FFFD.
    public mutating func text(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
        begin(key)
        let quoted = format == .json || Self.needsQuotes(value)
        if quoted { byte(UInt8(ascii: "\"")) }
        escaped(value)
        if quoted { byte(UInt8(ascii: "\"")) }
    }

    /// As above, for text that is at hand as a string; not for the hot path.
    public mutating func text(_ key: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { text(key, UnsafeRawBufferPointer($0)) }
    }

    /// A number as 16 hexadecimal digits.
    public mutating func identifier(_ key: StaticString, _ value: UInt64) {
        begin(key)
        quoteIfJSON()
        if end - cursor >= 16 {
            for position in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * position)) & 15
                let octet = Self.hexadecimal(digit)
                cursor.storeBytes(of: octet, toByteOffset: position, as: UInt8.self)
            }
            cursor += 16
        } else {
            overflowed = true
        }
        quoteIfJSON()
    }

    /// A time in nanoseconds since 1970 UTC, as RFC 3339 with microseconds.
    public mutating func time(_ key: StaticString, _ nanoseconds: UInt64) {
        begin(key)
        quoteIfJSON()
        let date = CalendarDate(secondsSince1970: nanoseconds / 1_000_000_000)
        padded(date.year, digits: 4)
        byte(UInt8(ascii: "-"))
        padded(date.month, digits: 2)
        byte(UInt8(ascii: "-"))
        padded(date.day, digits: 2)
        byte(UInt8(ascii: "T"))
        padded(date.hour, digits: 2)
        byte(UInt8(ascii: ":"))
        padded(date.minute, digits: 2)
        byte(UInt8(ascii: ":"))
        padded(date.second, digits: 2)
        byte(UInt8(ascii: "."))
        padded(nanoseconds / 1000 % 1_000_000, digits: 6)
        byte(UInt8(ascii: "Z"))
        quoteIfJSON()
    }

    /// An IPv4 address (host byte order) and port.
    public mutating func ipv4(_ key: StaticString, _ address: UInt32, port: UInt16) {
        begin(key)
        quoteIfJSON()
        for shift in stride(from: UInt32(24), through: 0, by: -8) {
            decimal(UInt64((address >> shift) & 255))
            if shift > 0 { byte(UInt8(ascii: ".")) }
        }
        byte(UInt8(ascii: ":"))
        decimal(UInt64(port))
        quoteIfJSON()
    }

    /// An IPv6 address (two halves in host byte order) and port, in the form of RFC 5952.
    public mutating func ipv6(_ key: StaticString, high: UInt64, low: UInt64, port: UInt16) {
        begin(key)
        quoteIfJSON()
        byte(UInt8(ascii: "["))
        groups(high: high, low: low)
        byte(UInt8(ascii: "]"))
        byte(UInt8(ascii: ":"))
        decimal(UInt64(port))
        quoteIfJSON()
    }

    /// Begins an object within the record, or within such an object.
    public mutating func beginObject(_ key: StaticString) {
        if format == .json {
            begin(key)
            byte(UInt8(ascii: "{"))
            isFirstField = true
        } else {
            if prefix == nil { prefix = key } else { innerPrefix = key }
        }
    }

    public mutating func endObject() {
        if format == .json { byte(UInt8(ascii: "}")) }
        if innerPrefix == nil { prefix = nil }
        innerPrefix = nil
        isFirstField = false
    }

    // MARK: Pieces

    private mutating func begin(_ key: StaticString) {
        if format == .json {
            beginJSON(key)
            return
        }
        if !isFirstField { byte(UInt8(ascii: " ")) }
        isFirstField = false
        if let prefix { self.prefix(prefix) }
        if let innerPrefix { self.prefix(innerPrefix) }
        copy(UnsafeRawPointer(key.utf8Start), key.utf8CodeUnitCount)
        byte(UInt8(ascii: "="))
    }

    /// A record has some thirty keys: the room for each is asked for once.
    @inline(__always)
    private mutating func beginJSON(_ key: StaticString) {
        let count = key.utf8CodeUnitCount
        guard end - cursor >= count + 4 else {
            overflowed = true
            return
        }
        cursor.storeBytes(of: UInt8(ascii: ","), as: UInt8.self)
        if !isFirstField { cursor += 1 }
        isFirstField = false
        cursor.storeBytes(of: UInt8(ascii: "\""), as: UInt8.self)
        (cursor + 1).copyMemory(from: UnsafeRawPointer(key.utf8Start), byteCount: count)
        cursor.storeBytes(of: UInt8(ascii: "\""), toByteOffset: count + 1, as: UInt8.self)
        cursor.storeBytes(of: UInt8(ascii: ":"), toByteOffset: count + 2, as: UInt8.self)
        cursor += count + 3
    }

    private mutating func prefix(_ name: StaticString) {
        copy(UnsafeRawPointer(name.utf8Start), name.utf8CodeUnitCount)
        byte(UInt8(ascii: "."))
    }

    private mutating func quoteIfJSON() {
        if format == .json { byte(UInt8(ascii: "\"")) }
    }

    @inline(__always)
    private mutating func byte(_ value: UInt8) {
        guard cursor < end else {
            overflowed = true
            return
        }
        cursor.storeBytes(of: value, as: UInt8.self)
        cursor += 1
    }

    private mutating func copy(_ bytes: UnsafeRawPointer, _ count: Int) {
        guard end - cursor >= count else {
            overflowed = true
            return
        }
        cursor.copyMemory(from: bytes, byteCount: count)
        cursor += count
    }

    private mutating func decimal(_ value: UInt64) {
        var digits = 1
        var bound: UInt64 = 10
        while digits < 20, value >= bound {
            digits += 1
            let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
            if overflow { break }
            bound = next
        }
        padded(value, digits: digits)
    }

    private mutating func padded(_ value: UInt64, digits: Int) {
        guard end - cursor >= digits else {
            overflowed = true
            return
        }
        var rest = value
        for position in stride(from: digits - 1, through: 0, by: -1) {
            cursor.storeBytes(
                of: UInt8(ascii: "0") + UInt8(rest % 10), toByteOffset: position, as: UInt8.self)
            rest /= 10
        }
        cursor += digits
    }

    private mutating func groups(high: UInt64, low: UInt64) {
        func group(_ index: Int) -> UInt64 {
            (index < 4 ? high >> UInt64(48 - 16 * index) : low >> UInt64(112 - 16 * index)) & 0xFFFF
        }
        // The longest run of at least two zero groups is left out; the first of equals.
        var (bestStart, bestLength, index) = (8, 1, 0)
        while index < 8 {
            var length = 0
            while index + length < 8, group(index + length) == 0 { length += 1 }
            if length > bestLength { (bestStart, bestLength) = (index, length) }
            index += max(length, 1)
        }
        index = 0
        while index < 8 {
            if index == bestStart {
                byte(UInt8(ascii: ":"))
                byte(UInt8(ascii: ":"))
                index += bestLength
                continue
            }
            if index > 0, index != bestStart + bestLength || bestStart == 8 { byte(UInt8(ascii: ":")) }
            hexadecimal(group(index))
            index += 1
        }
    }

    private mutating func hexadecimal(_ value: UInt64) {
        var shift = UInt64(12)
        while shift > 0, value >> shift == 0 { shift -= 4 }
        while true {
            hexadecimalDigit(UInt8((value >> shift) & 15))
            if shift == 0 { return }
            shift -= 4
        }
    }

    private mutating func hexadecimalDigit(_ digit: UInt8) { byte(Self.hexadecimal(digit)) }

    /// Of a number below 16.
    @inline(__always)
    private static func hexadecimal(_ digit: UInt8) -> UInt8 {
        digit &+ (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
    }

    private mutating func escaped(_ value: UnsafeRawBufferPointer) {
        var index = 0
        while index < value.count {
            // Nearly all there ever is.
            let plain = Self.plainCount(value, from: index)
            if plain > 0 {
                copy(value.baseAddress! + index, plain)
                index += plain
                continue
            }
            let octet = value[index]
            switch octet {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                byte(UInt8(ascii: "\\"))
                byte(octet)
                index += 1
            case 0..<0x20, 0x7F:
                copy(UnsafeRawPointer(("\\u00" as StaticString).utf8Start), 4)
                hexadecimalDigit(octet >> 4)
                hexadecimalDigit(octet & 15)
                index += 1
            default:
                let length = UTF8Scan.sequenceLength(value, at: index)
                if length == 0 {
                    copy(UnsafeRawPointer(("\\ufffd" as StaticString).utf8Start), 6)
                    index += 1
                } else {
                    copy(value.baseAddress! + index, length)
                    index += length
                }
            }
        }
    }

    /// How many octets from `index` on are printable ASCII that needs no escape.
    @inline(__always)
    private static func plainCount(_ value: UnsafeRawBufferPointer, from index: Int) -> Int {
        var end = index
        while end + 8 <= value.count {
            let marks = special(value.loadUnaligned(fromByteOffset: end, as: UInt64.self))
            if marks != 0 { return end + marks.trailingZeroBitCount >> 3 - index }
            end += 8
        }
        while end < value.count, special(UInt64(value[end]) | 0x2020_2020_2020_2000) == 0 { end += 1 }
        return end - index
    }

    /// The top bit of the first of eight octets that is no such one, and perhaps of octets behind it; 0 where all
    /// are. (A borrow can only mark octets behind one that is marked.)
    @inline(__always)
    private static func special(_ octets: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let controls = octets &- ones &* 0x20
        let quotes = (octets ^ ones &* UInt64(UInt8(ascii: "\""))) &- ones
        let backslashes = (octets ^ ones &* UInt64(UInt8(ascii: "\\"))) &- ones
        let deletes = (octets ^ ones &* 0x7F) &- ones
        // An octet from 128 on is marked by itself.
        return (controls | quotes | backslashes | deletes | octets) & (ones &* 0x80)
    }

    private static func needsQuotes(_ value: UnsafeRawBufferPointer) -> Bool {
        if value.isEmpty { return true }
        for octet in value
        where octet <= 0x20 || octet >= 0x7F || octet == UInt8(ascii: "\"")
            || octet == UInt8(ascii: "=") || octet == UInt8(ascii: "\\")
        {
            return true
        }
        return false
    }
}
