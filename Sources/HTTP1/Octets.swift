// The one place of this module that touches memory: a view of received octets, with the searches and
// comparisons that parsing needs. All of them stay inside `count`; debug builds check every access.

/// Borrowed octets. The view is valid as long as the memory that it was made of, which is for one call.
@safe
struct Octets: BitwiseCopyable {
    private let start: UnsafeRawPointer
    let count: Int

    @unsafe @inline(__always)
    init(_ start: UnsafePointer<UInt8>, count: Int) {
        unsafe self.start = UnsafeRawPointer(start)
        self.count = count
    }

    @inline(__always)
    subscript(index: Int) -> UInt8 {
        assert(index >= 0 && index < count)
        return unsafe start.load(fromByteOffset: index, as: UInt8.self)
    }

    @inline(__always)
    private func word(at index: Int) -> UInt64 {
        assert(index >= 0 && index &+ 8 <= count)
        return unsafe start.loadUnaligned(fromByteOffset: index, as: UInt64.self)
    }

    @inline(__always)
    private func halfWord(at index: Int) -> UInt32 {
        assert(index >= 0 && index &+ 4 <= count)
        return unsafe start.loadUnaligned(fromByteOffset: index, as: UInt32.self)
    }

    @inline(__always)
    private func block(at index: Int) -> SIMD16<UInt8> {
        assert(index >= 0 && index &+ 16 <= count)
        return unsafe start.loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self)
    }
}

/// Searches. Each looks at sixteen octets at once and gives the first index in `from..<end` that matches, or
/// `end`.
extension Octets {
    /// A control octet other than tab: line ends among them.
    @inline(__always)
    func firstControl(from: Int, to end: Int) -> Int {
        var index = from
        while true {
            // In each lane the top bit says: below 32, or 127. (Comparing lanes would be clearer, but the
            // standard library's `.<` is a loop over lanes.)
            index = first(from: index, to: end) { lanes in
                ((lanes &- 0x20) | ((lanes ^ 0x7F) &- 1)) & ~lanes
            }
            if index == end || self[index] != Octet.tab { return index }
            index &+= 1
        }
    }

    @inline(__always)
    func first(_ octet: UInt8, from: Int, to end: Int) -> Int {
        // Exact for every octet below 128 that is sought: a lane of 128 and more is not equal to it.
        first(from: from, to: end) { lanes in ((lanes ^ octet) &- 1) & ~lanes }
    }

    /// What does not belong into a target: anything but visible ASCII, and `#`.
    @inline(__always)
    func firstOutsideTarget(from: Int, to end: Int) -> Int {
        first(from: from, to: end) { lanes in
            (lanes &- 0x21) | lanes | ((lanes ^ 0x23) &- 1) | ((lanes ^ 0x7F) &- 1)
        }
    }

    /// The first octet whose lane has its top bit set in what `marks` makes of it.
    @inline(__always)
    private func first(
        from: Int, to end: Int, _ marks: (SIMD16<UInt8>) -> SIMD16<UInt8>
    ) -> Int {
        var index = from
        while index &+ 16 <= count {
            if index >= end { return end }
            let found = Octets.firstMark(marks(block(at: index)))
            if found < 16 { return min(index &+ found, end) }
            index &+= 16
        }
        if index >= end { return end }
        if count >= 16 {
            // The last sixteen octets, those before `index` left out: nothing beyond `count` is touched.
            let last = count &- 16
            let found = Octets.firstMark(marks(block(at: last)), skipping: index &- last)
            return min(last &+ found, end)
        }
        while index < end, Octets.firstMark(marks(SIMD16(repeating: self[index]))) != 0 { index &+= 1 }
        return index
    }

    /// The first lane, `skipping` aside, that has its top bit set; 16 where there is none.
    @inline(__always)
    private static func firstMark(_ lanes: SIMD16<UInt8>, skipping: Int = 0) -> Int {
        let words = unsafe unsafeBitCast(lanes & 0x80, to: SIMD2<UInt64>.self)
        // `<<` gives zero where all lanes of the word are skipped.
        let low = words[0] & (UInt64.max << UInt64(8 &* skipping))
        let high = words[1] & (UInt64.max << UInt64(8 &* max(skipping &- 8, 0)))
        if low | high == 0 { return 16 }
        return low != 0 ? low.trailingZeroBitCount >> 3 : 8 &+ (high.trailingZeroBitCount >> 3)
    }
}

extension SIMD16<UInt8> {
    // The operators with a scalar on one side, in terms of those that compile to one instruction.
    @inline(__always) fileprivate static func &- (lanes: Self, octet: UInt8) -> Self {
        lanes &- Self(repeating: octet)
    }
    @inline(__always) fileprivate static func ^ (lanes: Self, octet: UInt8) -> Self {
        lanes ^ Self(repeating: octet)
    }
    @inline(__always) fileprivate static func & (lanes: Self, octet: UInt8) -> Self {
        lanes & Self(repeating: octet)
    }
}

/// Comparisons with literals: of a known length, so that the compiler turns each into a few words.
extension Octets {
    /// Whether the octets at `index` are `literal`, the case of ASCII letters aside. `literal` is in lower
    /// case and of letters, digits and `-` only; the octets hold no control octet. The caller has compared
    /// the lengths: as many octets as `literal` has are there.
    @inline(__always)
    func matches(_ literal: StaticString, at index: Int) -> Bool {
        difference(from: literal, at: index, fold: 0x2020_2020_2020_2020) == 0
    }

    /// Whether the octets at `index` are exactly `literal`; as many as `literal` has are there.
    @inline(__always)
    func equals(_ literal: StaticString, at index: Int) -> Bool {
        difference(from: literal, at: index, fold: 0) == 0
    }

