// A numbered configuration in force: the snapshot and what each worker has of it. The control thread makes one,
// publishes it, waits until each worker has taken it, and drops it when the last session that knows it has ended.
// What is the same in two of them is shared: pools, counts of listeners, tables of limits.

import Balancing
import Base
import Configuration
import Health
import Limiting
import Routing
import Synchronization

/// A listener through all versions that have its name and mode.
final class ListenerIdentity {
    let number: UInt32
    let counted: TallyMemory
    private let memory: UnsafeMutablePointer<SharedCount>

    init(number: UInt32, workers: Int) {
        self.number = number
        counted = .listener(workers: workers)
        memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
            .bindMemory(to: SharedCount.self, capacity: 1)
        memory.initialize(to: SharedCount())
    }

    deinit {
        memory.deinitialize(count: 1)
        memory.deallocate()
    }

    var sessions: UnsafePointer<SharedCount> { UnsafePointer(memory) }
}

/// The table of a rate limit, kept as long as the limit stays the same.
final class RateTableMemory {
    /// What must be the same for the counts to mean the same.
    struct Meaning: Equatable {
        let settings: RateLimitSettings
        /// Counting by route, a key is a route's place.
        let routes: [RouteMatch]
    }

    let meaning: Meaning
    let table: UnsafeMutablePointer<RateTable>

    init(_ meaning: Meaning, keys: Int, seed: UInt64) {
        self.meaning = meaning
        table = .allocate(capacity: 1)
        table.initialize(to: RateTable(RateLimit(meaning.settings), keys: keys, seed: seed))
    }

    deinit {
        table.deinitialize(count: 1)
        table.deallocate()
    }
}

public final class Generation {
    struct ListenerName: Hashable {
        let name: String
        let mode: ListenerMode
    }

    struct LimitName: Hashable {
        let listener: String
        /// nil: the listener's own.
        let route: RouteMatch?
    }

    /// 1 for the first.
    public let number: Int
    public let configuration: Configuration
    public let snapshot: Snapshot
    /// For each pool, what it was in the generation before.
    public let successions: [Keeper.Succession]
    let pools: [PoolPart]
    private let identities: [ListenerName: ListenerIdentity]
    private let limits: [LimitName: RateTableMemory]
    private let nextListenerNumber: UInt32
    private let memory = SnapshotMemory()
    /// One for each worker; what `SharedState` publishes.
    private let epochs: UnsafeMutablePointer<UnsafeMutablePointer<Epoch>>
    private let workers: Int

    /// `resolve` answers the socket address of a backend; host names were looked up before. `sockets` are what each
    /// worker is to accept on; there are as many workers as before. `seed` is a secret where clients are strangers:
    /// it says how the keys of rate limits are hashed.
    public init(
        _ configuration: Configuration, after before: Generation? = nil, sockets: [[ListeningSocket]],
        seed: UInt64, resolve: (Backend) -> SocketAddress
    ) {
        number = (before?.number ?? 0) + 1
        self.configuration = configuration
        workers = sockets.count
        var random = RandomSource(seed: seed)
        var old: [String: PoolPart] = [:]
        for part in before?.pools ?? [] { old[part.settings.name] = part }
        let pools = configuration.pools.map { pool in
            let addresses = pool.backendsBackupsLast.map(resolve)
            let settings = pool.withoutPositions
            if let part = old[pool.name], part.isSame(settings, addresses) { return part }
            return PoolPart(
                settings, addresses, before: old[pool.name], workers: sockets.count, &random)
        }
        self.pools = pools
        var builder = ListenerBuilder(before?.identities ?? [:], before?.limits ?? [:], seed: seed)
        builder.workers = workers
        builder.nextNumber = before?.nextListenerNumber ?? 0
        snapshot = builder.snapshot(configuration, pools, memory)
        identities = builder.identities
        limits = builder.limits
        nextListenerNumber = builder.nextNumber
        successions = pools.map { Self.succession($0, before?.pools ?? []) }
        let heirs = Heirs(of: before, pools, configuration, memory)
        epochs = .allocate(capacity: workers)
        for (worker, sockets) in sockets.enumerated() {
            let epoch = UnsafeMutablePointer<Epoch>.allocate(capacity: 1)
            let ofWorker = heirs.ofWorker(worker)
            epoch.initialize(
                to: Epoch(
                    snapshot, pools: memory.keep(pools.map { $0.ofWorkers[worker] }),
                    heirs: memory.keep(ofWorker), heirCount: ofWorker.count,
                    newListener: heirs.newListener, sockets: memory.keep(sockets),
                    socketCount: sockets.count))
            (epochs + worker).initialize(to: epoch)
        }
    }

