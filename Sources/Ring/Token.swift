// What a submission carries and its completion brings back: which operation, of which slot, of which
// generation of that slot's owner.

/// 64 bits of user data: operation (8) | generation (24) | slot (32).
public struct Token: Equatable, BitwiseCopyable {
    public let bits: UInt64

    @inline(__always)
    public init(bits: UInt64) { self.bits = bits }

    /// Keeps the low 24 bits of the generation.
    @inline(__always)
    public init(operation: UInt8, generation: UInt32, slot: UInt32) {
        bits = UInt64(operation) << 56 | UInt64(generation & 0xFF_FFFF) << 32 | UInt64(slot)
    }

    @inline(__always)
    public var operation: UInt8 { UInt8(truncatingIfNeeded: bits >> 56) }
    @inline(__always)
    public var slot: UInt32 { UInt32(truncatingIfNeeded: bits) }

    /// True where the token was made for this generation of its slot.
    @inline(__always)
    public func matches(generation: UInt32) -> Bool {
        UInt32(truncatingIfNeeded: bits >> 32) & 0xFF_FFFF == generation & 0xFF_FFFF
    }
}
