// A request as routing sees it: places in the bytes that were received, nothing copied. The data plane
// fills it from the parsed head; `Router`, hash keys and rewrites read it.

/// Bytes from `offset` on, counted from a base that goes with it.
@frozen
public struct ByteRange: BitwiseCopyable, Equatable, Sendable {
    public var offset: UInt32
    public var count: UInt32

    @inlinable
    public init(offset: UInt32, count: UInt32) {
        self.offset = offset
        self.count = count
    }

    @inlinable public static var empty: ByteRange { ByteRange(offset: 0, count: 0) }
    @inlinable public var isEmpty: Bool { count == 0 }
}

/// One header field. The value is without the whitespace around it (RFC 9110, 5.5).
@frozen
public struct RoutingField: BitwiseCopyable, Sendable {
    public var nameRange: ByteRange
    public var valueRange: ByteRange

    @inlinable
    public init(name: ByteRange, value: ByteRange) {
        nameRange = name
        valueRange = value
    }
}

/// All ranges count from `base`. The memory belongs to the caller and outlives the calls that take the view.
@frozen
public struct RequestView: BitwiseCopyable {
    public var base: UnsafePointer<UInt8>
    public var method: ByteRange
    /// Without the port; an IPv6 address keeps its brackets.
    public var host: ByteRange
    /// As received, before `?`; `*` in asterisk form; empty means `/` (RFC 9112, 3.2.2 and 3.2.4).
    public var path: ByteRange
    /// After `?`; empty where there is none.
    public var query: ByteRange
    public var fields: UnsafePointer<RoutingField>
    public var fieldCount: Int

    @inlinable
    public init(
        base: UnsafePointer<UInt8>, method: ByteRange, host: ByteRange, path: ByteRange, query: ByteRange,
        fields: UnsafePointer<RoutingField>, fieldCount: Int
    ) {
        self.base = base
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fields = fields
        self.fieldCount = fieldCount
    }

    /// The path, never empty.
    var pathBytes: ByteView {
        if !path.isEmpty { return bytes(path) }
        let root: StaticString = "/"
        return ByteView(root.utf8Start, 1)
    }

    @inlinable
    func bytes(_ range: ByteRange) -> ByteView { ByteView(base + Int(range.offset), Int(range.count)) }
}
