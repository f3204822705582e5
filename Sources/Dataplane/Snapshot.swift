// A validated configuration compiled for the workers: flat tables behind pointers, names as bytes, socket
// addresses ready for the kernel. Immutable once built; whoever made it (Generation.swift) frees it.

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
    /// Its own in the process, whatever its place in the configuration is.
    let number: UInt32
    /// Sessions of all workers, in whatever version they know it.
    let sessions: UnsafePointer<SharedCount>
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
    /// As configured.
    let addressText: UnsafeRawBufferPointer
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
    /// The most requests of a turn that share a connection; 1 where none do.
    let batch: Int
    let breaker: BreakerPlan
    /// How long sessions of a backend that is removed may go on; `UInt64.max` for ever.
    let endAfterRemovalNanoseconds: UInt64
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
    /// Connections that wait for a request, of all pools, in one worker.
    public let idleConnectionLimit: Int
    private let listeners: UnsafePointer<ListenerPlan>
    private let pools: UnsafePointer<UnsafePointer<PoolPlan>>
    let rateLimitCount: Int
    private let rateLimits: UnsafePointer<RateLimitPlan>

    /// `pools` are in the configuration's order.
    init(
        _ configuration: Configuration, listeners: [ListenerPlan], pools: [UnsafePointer<PoolPlan>],
        rateLimits: [RateLimitPlan], _ memory: SnapshotMemory
    ) {
        listenerCount = listeners.count
        poolCount = pools.count
        sessionLimit = configuration.limits.sessions
        successSampleShare = configuration.logs.successSampleShare
        headerSizeBytes = configuration.limits.headerSizeBytes
        headerLimit = configuration.limits.headers
        idleConnectionLimit = pools.reduce(0) { $0 + $1.pointee.idleConnections }
        self.listeners = memory.keep(listeners)
        self.pools = memory.keep(pools)
        rateLimitCount = rateLimits.count
        self.rateLimits = memory.keep(rateLimits)
    }

    public func listener(_ index: Int) -> UnsafePointer<ListenerPlan> {
        precondition(index < listenerCount)
        return listeners + index
    }

    public func pool(_ index: Int) -> UnsafePointer<PoolPlan> {
        precondition(index < poolCount)
        return pools[index]
    }

    /// The health of each pool, in their order.
    public var healthOfPools: [PoolHealth] { (0..<poolCount).map { pool($0).pointee.health } }

    func rateLimit(_ index: UInt32) -> UnsafePointer<RateLimitPlan> {
        precondition(index < rateLimitCount)
        return rateLimits + Int(index)
    }
}

/// What a version of something has allocated, given back when nobody refers to it any more. The control thread's.
final class SnapshotMemory {
    private var ends: [() -> Void] = []

    func keep<Element>(_ elements: [Element]) -> UnsafePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        memory.initialize(from: elements, count: elements.count)
        ends.append { memory.deallocate() }
        return UnsafePointer(memory)
    }

    func keep(_ text: String) -> UnsafeRawBufferPointer {
        let bytes = Array(text.utf8)
        return UnsafeRawBufferPointer(start: keep(bytes), count: bytes.count)
    }

    /// Called when all of it goes.
    func atEnd(_ end: @escaping () -> Void) { ends.append(end) }

    deinit { ends.forEach { $0() } }
}

extension ListenerPlan {
    init(
        _ listener: Listener, _ identity: ListenerIdentity, _ pools: PoolIndices,
        _ limits: inout RateLimitPlans
    ) {
        let memory = limits.memory
        self.init(
            name: memory.keep(listener.name), number: identity.number, sessions: identity.sessions,
            pool: listener.pool.map { pools.index[$0]! } ?? 0,
            connectTimeoutNanoseconds: listener.timeouts.connectNanoseconds,
            idleTimeoutNanoseconds: listener.timeouts.idleNanoseconds,
            sessionLimit: listener.limits.sessions ?? Int.max,
            sessionsPerClient: listener.limits.sessionsPerClient ?? 0, access: AccessPlan(listener, memory),
            rateLimit: limits.add(listener.rateLimit, of: listener, route: nil), relay: listener.relay,
            http: listener.mode == .http ? memory.keep([HTTPPlan(listener, pools, &limits)]) : nil,
            tally: identity.counted.tally)
    }
}

extension HTTPPlan {
    init(_ listener: Listener, _ pools: PoolIndices, _ limits: inout RateLimitPlans) {
        let memory = limits.memory
        let timeouts = listener.timeouts.http
        let routeLimits = listener.routes.map { limits.add($0.rateLimit, of: listener, route: $0) }
        let hasRouteLimits = routeLimits.contains { $0 != RateLimitPlans.none }
        let trusted = AddressTrie(listener.forwarded.trusted.map { AddressBlock($0, value: 1) })
        let router = Router(listener.routes.map { RouteDefinition($0, pools) })
        memory.atEnd {
            trusted.deallocate()
            router.deallocate()
        }
        let retries = [listener.retry] + listener.routes.map { $0.retry ?? listener.retry }
        self.init(
            requestHeadTimeoutNanoseconds: timeouts.requestHeadNanoseconds,
            requestBodyIdleTimeoutNanoseconds: timeouts.requestBodyIdleNanoseconds,
            keepAliveTimeoutNanoseconds: timeouts.keepAliveNanoseconds,
            responseHeadTimeoutNanoseconds: timeouts.responseHeadNanoseconds,
            tunnelTimeoutNanoseconds: timeouts.tunnelNanoseconds,
            bodyLimitBytes: UInt64(listener.limits.bodySizeBytes),
            forwarded: ForwardedPlan(
                xForwarded: listener.forwarded.xForwarded, forwarded: listener.forwarded.forwarded,
                via: memory.keep(listener.forwarded.via ?? ""),
                requestID: memory.keep(listener.forwarded.requestID ?? ""), trusted: trusted),
            router: router, retries: memory.keep(retries.map { RetryPlan($0) }),
            defaultPool: listener.pool.map { pools.index[$0]! },
            routeLimits: hasRouteLimits ? memory.keep(routeLimits) : nil)
    }
}
