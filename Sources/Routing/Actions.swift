// What a matched route does to the request and its response, computed over bytes in place: the pool of a
// split, the path after a rewrite, the headers to leave out and to put in.

/// A path in two parts that follow each other: bytes of the router, then bytes of the request.
public struct RewrittenPath: BitwiseCopyable {
    public let prefix: ByteView
    public let rest: ByteView
}

extension Router {
    /// The pool of a split that a number falls to: the same number, the same pool. The number is the hash of
    /// what the request sticks by (see `RoutePlan.stickyPool`), or random.
    public func pool(ofSplit plan: UnsafePointer<RoutePlan>, number: UInt64) -> UInt16 {
        let shares = plan.pointee.shares
        // Mixed (by the finalizer of splitmix64), so that the keys of one share do not lie together in a pool
        // that balances by the same hash.
        var mixed = (number ^ (number >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        let point = UInt32(truncatingIfNeeded: mixed.multipliedFullWidth(by: 1_000_000).high)
        var index = Int(shares.start)
        let last = index + Int(shares.count) - 1
        while index < last, point >= self.shares[index].end { index += 1 }
        return self.shares[index].pool
    }

    /// The path that the backend gets, without the query. A prefix is taken off where it is whole segments;
    /// the path `*` stays as it is.
    public func rewrite(_ request: RequestView, by plan: UnsafePointer<RoutePlan>) -> RewrittenPath {
        let path = request.pathBytes
        let nothing = ByteView(arena, 0)
        guard plan.pointee.rewritesPath, path[0] == UInt8(ascii: "/") else {
            return RewrittenPath(prefix: nothing, rest: path)
        }
        let strip = bytes(plan.pointee.stripPrefix)
        let isBelow =
            path.starts(with: strip) && (path.count == strip.count || path[strip.count] == UInt8(ascii: "/"))
        let rest = isBelow ? path.part(strip.count, path.count) : path
        let prefix = bytes(plan.pointee.addPrefix)
        // The arena begins with the path of the root.
        if prefix.count == 0, rest.count == 0 { return RewrittenPath(prefix: ByteView(arena, 1), rest: rest) }
        return RewrittenPath(prefix: prefix, rest: rest)
    }

    /// True where the edits leave a field of this name out.
    public func drops(_ name: ByteView, _ edits: HeaderEdits) -> Bool {
        var index = Int(edits.dropped.start)
        let end = index + Int(edits.dropped.count)
        while index < end {
            if name.equalsIgnoringCase(lowered: bytes(names[index])) { return true }
            index += 1
        }
        return false
    }

    /// What the edits put in after the other fields, in order; ranges of `bytes`.
    public func writtenFields(_ edits: HeaderEdits) -> UnsafeBufferPointer<WrittenField> {
        UnsafeBufferPointer(start: fields + Int(edits.written.start), count: Int(edits.written.count))
    }
}