    deinit {
        for worker in 0..<workers {
            epochs[worker].deinitialize(count: 1)
            epochs[worker].deallocate()
        }
        epochs.deallocate()
    }

    private static func succession(_ pool: PoolPart, _ old: [PoolPart]) -> Keeper.Succession {
        let before = old.firstIndex { $0.settings.name == pool.settings.name }
        var places: [Int?] = Array(repeating: nil, count: pool.addresses.count)
        if let before {
            for (place, index) in pool.newIndex(from: old[before]).enumerated()
            where index != WorkerPool.noBackend {
                places[Int(index)] = place
            }
        }
        return Keeper.Succession(
            pool.plan.pointee.health, before: before, isSame: before.map { old[$0] === pool } ?? false,
            backends: places)
    }

    public func epoch(ofWorker index: Int) -> UnsafeMutablePointer<Epoch> {
        precondition(index < workers)
        return epochs[index]
    }

    /// The workers are to take it; wake them afterwards. One that starts takes it as it is.
    public func publish(_ shared: UnsafePointer<SharedState>) { shared.pointee.publish(epochs) }

    /// Every worker has taken it.
    public var isTaken: Bool { (0..<workers).allSatisfy { epochs[$0].pointee.isTaken } }

    /// No worker has a socket in its ring any more that was listened on before this and is not now.
    public var hasLetGoOfSockets: Bool {
        (0..<workers).allSatisfy { epochs[$0].pointee.socketsInUse.load(ordering: .acquiring) == 0 }
    }

    /// Some session has a listener of this version.
    var isUsed: Bool { (0..<workers).contains { epochs[$0].pointee.users > 0 } }
}

/// What becomes of the listeners and pools of the generation before.
private struct Heirs {
    private let before: Generation?
    /// nil where a pool has gone.
    private let parts: [PoolPart?]
    /// For each pool that was replaced.
    private let newIndices: [UnsafePointer<UInt16>?]
    private let keepOrder: [Bool]
    let newListener: UnsafePointer<UInt16>

    init(
        of before: Generation?, _ pools: [PoolPart], _ configuration: Configuration,
        _ memory: SnapshotMemory
    ) {
        self.before = before
        var now: [String: PoolPart] = [:]
        for part in pools { now[part.settings.name] = part }
        let parts = (before?.pools ?? []).map { now[$0.settings.name] }
        newIndices = zip(before?.pools ?? [], parts).map { old, new in
            guard let new, new !== old else { return nil }
            return memory.keep(new.newIndex(from: old))
        }
        keepOrder = zip(before?.pools ?? [], parts).map { $1?.keepsOrder(of: $0) ?? false }
        self.parts = parts
        var places: [Generation.ListenerName: Int] = [:]
        for (index, listener) in configuration.listeners.enumerated() {
            places[Generation.ListenerName(name: listener.name, mode: listener.mode)] = index
        }
        newListener = memory.keep(
            (before?.configuration.listeners ?? []).map { listener in
                places[Generation.ListenerName(name: listener.name, mode: listener.mode)]
                    .map { UInt16($0) } ?? Session.noListener
            })
    }

    func ofWorker(_ worker: Int) -> [Epoch.Heir] {
        parts.indices.map { index in
            guard let part = parts[index] else { return .removed }
            guard let newIndex = newIndices[index] else { return .itself }
            return .replaced(
                by: part.ofWorkers[worker], newIndex: newIndex, keepsOrder: keepOrder[index])
        }
    }
}

