// What an http listener has beyond a tcp one, compiled: its routes, timeouts, and what backends are told of
// the client. `Generation` builds it from the configuration; it is immutable.

import Configuration
import Limiting
import Routing

/// Durations in nanoseconds.
public struct HTTPPlan {
    public let requestHeadTimeoutNanoseconds: UInt64
    public let requestBodyIdleTimeoutNanoseconds: UInt64
    public let keepAliveTimeoutNanoseconds: UInt64
    public let responseHeadTimeoutNanoseconds: UInt64
    public let tunnelTimeoutNanoseconds: UInt64
    /// Bytes of a request's body; a longer one is refused.
    public let bodyLimitBytes: UInt64
    public let forwarded: ForwardedPlan
    public let router: Router
    /// Of requests without a route, then of each route.
    let retries: UnsafePointer<RetryPlan>
    /// Index of the pool of requests that no route matches; nil answers 404.
    public let defaultPool: UInt16?
    /// Indices of the routes' own rate limits; nil where no route has one.
    let routeLimits: UnsafePointer<UInt32>?

    func rateLimit(ofRoute route: UInt32) -> UInt32 {
        guard let routeLimits, route != Exchange.noRoute else { return RateLimitPlans.none }
        return routeLimits[Int(route)]
    }
}

/// What backends are told of the client.
public struct ForwardedPlan {
    public let xForwarded: ForwardingHeader
    /// Forwarded (RFC 7239).
    public let forwarded: ForwardingHeader
    /// The name to add to Via; empty where none is added.
    public let via: UnsafeRawBufferPointer
    /// The header of the request's id; empty where none is made.
    public let requestID: UnsafeRawBufferPointer
    let trusted: AddressTrie

    /// True where the forwarding headers of this peer are believed. A peer of a unix socket has no address
    /// and is not.
    func trusts(_ peer: ClientAddress) -> Bool {
        guard !trusted.isEmpty, peer.family == .ipv4 || peer.family == .ipv6 else { return false }
        return trusted.value(high: peer.high, low: peer.low, isIPv6: peer.family == .ipv6) > 0
    }
}

// MARK: - From the configuration

/// What compiling a route asks about pools.
struct PoolIndices {
    var index: [String: UInt16] = [:]
    var withHash: Set<UInt16> = []

    init(_ pools: [Pool]) {
        for (position, pool) in pools.enumerated() {
            index[pool.name] = UInt16(position)
            if pool.hash != nil { withHash.insert(UInt16(position)) }
        }
    }
}

extension RouteDefinition {
    init(_ route: Route, _ pools: PoolIndices) {
        let index = { (name: String) in pools.index[name]! }
        switch route.action {
        case .pool(let name): self.init(action: .pool(index(name)))
        case .split(let shares):
            let parts = shares.map { part in
                Share(pool: index(part.pool), millionths: Int((part.share * 1_000_000).rounded()))
            }
            let sticky = parts.first { pools.withHash.contains($0.pool) }
            self.init(action: .split(parts, stickyPool: sticky?.pool))
        case .redirect(let redirect):
            self.init(action: .redirect(location: redirect.location, status: redirect.status))
        case .respond(let response):
            self.init(
                action: .respond(
                    status: response.status, body: response.body, contentType: response.contentType))
        }
        switch route.match.host {
        case nil: host = .any
        case .exact(let name): host = .exact(name)
        case .below(let name): host = .below(name)
        }
        switch route.match.path {
        case nil, .below(""): path = .any
        case .exact(let text): path = .exact(text)
        case .below(let text): path = .below(text)
        }
        methods = route.match.methods
        headers = route.match.headers.map { Condition(name: $0.name, value: $0.value) }
        query = route.match.query.map { Condition(name: $0.name, value: $0.value) }
        requestHeaders = MessageChanges(route.requestHeaders)
        responseHeaders = MessageChanges(route.responseHeaders)
        stripPrefix = route.rewrite.stripPrefix ?? ""
        addPrefix = route.rewrite.addPrefix ?? ""
    }
}

extension RouteDefinition.MessageChanges {
    init(_ changes: HeaderChanges) {
        let header = { (field: HeaderField) in RouteDefinition.Header(name: field.name, value: field.value) }
        self.init(
            set: changes.fieldsSet.map(header), added: changes.fieldsAdded.map(header),
            removed: changes.namesRemoved)
    }
}

extension HashKeyPlan {
    init(_ settings: HashSettings) {
        let (key, name) = Self.source(settings.key)
        let (fallback, fallbackName) = Self.source(settings.fallback)
        self.init(key: key, name: name, fallback: fallback, fallbackName: fallbackName)
    }

    private static func source(_ key: HashKey) -> (HashKeySource, String) {
        switch key {
        case .clientAddress: (.clientAddress, "")
        case .header(let name): (.header, name)
        case .cookie(let name): (.cookie, name)
        case .query(let name): (.query, name)
        case .path: (.path, "")
        case .uri: (.uri, "")
        }
    }
}
