// The routes of one listener, compiled. `match` finds the first route that a request matches, at a cost
// that depends on the length of host and path and hardly on the number of routes.
//
// Every host pattern is a group of routes. A host belongs to the most specific group that fits it; the
// groups that fit as well are its parents, up to the group of routes for any host:
//
//     api.shop.example.com  ->  *.shop.example.com  ->  *.example.com  ->  any host
//
// Within a group, routes with the same path pattern stand in one list, ascending. The lists of all groups
// are in one hash table under group and path. One walk over the path gives the hash of each prefix that
// ends at a segment; only depths at which the groups have patterns are looked up. Of all lists that fit,
// the smallest index whose other conditions hold is the match.

import Glibc

/// Lives until `deallocate`; copies share the tables.
public struct Router: BitwiseCopyable, @unchecked Sendable {
    static var none: UInt32 { UInt32.max }

    /// Routes with one host pattern.
    struct HostGroup: BitwiseCopyable {
        /// The next less specific group; `none` for that of any host.
        var parent = Router.none
        /// Routes without a path pattern, in `lists`.
        var anyPath = TableRange(start: 0, count: 0)
        /// Bit n: the group has a pattern `…/*` with n slashes before that; the last bit: with 63 or more.
        var belowDepths: UInt64 = 0
        /// The same, with those of all parents.
        var allBelowDepths: UInt64 = 0
        var hasExactPaths = false
    }

    /// A slot of a hash table with open addressing; empty where `group` is `none`.
    struct HostSlot: BitwiseCopyable {
        var hash: UInt64 = 0
        var name = ByteRange.empty
        var isBelow = false
        var group = Router.none
    }

    struct PathSlot: BitwiseCopyable {
        var hash: UInt64 = 0
        var path = ByteRange.empty
        var isBelow = false
        var group = Router.none
        /// In `lists`.
        var list = TableRange(start: 0, count: 0)
    }

    public let routeCount: Int
    let arena: UnsafePointer<UInt8>
    let plans: UnsafePointer<RoutePlan>
    let names: UnsafePointer<ByteRange>
    let conditions: UnsafePointer<Condition>
    let fields: UnsafePointer<WrittenField>
    let shares: UnsafePointer<Share>
    /// Indices of routes.
    let lists: UnsafePointer<UInt32>
    let groups: UnsafePointer<HostGroup>
    let hostSlots: UnsafePointer<HostSlot>
    let hostMask: Int
    let pathSlots: UnsafePointer<PathSlot>
    let pathMask: Int
    /// Any route has a host pattern.
    let hasHosts: Bool
    /// Bit n: there is a pattern `*.…` with n dots after that; the last bit: with 63 or more.
    let hostDepths: UInt64

    /// Gives all tables back. Nobody may use a copy afterwards.
    public func deallocate() {
        arena.deallocate()
        plans.deallocate()
        names.deallocate()
        conditions.deallocate()
        fields.deallocate()
        shares.deallocate()
        lists.deallocate()
        groups.deallocate()
        hostSlots.deallocate()
        pathSlots.deallocate()
    }

    /// A route by the index that `match` gave.
    public func plan(_ index: Int) -> UnsafePointer<RoutePlan> {
        precondition(index >= 0 && index < routeCount)
        return plans + index
    }

    /// Bytes that a plan names.
    public func bytes(_ range: ByteRange) -> ByteView {
        ByteView(arena + Int(range.offset), Int(range.count))
    }

    // MARK: - Matching

    /// The index of the first route that the request matches, nil where none does.
    public func match(_ request: RequestView) -> Int? {
        let group = group(ofHost: request.bytes(request.host))
        var best = UInt32(routeCount)
        matchAnyPath(group, request, &best)
        matchPath(group, request, &best)
        return best == UInt32(routeCount) ? nil : Int(best)
    }

