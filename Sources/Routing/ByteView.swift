// Comparing and hashing bytes in place.

import Glibc

/// Bytes that somebody else owns.
public struct ByteView: BitwiseCopyable {
    public let start: UnsafePointer<UInt8>
    public let count: Int

    public init(_ start: UnsafePointer<UInt8>, _ count: Int) {
        self.start = start
        self.count = count
    }

    /// A copy that lives until it is deallocated.
    init(keeping text: String) {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        memory.initialize(from: bytes, count: bytes.count)
        self.init(memory, bytes.count)
    }

    public subscript(index: Int) -> UInt8 { start[index] }

    func equals(_ other: ByteView) -> Bool {
        count == other.count && memcmp(start, other.start, count) == 0
    }

    /// Equal but for the case of ASCII letters; `lowered` has no capitals.
    func equalsIgnoringCase(lowered: ByteView) -> Bool {
        if count != lowered.count { return false }
        var index = 0
        while index < count {
            if asciiLowered(start[index]) != lowered.start[index] { return false }
            index += 1
        }
        return true
    }

    func starts(with other: ByteView) -> Bool {
        count >= other.count && memcmp(start, other.start, other.count) == 0
    }

    /// From `lower` to before `upper`.
    func part(_ lower: Int, _ upper: Int) -> ByteView { ByteView(start + lower, upper - lower) }
}

func asciiLowered(_ byte: UInt8) -> UInt8 {
    byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
}

/// FNV-1a (Fowler, Noll, Vo): one byte at a time, so that the hash of every prefix comes on the way. Only
/// keys of the configuration are stored under it, so nobody outside can fill a table with collisions.
struct RollingHash: BitwiseCopyable {
    var state: UInt64 = 0xCBF2_9CE4_8422_2325

    init() {}

    mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }

    /// The hash of what was added so far, under a tag; well mixed in its low bits.
    func value(tag: UInt32) -> UInt64 {
        let mixed = (state ^ UInt64(tag)) &* 0x9E37_79B9_7F4A_7C15
        return mixed ^ (mixed >> 32)
    }
}
