// A validated configuration compiled for the workers: flat tables behind pointers, names as bytes, socket
// addresses ready for the kernel. Immutable once built; it lives as long as the process.

import Balancing
import Base
import Configuration
import Glibc
import Health
import Limiting
import Routing
import Telemetry

/// One listener, compiled.
public struct ListenerPlan {
    public let name: UnsafeRawBufferPointer
    /// Index of its pool; of an http listener `http` says which.
    public let pool: UInt16
    public let connectTimeoutNanoseconds: UInt64
    public let idleTimeoutNanoseconds: UInt64
    /// `Int.max` where there is none.
    public let sessionLimit: Int
    /// 0 where there is none.
    public let sessionsPerClient: Int
    let access: AccessPlan
    /// Index of its rate limit; `RateLimitPlans.none`.
    let rateLimit: UInt32
    public let relay: RelayChoice
    /// nil in tcp mode.
    public let http: UnsafePointer<HTTPPlan>?
    let tally: Tally
}

/// One backend, compiled.
public struct BackendPlan {
    public let name: UnsafeRawBufferPointer
    public let address: SocketAddress
    /// TCP options apply (it is no unix socket).
    public let isTCP: Bool
    let tally: Tally
}

/// One pool, compiled.
public struct PoolPlan {
    public let name: UnsafeRawBufferPointer
    public let balance: PolicyPlan
    /// Of the same candidates.
    public let health: PoolHealth
    /// As in `balance.candidates`: backups after all others.
    public let backends: UnsafePointer<BackendPlan>
    /// What requests stick by; nil where they do not.
    public let hash: HashKeyPlan?
    /// How sessions come back to the backend that they had.
    let affinity: AffinityPlan
    /// What the log calls the key and its fallback.
    let keyNames: KeyNames
    /// Connections of each worker that wait for a request; 0 keeps none.
    public let idleConnections: Int
    public let idleConnectionTimeoutNanoseconds: UInt64
    /// Requests of one connection; `Int.max` where there is no limit.
    public let requestsPerConnection: Int
    let breaker: BreakerPlan
    let load: UnsafePointer<PoolLoad>
}

extension PoolPlan {
    public var candidates: Candidates {
        @inline(__always)
        get { balance.candidates }
    }

    /// Sessions and requests that wait for a place.
    public var pendingCount: Int { max(load.pointee.pending.load(ordering: .relaxed), 0) }
}

public struct Snapshot: @unchecked Sendable {
    public let listenerCount: Int
    public let poolCount: Int
    /// Client connections of the whole process.
    public let sessionLimit: Int
    /// Share (0...1) of successful sessions that is logged.
    public let successSampleShare: Double
    /// Bytes of a request or response head; at most a receive buffer.
    public let headerSizeBytes: Int
    /// Header fields of a request or response.
    public let headerLimit: Int
    /// Any listener is one of http mode.
    public let servesHTTP: Bool
    /// Connections that wait for a request, of all pools, in one worker.
    public let idleConnectionLimit: Int
    private let listeners: UnsafePointer<ListenerPlan>
    private let pools: UnsafePointer<PoolPlan>
    let rateLimitCount: Int
    private let rateLimits: UnsafePointer<RateLimitPlan>

    /// `resolve` answers the socket address of a backend; host names were looked up before. At most `workers` will
    /// run on it.
    public init(_ configuration: Configuration, workers: Int = 1, resolve: (Backend) -> SocketAddress) {
        let tallies = SnapshotTallies(workers: workers)
        let poolPlans = configuration.pools.map { Self.poolPlan($0, tallies, resolve: resolve) }
        let indices = PoolIndices(configuration.pools)
        var limits = RateLimitPlans()
        let listenerTallies = tallies.listeners(configuration.listeners.count)
        let listenerPlans = configuration.listeners.enumerated().map { index, listener in
            ListenerPlan(
                name: Self.keep(listener.name),
                pool: listener.pool.map { indices.index[$0]! } ?? 0,
                connectTimeoutNanoseconds: listener.timeouts.connectNanoseconds,
                idleTimeoutNanoseconds: listener.timeouts.idleNanoseconds,
                sessionLimit: listener.limits.sessions ?? Int.max,
                sessionsPerClient: listener.limits.sessionsPerClient ?? 0,
                access: AccessPlan(listener),
                rateLimit: limits.add(listener.rateLimit, routes: listener.routes.count, keep: Self.keep),
                relay: listener.relay, http: Self.httpPlan(listener, indices, &limits),
                tally: listenerTallies[index])
        }
        listenerCount = listenerPlans.count
        poolCount = poolPlans.count
        sessionLimit = configuration.limits.sessions
        successSampleShare = configuration.logs.successSampleShare
        headerSizeBytes = configuration.limits.headerSizeBytes
        headerLimit = configuration.limits.headers
        servesHTTP = listenerPlans.contains { $0.http != nil }
        idleConnectionLimit = poolPlans.reduce(0) { $0 + $1.idleConnections }
        listeners = Self.keep(listenerPlans)
        pools = Self.keep(poolPlans)
        rateLimitCount = limits.plans.count
        rateLimits = Self.keep(limits.plans)
    }