    /// The most specific group of a host. Walks from its end, so that the hash of each domain that it
    /// belongs to comes on the way.
    private func group(ofHost host: ByteView) -> UInt32 {
        if !hasHosts { return 0 }
        var end = host.count
        // The root's dot names the same host (RFC 1034, 3.1).
        if end > 1, host[end - 1] == UInt8(ascii: ".") { end -= 1 }
        var found: UInt32 = 0
        var hash = RollingHash()
        var dots = 0
        var index = end
        while index > 0 {
            index &-= 1
            let byte = asciiLowered(host[index])
            if byte == UInt8(ascii: ".") {
                if index > 0, hostDepths & Self.depthBit(dots) != 0 {
                    let domain = host.part(index + 1, end)
                    let slot = hostSlot(hash, domain, isBelow: true)
                    if slot != Self.none { found = slot }
                }
                dots &+= 1
            }
            hash.add(byte)
        }
        let exact = hostSlot(hash, host.part(0, end), isBelow: false)
        return exact == Self.none ? found : exact
    }

    @inline(never)
    private func hostSlot(_ rolling: RollingHash, _ host: ByteView, isBelow: Bool) -> UInt32 {
        let hash = rolling.value(tag: isBelow ? 1 : 0)
        var index = Int(truncatingIfNeeded: hash) & hostMask
        while hostSlots[index].group != Self.none {
            let slot = hostSlots + index
            if slot.pointee.hash == hash, slot.pointee.isBelow == isBelow,
                host.equalsIgnoringCase(lowered: bytes(slot.pointee.name))
            {
                return slot.pointee.group
            }
            index = (index + 1) & hostMask
        }
        return Self.none
    }

    private func matchAnyPath(_ group: UInt32, _ request: RequestView, _ best: inout UInt32) {
        var current = group
        while current != Self.none {
            let group = groups + Int(current)
            improve(&best, by: group.pointee.anyPath, request)
            current = group.pointee.parent
        }
    }

    private func matchPath(_ group: UInt32, _ request: RequestView, _ best: inout UInt32) {
        let path = request.pathBytes
        let depths = groups[Int(group)].allBelowDepths
        var hash = RollingHash()
        var slashes = 0
        var index = 0
        while index < path.count {
            let byte = path[index]
            if byte == UInt8(ascii: "/") {
                if depths & Self.depthBit(slashes) != 0 {
                    matchBelow(group, path.part(0, index), hash, slashes, request, &best)
                }
                slashes &+= 1
            }
            hash.add(byte)
            index &+= 1
        }
        if depths & Self.depthBit(slashes) != 0 { matchBelow(group, path, hash, slashes, request, &best) }
        matchExact(group, path, hash, request, &best)
    }

    /// Not inlined: the walk over the path keeps its state in registers.
    @inline(never)
    private func matchBelow(
        _ group: UInt32, _ prefix: ByteView, _ hash: RollingHash, _ slashes: Int, _ request: RequestView,
        _ best: inout UInt32
    ) {
        var current = group
        while current != Self.none {
            if groups[Int(current)].belowDepths & Self.depthBit(slashes) != 0 {
                improve(&best, by: list(current, prefix, hash, isBelow: true), request)
            }
            current = groups[Int(current)].parent
        }
    }

    private func matchExact(
        _ group: UInt32, _ path: ByteView, _ hash: RollingHash, _ request: RequestView, _ best: inout UInt32
    ) {
        var current = group
        while current != Self.none {
            if groups[Int(current)].hasExactPaths {
                improve(&best, by: list(current, path, hash, isBelow: false), request)
            }
            current = groups[Int(current)].parent
        }
    }

    private func list(
        _ group: UInt32, _ path: ByteView, _ rolling: RollingHash, isBelow: Bool
    ) -> TableRange {
        let hash = rolling.value(tag: group << 1 | (isBelow ? 1 : 0))
        var index = Int(truncatingIfNeeded: hash) & pathMask
        while pathSlots[index].group != Self.none {
            let slot = pathSlots + index
            if slot.pointee.hash == hash, slot.pointee.group == group, slot.pointee.isBelow == isBelow,
                path.equals(bytes(slot.pointee.path))
            {
                return slot.pointee.list
            }
            index = (index + 1) & pathMask
        }
        return TableRange(start: 0, count: 0)
    }

    /// Takes the first route of a list that is better than the best so far and whose conditions hold.
    private func improve(_ best: inout UInt32, by list: TableRange, _ request: RequestView) {
        var position = Int(list.start)
        let end = position + Int(list.count)
        while position < end {
            let index = lists[position]
            if index >= best { return }
            if conditionsHold(plans + Int(index), request) {
                best = index
                return
            }
            position += 1
        }
    }

    static func depthBit(_ depth: Int) -> UInt64 { 1 << UInt64(min(depth, 63)) }
}