/// Compiles listeners, with what they keep from the generation before.
private struct ListenerBuilder {
    private let oldIdentities: [Generation.ListenerName: ListenerIdentity]
    private let oldLimits: [Generation.LimitName: RateTableMemory]
    private let seed: UInt64
    var workers = 1
    var identities: [Generation.ListenerName: ListenerIdentity] = [:]
    var limits: [Generation.LimitName: RateTableMemory] = [:]
    var nextNumber: UInt32 = 0

    init(
        _ identities: [Generation.ListenerName: ListenerIdentity],
        _ limits: [Generation.LimitName: RateTableMemory], seed: UInt64
    ) {
        oldIdentities = identities
        oldLimits = limits
        self.seed = seed
    }

    mutating func snapshot(
        _ configuration: Configuration, _ pools: [PoolPart], _ memory: SnapshotMemory
    ) -> Snapshot {
        for listener in configuration.listeners { identify(listener) }
        let limits = self.limits
        var plans = RateLimitPlans(memory) { listener, route in
            UnsafePointer(limits[Self.name(listener, route)]!.table)
        }
        let indices = PoolIndices(configuration.pools)
        let listeners = configuration.listeners.map { listener in
            let name = Generation.ListenerName(name: listener.name, mode: listener.mode)
            return ListenerPlan(listener, identities[name]!, indices, &plans)
        }
        return Snapshot(
            configuration, listeners: listeners, pools: pools.map { UnsafePointer($0.plan) },
            rateLimits: plans.plans, memory)
    }

    private mutating func identify(_ listener: Listener) {
        let name = Generation.ListenerName(name: listener.name, mode: listener.mode)
        identities[name] = oldIdentities[name] ?? ListenerIdentity(number: nextNumber, workers: workers)
        if oldIdentities[name] == nil { nextNumber += 1 }
        count(listener, nil, listener.rateLimit)
        for route in listener.routes { count(listener, route, route.rateLimit) }
    }

    private mutating func count(_ listener: Listener, _ route: Route?, _ settings: RateLimitSettings?) {
        guard let settings else { return }
        let name = Self.name(listener, route)
        let meaning = RateTableMemory.Meaning(
            settings: settings, routes: settings.key == .route ? listener.routes.map(\.match) : [])
        if let old = oldLimits[name], old.meaning == meaning {
            limits[name] = old
            return
        }
        let routes = route == nil ? listener.routes.count : 0
        limits[name] = RateTableMemory(
            meaning, keys: RateLimitPlan.tableKeys(settings, routes: routes), seed: seed)
    }

    private static func name(_ listener: Listener, _ route: Route?) -> Generation.LimitName {
        Generation.LimitName(listener: listener.name, route: route?.match)
    }
}

/// The generations that somebody still knows, the one in force among them. The control thread's.
public struct Generations {
    public private(set) var current: Generation
    /// Replaced, but sessions still go by them.
    private var replaced: [Generation] = []
    /// Pools of replaced ones that are in none that is left, but whose sessions go on.
    private var pools: [PoolPart] = []

    public init(_ first: Generation) { current = first }

    /// How many are kept for the sake of sessions that began under them.
    public var keptCount: Int { replaced.count }

    /// There is something to `reclaim` some day.
    public var hasReplaced: Bool { !replaced.isEmpty || !pools.isEmpty }

    public mutating func replace(with next: Generation) {
        replaced.append(current)
        current = next
    }

    /// Frees what nobody uses any more. Call it when the current one is taken.
    public mutating func reclaim() {
        guard current.isTaken else { return }
        // A session takes its pool out of a generation that it names: generations are looked at first.
        let over = replaced.filter { !$0.isUsed }
        replaced.removeAll { generation in over.contains { $0 === generation } }
        for part in over.flatMap(\.pools) where !pools.contains(where: { $0 === part }) { pools.append(part) }
        let named = replaced + [current]
        pools.removeAll { part in
            named.contains { $0.pools.contains { $0 === part } } || !part.isUsed
        }
    }
}
