// One version of a pool: compiled, with what each worker has for it. Snapshots share it as long as the file says the
// same of the pool, so that nothing of an unchanged pool is touched by a reload. A changed pool begins with what the
// version before has learned of backends of the same name and address.

import Balancing
import Base
import Configuration
import Glibc
import Health
import Limiting
import Routing

/// Of one pool through all its versions: what its sessions count in.
final class PoolCounters {
    let load = PoolLoad.make()

    deinit {
        load.deinitialize(count: 1)
        load.deallocate()
    }
}

/// The table of an affinity by address, shared by versions of a pool that have the same backends.
final class ClientMemory {
    let table: StickyTable
    let settings: AffinitySettings

    init(_ table: StickyTable, _ settings: AffinitySettings) {
        self.table = table
        self.settings = settings
    }

    deinit { table.deallocate() }
}

final class PoolPart {
    /// Without positions.
    let settings: Pool
    /// Of `settings.backendsBackupsLast`.
    let addresses: [SocketAddress]
    let plan: UnsafeMutablePointer<PoolPlan>
    /// One for each worker.
    let ofWorkers: [UnsafeMutablePointer<WorkerPool>]
    private let counters: PoolCounters
    /// Of each backend.
    private let counted: [TallyMemory]
    private let clients: ClientMemory?
    private let memory = SnapshotMemory()

    init(
        _ settings: Pool, _ addresses: [SocketAddress], before: PoolPart?, workers: Int,
        _ random: inout RandomSource
    ) {
        self.settings = settings
        self.addresses = addresses
        let backends = settings.backendsBackupsLast
        counters = before?.counters ?? PoolCounters()
        let newIndex = before.map { Self.newIndex(from: $0, backends, addresses) }
        clients = Self.clients(settings, before?.clients, newIndex)
        var counted = backends.map { _ in TallyMemory?.none }
        for (old, new) in (newIndex ?? []).enumerated() where new != WorkerPool.noBackend {
            counted[Int(new)] = before?.counted[old]
        }
        self.counted = counted.map { $0 ?? .backend(workers: workers) }
        let made = Self.plan(settings, addresses, counters, self.counted, clients, memory)
        if let before, let newIndex {
            for (old, new) in newIndex.enumerated() where new != WorkerPool.noBackend {
                made.candidates.inherit(Int(new), from: before.plan.pointee.candidates, old)
                made.health.inherit(Int(new), from: before.plan.pointee.health, old)
            }
        }
        for (index, backend) in backends.enumerated() {
            if let state = backend.state.asHealthHasIt { made.health.order(index, state) }
        }
        let plan = UnsafeMutablePointer<PoolPlan>.allocate(capacity: 1)
        plan.initialize(to: made)
        self.plan = plan
        ofWorkers = (0..<workers).map { _ in
            let pool = UnsafeMutablePointer<WorkerPool>.allocate(capacity: 1)
            pool.initialize(to: WorkerPool(plan, seed: random.next()))
            return pool
        }
    }

    deinit {
        for pool in ofWorkers {
            pool.deinitialize(count: 1)
            pool.deallocate()
        }
        plan.deinitialize(count: 1)
        plan.deallocate()
    }

    /// A worker still has sessions or connections that name it.
    var isUsed: Bool { ofWorkers.contains { $0.pointee.users > 0 } }

    /// True where the file says the same, and names lead to the same addresses.
    func isSame(_ settings: Pool, _ addresses: [SocketAddress]) -> Bool {
        self.settings == settings && self.addresses.count == addresses.count
            && zip(self.addresses, addresses).allSatisfy { $0.isSame($1) }
    }

    /// For each backend of `before`, where it is now: the same name at the same address.
    func newIndex(from before: PoolPart) -> [UInt16] {
        Self.newIndex(from: before, settings.backendsBackupsLast, addresses)
    }

    /// The same backends at the same places, and the same of them are backups.
    func keepsOrder(of before: PoolPart) -> Bool {
        let (old, new) = (before.settings.backendsBackupsLast, settings.backendsBackupsLast)
        return old.map(\.isBackup) == new.map(\.isBackup)
            && newIndex(from: before).enumerated().allSatisfy { Int($1) == $0 }
    }

