// The table of a head's field lines. It lives in memory of the caller: one for each worker is enough, because
// a head is parsed, routed and written anew in one go.

/// One field line. The value is what stands between the blanks around it.
public struct Field: BitwiseCopyable, Sendable {
    public internal(set) var nameOffset: UInt32
    public internal(set) var valueOffset: UInt32
    public internal(set) var valueCount: UInt32
    public internal(set) var nameCount: UInt16
    public internal(set) var name: FieldName
    /// True where the line is not forwarded: it is for this connection only (RFC 9110, section 7.6.1), or it
    /// may not stand in such a message.
    public internal(set) var isDropped: Bool

    @inlinable
    public var nameRange: HeadRange { HeadRange(offset: nameOffset, count: UInt32(nameCount)) }

    @inlinable
    public var valueRange: HeadRange { HeadRange(offset: valueOffset, count: valueCount) }
}

/// Memory for the fields of one head; the owner keeps it alive.
@safe
public struct FieldTable: BitwiseCopyable {
    @usableFromInline let fields: UnsafeMutablePointer<Field>
    /// How many fields there is room for; a head with more is refused.
    public let capacity: Int

    @unsafe @inlinable
    public init(_ fields: UnsafeMutablePointer<Field>, capacity: Int) {
        unsafe self.fields = fields
        self.capacity = capacity
    }

    /// Below the `fieldCount` of the head that was parsed last.
    @inlinable @inline(__always)
    public subscript(index: Int) -> Field {
        get {
            assert(index >= 0 && index < capacity)
            return unsafe fields[index]
        }
        nonmutating set {
            assert(index >= 0 && index < capacity)
            unsafe fields[index] = newValue
        }
    }

    @inline(__always)
    func drop(_ index: Int) {
        assert(index >= 0 && index < capacity)
        unsafe fields[index].isDropped = true
    }
}