    public func listener(_ index: Int) -> UnsafePointer<ListenerPlan> {
        precondition(index < listenerCount)
        return listeners + index
    }

    public func pool(_ index: Int) -> UnsafePointer<PoolPlan> {
        precondition(index < poolCount)
        return pools + index
    }

    /// The health of each pool, in their order.
    public var healthOfPools: [PoolHealth] { (0..<poolCount).map { pool($0).pointee.health } }

    func rateLimit(_ index: UInt32) -> UnsafePointer<RateLimitPlan> {
        precondition(index < rateLimitCount)
        return rateLimits + Int(index)
    }

    private static func poolPlan(
        _ pool: Pool, _ tallies: SnapshotTallies, resolve: (Backend) -> SocketAddress
    ) -> PoolPlan {
        let backends = pool.backendsBackupsLast
        let backendTallies = tallies.backends(backends.count)
        let plans = backends.enumerated().map { index, backend in
            let address = resolve(backend)
            return BackendPlan(
                name: keep(backend.name), address: address, isTCP: address.family != AF_UNIX,
                tally: backendTallies[index])
        }
        let balance = PolicyPlan(pool, backends)
        return PoolPlan(
            name: keep(pool.name), balance: balance,
            health: PoolHealth(HealthRules(pool), balance.candidates), backends: keep(plans),
            hash: pool.hash.map { HashKeyPlan($0) }, affinity: AffinityPlan(pool, backends),
            keyNames: KeyNames(pool, keep: keep),
            idleConnections: pool.keepAlive.idle,
            idleConnectionTimeoutNanoseconds: pool.keepAlive.idleTimeoutNanoseconds,
            requestsPerConnection: pool.keepAlive.maxRequests == 0 ? Int.max : pool.keepAlive.maxRequests,
            breaker: BreakerPlan(
                maxSessions: pool.breaker.maxSessions ?? Int.max, maxPending: pool.breaker.maxPending,
                pendingTimeoutNanoseconds: pool.breaker.pendingTimeoutNanoseconds),
            load: PoolLoad.make())
    }

    private static func httpPlan(
        _ listener: Listener, _ pools: PoolIndices, _ limits: inout RateLimitPlans
    ) -> UnsafePointer<HTTPPlan>? {
        guard listener.mode == .http else { return nil }
        let timeouts = listener.timeouts.http
        let routeLimits = listener.routes.map { limits.add($0.rateLimit, routes: 0, keep: keep) }
        let hasRouteLimits = routeLimits.contains { $0 != RateLimitPlans.none }
        let forwarded = ForwardedPlan(
            xForwarded: listener.forwarded.xForwarded, forwarded: listener.forwarded.forwarded,
            via: keep(listener.forwarded.via ?? ""), requestID: keep(listener.forwarded.requestID ?? ""),
            trusted: AddressTrie(listener.forwarded.trusted.map { AddressBlock($0, value: 1) }))
        return keep([
            HTTPPlan(
                requestHeadTimeoutNanoseconds: timeouts.requestHeadNanoseconds,
                requestBodyIdleTimeoutNanoseconds: timeouts.requestBodyIdleNanoseconds,
                keepAliveTimeoutNanoseconds: timeouts.keepAliveNanoseconds,
                responseHeadTimeoutNanoseconds: timeouts.responseHeadNanoseconds,
                tunnelTimeoutNanoseconds: timeouts.tunnelNanoseconds,
                bodyLimitBytes: UInt64(listener.limits.bodySizeBytes), forwarded: forwarded,
                router: Router(listener.routes.map { RouteDefinition($0, pools) }),
                retries: keep(
                    ([listener.retry] + listener.routes.map { $0.retry ?? listener.retry }).map(
                        RetryPlan.init)),
                defaultPool: listener.pool.map { pools.index[$0]! },
                routeLimits: hasRouteLimits ? keep(routeLimits) : nil)
        ])
    }

    private static func keep<Element>(_ elements: [Element]) -> UnsafePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        memory.initialize(from: elements, count: elements.count)
        return UnsafePointer(memory)
    }

    private static func keep(_ text: String) -> UnsafeRawBufferPointer {
        let bytes = Array(text.utf8)
        return UnsafeRawBufferPointer(start: keep(bytes), count: bytes.count)
    }
}