    /// The bits in which the octets differ from the literal, those of `fold` set on both sides.
    @inline(__always)
    private func difference(from literal: StaticString, at index: Int, fold: UInt64) -> UInt64 {
        let length = literal.utf8CodeUnitCount
        let other = unsafe Octets(literal.utf8Start, count: length)
        var difference: UInt64 = 0
        if length >= 8 {
            var offset = 0
            while offset &+ 8 < length {
                difference |= (word(at: index &+ offset) | fold) ^ (other.word(at: offset) | fold)
                offset &+= 8
            }
            let last = length &- 8
            return difference | ((word(at: index &+ last) | fold) ^ (other.word(at: last) | fold))
        }
        let halfFold = UInt32(truncatingIfNeeded: fold)
        if length >= 4 {
            let last = length &- 4
            let first = (halfWord(at: index) | halfFold) ^ (other.halfWord(at: 0) | halfFold)
            let second = (halfWord(at: index &+ last) | halfFold) ^ (other.halfWord(at: last) | halfFold)
            return UInt64(first | second)
        }
        let octetFold = UInt8(truncatingIfNeeded: fold)
        for offset in 0..<length {
            difference |= UInt64((self[index &+ offset] | octetFold) ^ (other[offset] | octetFold))
        }
        return difference
    }

    /// Whether two stretches of equal length are the same, the case of ASCII letters aside.
    func matches(_ first: HeadRange, _ second: HeadRange) -> Bool {
        if first.count != second.count { return false }
        for offset in 0..<Int(first.count) {
            let (left, right) = (self[first.start &+ offset], self[second.start &+ offset])
            if Octet.lowercase(left) != Octet.lowercase(right) { return false }
        }
        return true
    }

    /// Whether the stretch is `literal` (lower case), the case of ASCII letters aside.
    @inline(__always)
    func matches(_ literal: StaticString, _ range: HeadRange) -> Bool {
        Int(range.count) == literal.utf8CodeUnitCount && matches(literal, at: range.start)
    }

    /// Whether the stretch is a token (RFC 9110, section 5.6.2). The empty one is not.
    func isToken(_ range: HeadRange) -> Bool {
        for index in range.start..<range.end where !Octet.isToken(self[index]) { return false }
        return range.count > 0
    }

    /// The stretch `start..<end` without spaces and tabs at its ends.
    @inline(__always)
    func trimmed(_ start: Int, _ end: Int) -> HeadRange {
        var (start, end) = (start, end)
        while start < end, Octet.isBlank(self[start]) { start &+= 1 }
        while start < end, Octet.isBlank(self[end &- 1]) { end &-= 1 }
        return HeadRange(start, end)
    }
}

/// A stretch of the received octets.
public struct HeadRange: BitwiseCopyable, Sendable, Equatable {
    /// Octets before it in the buffer.
    public var offset: UInt32
    /// Octets in it.
    public var count: UInt32

    @inlinable
    public init(offset: UInt32, count: UInt32) {
        self.offset = offset
        self.count = count
    }

    /// No octets.
    public static let empty = HeadRange(offset: 0, count: 0)

    @inline(__always)
    init(_ start: Int, _ end: Int) {
        offset = UInt32(truncatingIfNeeded: start)
        count = UInt32(truncatingIfNeeded: end &- start)
    }

    @inlinable @inline(__always)
    public var start: Int { Int(offset) }

    @inlinable @inline(__always)
    public var end: Int { Int(offset) &+ Int(count) }

    @inlinable @inline(__always)
    public var isEmpty: Bool { count == 0 }
}

/// Classes of single octets.
enum Octet {
    static let tab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let comma: UInt8 = 0x2C
    static let colon: UInt8 = 0x3A
    static let semicolon: UInt8 = 0x3B

    @inline(__always)
    static func isBlank(_ octet: UInt8) -> Bool { octet == space || octet == tab }

    @inline(__always)
    static func isDigit(_ octet: UInt8) -> Bool { octet &- 0x30 < 10 }

    /// A control octet other than tab.
    @inline(__always)
    static func isControl(_ octet: UInt8) -> Bool { octet < 0x20 && octet != tab || octet == 0x7F }

    @inline(__always)
    static func lowercase(_ octet: UInt8) -> UInt8 { octet &- 0x41 < 26 ? octet | 0x20 : octet }

    /// The value of a hexadecimal digit; nil for another octet.
    @inline(__always)
    static func hexadecimal(_ octet: UInt8) -> UInt8? {
        if isDigit(octet) { return octet &- 0x30 }
        let letter = (octet | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// tchar (RFC 9110, section 5.6.2).
    @inline(__always)
    static func isToken(_ octet: UInt8) -> Bool {
        // One bit for each ASCII character: ! # $ % & ' * + - . 0-9, then A-Z ^ _ ` a-z | ~.
        let set: UInt64 = octet < 64 ? 0x03FF_6CFA_0000_0000 : 0x57FF_FFFF_C7FF_FFFE
        return octet < 128 && (set >> UInt64(octet & 63)) & 1 != 0
    }

    /// A character of a registered name but `%`: unreserved or sub-delims (RFC 3986, section 3.2.2).
    @inline(__always)
    static func isRegisteredName(_ octet: UInt8) -> Bool {
        // ! $ & ' ( ) * + , - . 0-9 ; =, then A-Z _ a-z ~.
        let set: UInt64 = octet < 64 ? 0x2BFF_7FD2_0000_0000 : 0x47FF_FFFE_87FF_FFFE
        return octet < 128 && (set >> UInt64(octet & 63)) & 1 != 0
    }
}