    private static func newIndex(
        from before: PoolPart, _ backends: [Backend], _ addresses: [SocketAddress]
    ) -> [UInt16] {
        var places: [String: Int] = [:]
        for (index, backend) in backends.enumerated() { places[backend.name] = index }
        return before.settings.backendsBackupsLast.enumerated().map { index, backend in
            guard let place = places[backend.name], before.addresses[index].isSame(addresses[place]) else {
                return WorkerPool.noBackend
            }
            return UInt16(place)
        }
    }

    private static func clients(
        _ settings: Pool, _ before: ClientMemory?, _ newIndex: [UInt16]?
    ) -> ClientMemory? {
        guard let affinity = settings.affinity, affinity.cookie == nil else { return nil }
        guard let before, let newIndex, before.settings == affinity else {
            let time = affinity.timeToLiveNanoseconds ?? AffinitySettings.defaultTimeToLiveNanoseconds
            return ClientMemory(
                StickyTable(clients: affinity.clients, timeToLiveNanoseconds: time), affinity)
        }
        if newIndex.enumerated().allSatisfy({ Int($1) == $0 }) { return before }
        let table = before.table.renumbered { old in
            guard old < newIndex.count, newIndex[old] != WorkerPool.noBackend else { return nil }
            return Int(newIndex[old])
        }
        return ClientMemory(table, affinity)
    }

    private static func plan(
        _ pool: Pool, _ addresses: [SocketAddress], _ counters: PoolCounters, _ counted: [TallyMemory],
        _ clients: ClientMemory?, _ memory: SnapshotMemory
    ) -> PoolPlan {
        let backends = pool.backendsBackupsLast
        let plans = backends.indices.map { index in
            let address = addresses[index]
            return BackendPlan(
                name: memory.keep(backends[index].name), address: address,
                addressText: memory.keep(backends[index].address.description),
                isTCP: address.family != AF_UNIX, tally: counted[index].tally)
        }
        let balance = PolicyPlan(pool, backends)
        let health = PoolHealth(HealthRules(pool), balance.candidates)
        memory.atEnd {
            health.deallocate()
            balance.deallocate()
        }
        let hash = pool.hash.map { HashKeyPlan($0) }
        memory.atEnd { hash?.deallocate() }
        return PoolPlan(
            name: memory.keep(pool.name), balance: balance, health: health,
            backends: memory.keep(plans), hash: hash,
            affinity: AffinityPlan(pool, backends, clients?.table, memory), keyNames: KeyNames(pool, memory),
            idleConnections: pool.keepAlive.idle,
            idleConnectionTimeoutNanoseconds: pool.keepAlive.idleTimeoutNanoseconds,
            requestsPerConnection: pool.keepAlive.maxRequests == 0 ? Int.max : pool.keepAlive.maxRequests,
            batch: pool.keepAlive.batch,
            breaker: BreakerPlan(
                maxSessions: pool.breaker.maxSessions ?? Int.max, maxPending: pool.breaker.maxPending,
                pendingTimeoutNanoseconds: pool.breaker.pendingTimeoutNanoseconds),
            endAfterRemovalNanoseconds: pool.endAfterRemovalNanoseconds, load: UnsafePointer(counters.load))
    }
}

extension OperatedState {
    /// nil where health decides.
    fileprivate var asHealthHasIt: BackendState? {
        switch self {
        case .enabled: nil
        case .draining: .draining
        case .disabled: .disabled
        }
    }
}

extension SocketAddress {
    func isSame(_ other: SocketAddress) -> Bool {
        guard length == other.length else { return false }
        var (one, two) = (storage, other.storage)
        return memcmp(&one, &two, Int(length)) == 0
    }
}

extension Pool {
    fileprivate var endAfterRemovalNanoseconds: UInt64 {
        switch onRemove {
        case .drain: drainNanoseconds
        case .keep: UInt64.max
        case .close: 0
        }
    }

    /// As equal as two pools can be that stand at different places of a file.
    var withoutPositions: Pool {
        var pool = self
        pool.position = SourcePosition(line: 0, column: 0)
        for index in pool.backends.indices { pool.backends[index].position = pool.position }
        return pool
    }
}
