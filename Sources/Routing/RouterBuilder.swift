// Compiles route definitions into the flat tables of a `Router`. Runs when a snapshot is built; it may
// allocate, what it makes does not.

extension Router {
    /// Compiles routes; the order is theirs. There may be none.
    public init(_ definitions: [RouteDefinition]) {
        var builder = RouterBuilder()
        for definition in definitions { builder.add(definition) }
        self = builder.finish()
    }
}

private struct RouterBuilder {
    struct PathKey: Hashable {
        var group: Int
        var path: RouteDefinition.Path
    }

    /// Begins with the path of the root, which `Router.rewrite` needs.
    private var arena: [UInt8] = [UInt8(ascii: "/")]
    private var places: [[UInt8]: ByteRange] = [:]
    private var plans: [RoutePlan] = []
    private var names: [ByteRange] = []
    private var conditions: [Condition] = []
    private var fields: [WrittenField] = []
    private var shares: [Share] = []

    /// The first is that of any host.
    private var hosts: [RouteDefinition.Host] = [.any]
    private var groupOfHost: [RouteDefinition.Host: Int] = [.any: 0]
    private var routesOfPath: [PathKey: [UInt32]] = [:]
    /// In the order in which they came, so that the same routes give the same tables.
    private var pathKeys: [PathKey] = []

    mutating func add(_ definition: RouteDefinition) {
        let index = UInt32(plans.count)
        if groupOfHost[definition.host] == nil {
            groupOfHost[definition.host] = hosts.count
            hosts.append(definition.host)
        }
        let key = PathKey(group: groupOfHost[definition.host]!, path: definition.path)
        if routesOfPath[key] == nil { pathKeys.append(key) }
        routesOfPath[key, default: []].append(index)
        plans.append(plan(definition))
    }

    // MARK: - One route

    private mutating func plan(_ definition: RouteDefinition) -> RoutePlan {
        var pool: UInt16 = 0
        var status = 0
        var (location, body, contentType) = (ByteRange.empty, ByteRange.empty, ByteRange.empty)
        var keepsQuery = false
        var stickyPool: UInt16?
        var kind = RouteActionKind.pool
        let firstShare = shares.count
        switch definition.action {
        case .pool(let index): pool = index
        case .split(let parts, let sticky):
            (kind, stickyPool) = (.split, sticky)
            add(shares: parts)
        case .redirect(let to, let code):
            (kind, status) = (.redirect, code)
            location = keep(to)
            keepsQuery = !to.utf8.contains(UInt8(ascii: "?"))
        case .respond(let code, let text, let type):
            (kind, status) = (.respond, code)
            (body, contentType) = (keep(text), keep(type))
        }
        return RoutePlan(
            methods: add(names: definition.methods), headers: add(definition.headers),
            query: add(definition.query), action: kind, pool: pool,
            shares: range(from: firstShare, to: shares.count), stickyPool: stickyPool, status: UInt16(status),
            location: location,
            keepsQuery: keepsQuery, body: body, contentType: contentType,
            requestEdits: add(definition.requestHeaders), responseEdits: add(definition.responseHeaders),
            stripPrefix: keep(definition.stripPrefix), addPrefix: keep(definition.addPrefix))
    }

    private mutating func add(shares parts: [RouteDefinition.Share]) {
        precondition(parts.reduce(0) { $0 + $1.millionths } == 1_000_000, "shares are of one whole")
        var end = 0
        for part in parts where part.millionths > 0 {
            end += part.millionths
            shares.append(Share(end: UInt32(end), pool: part.pool))
        }
    }

    private mutating func add(_ wanted: [RouteDefinition.Condition]) -> TableRange {
        let first = conditions.count
        for one in wanted {
            conditions.append(
                Condition(
                    name: keep(one.name), value: keep(one.value ?? ""), takesAnyValue: one.value == nil))
        }
        return range(from: first, to: conditions.count)
    }

    private mutating func add(_ changes: RouteDefinition.MessageChanges) -> HeaderEdits {
        let dropped = add(names: (changes.set.map(\.name) + changes.removed).map { $0.lowercased() })
        let first = fields.count
        for header in changes.set + changes.added {
            fields.append(WrittenField(name: keep(header.name), value: keep(header.value)))
        }
        return HeaderEdits(dropped: dropped, written: range(from: first, to: fields.count))
    }

    private mutating func add(names texts: [String]) -> TableRange {
        let first = names.count
        for text in texts { names.append(keep(text)) }
        return range(from: first, to: names.count)
    }

