// Who may come and how often, compiled from the configuration. `Generation` builds it, with the
// tables in which limits count: those go on from one configuration to the next where the limit stays the same.

import Configuration
import HTTP1
import Limiting
import Routing

/// The lists of addresses of a listener.
public struct AccessPlan {
    private static let allowed: UInt32 = 1
    private static let denied: UInt32 = 2

    private let blocks: AddressTrie
    private let allowsOthers: Bool
    /// There are lists.
    let isOn: Bool

    init(_ listener: Listener, _ memory: SnapshotMemory) {
        let blocks = AddressTrie(
            listener.allow.map { AddressBlock($0, value: Self.allowed) }
                + listener.deny.map { AddressBlock($0, value: Self.denied) })
        memory.atEnd { blocks.deallocate() }
        self.blocks = blocks
        allowsOthers = listener.allow.isEmpty
        isOn = !blocks.isEmpty
    }

    /// The longest block decides. Clients of a unix socket have no address, who may connect is in the permissions of
    /// its file; a client whose address cannot be learned, because it is gone, is in no list that allows anybody.
    func allows(_ client: ClientAddress) -> Bool {
        if !isOn || client.family == .unix { return true }
        if client.family == .unknown { return false }
        switch blocks.value(high: client.high, low: client.low, isIPv6: client.family == .ipv6) {
        case Self.allowed: return true
        case Self.denied: return false
        default: return allowsOthers
        }
    }
}

/// What a listener's or route's `rate_limit` says.
public struct RateLimitPlan {
    enum Key {
        case client
        case header(HeaderKey)
        case route
    }

    let limit: RateLimit
    let key: Key
    /// What it counts in.
    let table: UnsafePointer<RateTable>
    /// What of an address is the client.
    private let ipv4Mask: UInt64
    private let ipv6Mask: (high: UInt64, low: UInt64)
    /// The value of RateLimit-Policy, and the policy's name in it with the quotes.
    let policy: UnsafeRawBufferPointer
    let policyName: UnsafeRawBufferPointer

    init(_ settings: RateLimitSettings, table: UnsafePointer<RateTable>, _ memory: SnapshotMemory) {
        limit = RateLimit(settings)
        self.table = table
        var bits = (ipv4: 32, ipv6: RateKey.defaultIPv6Bits)
        switch settings.key {
        case .clientNetwork(let ipv4, let ipv6):
            bits = (ipv4, ipv6)
            key = .client
        case .header(let name):
            let header = HeaderKey(name)
            memory.atEnd { header.deallocate() }
            key = .header(header)
        case .route: key = .route
        }
        // A shift by the whole width gives zero.
        ipv4Mask = 0xFFFF_FFFF & (UInt64.max << UInt64(32 - bits.ipv4))
        ipv6Mask = (
            UInt64.max << UInt64(64 - min(bits.ipv6, 64)), UInt64.max << UInt64(64 - max(bits.ipv6 - 64, 0))
        )
        let name = "\"\(settings.key)\""
        let window =
            (limit.burst * limit.period + limit.grants * 1_000_000_000 - 1) / (limit.grants * 1_000_000_000)
        policy = memory.keep("\(name);q=\(limit.burst);w=\(window)")
        policyName = memory.keep(name)
    }

    /// Routes are few and known: they get room enough that none is ever forgotten.
    static func tableKeys(_ settings: RateLimitSettings, routes: Int) -> Int {
        settings.key == .route ? 16 * (routes + 1) : settings.keys
    }

    /// nil for who has no address: clients of a unix socket, and one that is gone again.
    func key(of client: ClientAddress, _ table: borrowing RateTable) -> UInt64? {
        switch client.family {
        case .ipv4: table.key(0, client.low & ipv4Mask)
        case .ipv6: table.key(client.high & ipv6Mask.high, client.low & ipv6Mask.low)
        case .unix, .unknown: nil
        }
    }

    /// A request without the header is counted by its client: a limit that one gets around by leaving something out
    /// would be none.
    func key(
        of request: RequestView, client: ClientAddress, route: UInt32, _ table: borrowing RateTable
    ) -> UInt64? {
        switch key {
        case .client: return key(of: client, table)
        case .route: return table.key(UInt64(route), 0)
        case .header(let header):
            guard let hash = header.hash(request) else { return key(of: client, table) }
            // Apart from all addresses: ::/8 is reserved (RFC 4291, 2.4), but for what is 0 here.
            return table.key(1, hash)
        }
    }
}

extension RateLimit {
    init(_ settings: RateLimitSettings) {
        self.init(
            grants: UInt64(settings.rate.count), period: settings.rate.unit.nanoseconds,
            burst: UInt64(settings.burst ?? settings.rate.count))
    }
}

extension AddressBlock {
    init(_ range: AddressRange, value: UInt32) {
        switch range {
        case .ipv4(let bits, let length):
            self.init(high: 0, low: UInt64(bits), isIPv6: false, prefixLength: length, value: value)
        case .ipv6(let high, let low, let length):
            self.init(high: high, low: low, isIPv6: true, prefixLength: length, value: value)
        }
    }
}

/// Gives each limit of a configuration its place.
struct RateLimitPlans {
    /// No limit.
    static let none = UInt32.max

    let memory: SnapshotMemory
    /// The table of a limit; a route of nil stands for the listener's own limit.
    let table: (Listener, Route?) -> UnsafePointer<RateTable>
    private(set) var plans: [RateLimitPlan] = []

    init(_ memory: SnapshotMemory, table: @escaping (Listener, Route?) -> UnsafePointer<RateTable>) {
        self.memory = memory
        self.table = table
    }

    mutating func add(_ settings: RateLimitSettings?, of listener: Listener, route: Route?) -> UInt32 {
        guard let settings else { return Self.none }
        plans.append(RateLimitPlan(settings, table: table(listener, route), memory))
        return UInt32(plans.count - 1)
    }
}

extension Configuration {
    /// Memory that the tables of all rate limits take.
    public var rateTableBytes: Int {
        let limits = listeners.flatMap { listener in
            let routes = listener.routes.count
            return [listener.rateLimit].compactMap { $0.map { RateLimitPlan.tableKeys($0, routes: routes) } }
                + listener.routes.compactMap { $0.rateLimit.map { RateLimitPlan.tableKeys($0, routes: 0) } }
        }
        return limits.reduce(0) { $0 + RateTable.bytes(keys: $1) }
    }
}
