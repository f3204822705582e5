// A request as routing sees it: places in the octets that were received, nothing copied. The data plane
// makes one of a parsed head; `Router`, hash keys and rewrites read it.

import HTTP1

/// All ranges count from `base`. The memory belongs to the caller and outlives the calls that take the view.
public struct RequestView: BitwiseCopyable {
    public let base: UnsafePointer<UInt8>
    let method: HeadRange
    /// Without the port; an IPv6 address keeps its brackets.
    let host: HeadRange
    /// As received, before `?`; `*` in asterisk form; empty means `/` (RFC 9112, 3.2.2 and 3.2.4).
    let path: HeadRange
    /// After `?`; empty where there is none.
    let query: HeadRange
    public let fields: FieldTable
    public let fieldCount: Int

    /// The view of a head that was parsed out of `base` into `fields`.
    public init(_ head: RequestHead, base: UnsafePointer<UInt8>, fields: FieldTable) {
        self.init(
            base: base, method: head.methodRange, host: head.authority.host, path: head.target.path,
            query: head.target.query ?? HeadRange(offset: 0, count: 0), fields: fields,
            fieldCount: Int(head.fieldCount))
    }

    init(
        base: UnsafePointer<UInt8>, method: HeadRange, host: HeadRange, path: HeadRange, query: HeadRange,
        fields: FieldTable, fieldCount: Int
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
        if path.count > 0 { return bytes(path) }
        let root: StaticString = "/"
        return ByteView(root.utf8Start, 1)
    }

    func bytes(_ range: HeadRange) -> ByteView { ByteView(base + Int(range.offset), Int(range.count)) }
}