    private mutating func keep(_ text: String) -> ByteRange {
        let bytes = Array(text.utf8)
        if let place = places[bytes] { return place }
        let place = ByteRange(offset: UInt32(arena.count), count: UInt32(bytes.count))
        arena += bytes
        places[bytes] = place
        return place
    }

    private func range(from start: Int, to end: Int) -> TableRange {
        TableRange(start: UInt32(start), count: UInt32(end - start))
    }

    // MARK: - The tables

    mutating func finish() -> Router {
        var groups = hostGroups()
        var lists: [UInt32] = []
        var pathSlots = Self.table(of: pathKeys.count, empty: Router.PathSlot())
        for key in pathKeys {
            let routes = routesOfPath[key]!
            let list = range(from: lists.count, to: lists.count + routes.count)
            lists += routes
            switch key.path {
            case .any: groups[key.group].anyPath = list
            case .exact(let path):
                groups[key.group].hasExactPaths = true
                insert(path, isBelow: false, group: key.group, list, into: &pathSlots)
            case .below(let path):
                let slashes = path.utf8.count { $0 == UInt8(ascii: "/") }
                groups[key.group].belowDepths |= Router.depthBit(slashes)
                insert(path, isBelow: true, group: key.group, list, into: &pathSlots)
            }
        }
        for index in groups.indices {
            var current = UInt32(index)
            while current != Router.none {
                groups[index].allBelowDepths |= groups[Int(current)].belowDepths
                current = groups[Int(current)].parent
            }
        }
        let hostSlots = hostTable()
        return Router(
            routeCount: plans.count, arena: Self.memory(arena), plans: Self.memory(plans),
            names: Self.memory(names), conditions: Self.memory(conditions), fields: Self.memory(fields),
            shares: Self.memory(shares), lists: Self.memory(lists), groups: Self.memory(groups),
            hostSlots: Self.memory(hostSlots), hostMask: hostSlots.count - 1,
            pathSlots: Self.memory(pathSlots), pathMask: pathSlots.count - 1, hasHosts: hosts.count > 1,
            hostDepths: hostDepths)
    }

    /// Each group with the next less specific one.
    private func hostGroups() -> [Router.HostGroup] {
        hosts.map { host in
            var group = Router.HostGroup()
            switch host {
            case .any: break
            case .exact(let name), .below(let name): group.parent = UInt32(parent(of: name))
            }
            return group
        }
    }

    /// The longest domain of those that a name lies below and that have a pattern; else any host.
    private func parent(of name: String) -> Int {
        var rest = Substring(name)
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            if let group = groupOfHost[.below(String(rest))] { return group }
        }
        return 0
    }

    private var hostDepths: UInt64 {
        hosts.reduce(0) { depths, host in
            guard case .below(let name) = host else { return depths }
            return depths | Router.depthBit(name.utf8.count { $0 == UInt8(ascii: ".") })
        }
    }

    private mutating func hostTable() -> [Router.HostSlot] {
        var slots = Self.table(of: hosts.count - 1, empty: Router.HostSlot())
        for (group, host) in hosts.enumerated() {
            let (name, isBelow): (String, Bool)
            switch host {
            case .any: continue
            case .exact(let text): (name, isBelow) = (text, false)
            case .below(let text): (name, isBelow) = (text, true)
            }
            var rolling = RollingHash()
            for byte in name.utf8.reversed() { rolling.add(byte) }
            let hash = rolling.value(tag: isBelow ? 1 : 0)
            var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[index].group != Router.none { index = (index + 1) & (slots.count - 1) }
            slots[index] = .init(hash: hash, name: keep(name), isBelow: isBelow, group: UInt32(group))
        }
        return slots
    }

    private mutating func insert(
        _ path: String, isBelow: Bool, group: Int, _ list: TableRange, into slots: inout [Router.PathSlot]
    ) {
        var rolling = RollingHash()
        for byte in path.utf8 { rolling.add(byte) }
        let hash = rolling.value(tag: UInt32(group) << 1 | (isBelow ? 1 : 0))
        var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[index].group != Router.none { index = (index + 1) & (slots.count - 1) }
        slots[index] = .init(
            hash: hash, path: keep(path), isBelow: isBelow, group: UInt32(group), list: list)
    }

    /// A power of two of empty slots, at most half of which will be taken.
    private static func table<Slot>(of count: Int, empty: Slot) -> [Slot] {
        var size = 2
        while size < 2 * count { size *= 2 }
        return Array(repeating: empty, count: size)
    }

    private static func memory<Element>(_ elements: [Element]) -> UnsafePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        memory.initialize(from: elements, count: elements.count)
        return UnsafePointer(memory)
    }
}
