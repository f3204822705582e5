// One route, compiled: fixed-size fields and places in the router's tables, so that using it touches no
// String and no Array. The data plane reads it after a match.

/// Bytes of a router: see `Router.bytes`.
public struct ByteRange: BitwiseCopyable, Sendable {
    let offset: UInt32
    public let count: UInt32

    static var empty: ByteRange { ByteRange(offset: 0, count: 0) }
    public var isEmpty: Bool { count == 0 }
}

/// A header field that a route puts in.
public struct WrittenField: BitwiseCopyable, Sendable {
    public let name: ByteRange
    public let value: ByteRange
}

/// Consecutive elements of one of the router's tables.
struct TableRange: BitwiseCopyable, Sendable {
    let start: UInt32
    let count: UInt32
}

/// What happens to a request.
public enum RouteActionKind: UInt8, BitwiseCopyable, Sendable {
    /// Goes to `RoutePlan.pool`.
    case pool
    /// Goes to what `Router.pool(ofSplit:number:)` answers.
    case split
    /// Answered with `status` and Location: `location`, with `?` and the request's query where
    /// `keepsQuery`.
    case redirect
    /// Answered with `status`, `body`, `contentType`.
    case respond
}

/// Changes to the headers of one message. See `Router.drops` and `Router.writtenFields`.
public struct HeaderEdits: BitwiseCopyable, Sendable {
    /// Of the router's names: fields to leave out.
    let dropped: TableRange
    /// Of the router's fields: what to put in, after the others.
    let written: TableRange

    public var isEmpty: Bool { dropped.count == 0 && written.count == 0 }
}

/// Ranges of bytes count from the router's arena: `Router.bytes`.
public struct RoutePlan: BitwiseCopyable, Sendable {
    // Conditions, beside host and path.
    let methods: TableRange
    let headers: TableRange
    let query: TableRange

    public let action: RouteActionKind
    public let pool: UInt16
    let shares: TableRange
    /// The pool whose hash key a split sticks by; nil where it does not.
    public let stickyPool: UInt16?

    /// Of a redirect or a fixed response.
    public let status: UInt16
    public let location: ByteRange
    /// True where the request's query is to be appended to `location`.
    public let keepsQuery: Bool
    public let body: ByteRange
    public let contentType: ByteRange

    public let requestEdits: HeaderEdits
    public let responseEdits: HeaderEdits
    /// Empty where there is none.
    let stripPrefix: ByteRange
    let addPrefix: ByteRange
    /// True where `Router.rewrite` may change a path.
    public var rewritesPath: Bool { !stripPrefix.isEmpty || !addPrefix.isEmpty }
}

/// A header or query parameter that a request must have.
struct Condition: BitwiseCopyable {
    let name: ByteRange
    let value: ByteRange
    let takesAnyValue: Bool
}

/// A pool of a split, up to a number of millionths.
struct Share: BitwiseCopyable {
    let end: UInt32
    let pool: UInt16
}
