// What one worker has for one version of a pool: where its policy is, connections that wait for a request, sessions
// that wait for a place. The control thread makes it and frees it again when a reload has replaced it and its
// worker has let go of it; in between only the worker touches it.

import Balancing
import Synchronization

public struct WorkerPool: ~Copyable {
    /// "None" in `newIndex`.
    static let noBackend = UInt16.max

    let plan: UnsafePointer<PoolPlan>
    var policy: PolicyState
    /// The newest idle connection to each backend.
    let idleHeads: UnsafeMutablePointer<UInt32>
    /// The connection to each backend that gathers requests, or did so last (Batch.swift).
    let gatherers: UnsafeMutablePointer<UInt32>
    /// Until then each request has a connection of its own.
    var sharesFrom: UInt64 = 0
    var idleCount = 0
    /// Above 0 where the next response is expected to be long.
    var bulkHint: UInt8 = 0
    /// How long answers take to begin, where requests are hedged.
    var latencies = LatencyQuantile()
    /// Who waits for a place: slots plus one, 0 for none.
    var firstPending: UInt32 = 0
    var lastPending: UInt32 = 0
    /// The next pool in which somebody waits.
    var nextWaiting: UnsafeMutablePointer<WorkerPool>?
    /// A reload has replaced or removed it.
    var isRetired = false
    /// What has replaced it, with the places of its backends in that; nil where it was removed.
    var successor: UnsafeMutablePointer<WorkerPool>?
    /// While the worker goes over.
    var newIndex: UnsafePointer<UInt16>?
    /// The successor has the same backends in the same order.
    var keepsOrder = false
    /// Once it is retired: when sessions of backends end that are not in the successor.
    var endsAt = UInt64.max
    /// Sessions and idle connections that name it. The worker alone writes it, the control thread waits for 0.
    private let userCount = Atomic<Int>(0)

    init(_ plan: UnsafePointer<PoolPlan>, seed: UInt64) {
        self.plan = plan
        policy = PolicyState(plan.pointee.balance, seed: seed)
        let backends = plan.pointee.candidates.count
        idleHeads = .allocate(capacity: max(backends, 1))
        idleHeads.initialize(repeating: BackendConnection.none, count: max(backends, 1))
        gatherers = .allocate(capacity: max(backends, 1))
        gatherers.initialize(repeating: BackendConnection.none, count: max(backends, 1))
    }

    deinit {
        idleHeads.deallocate()
        gatherers.deallocate()
    }

    var users: Int { userCount.load(ordering: .acquiring) }

    @inline(__always)
    func addUser() { userCount.store(userCount.load(ordering: .relaxed) + 1, ordering: .relaxed) }

    @inline(__always)
    func removeUser() { userCount.store(userCount.load(ordering: .relaxed) - 1, ordering: .releasing) }

    /// Where a backend is in what has replaced the pool; nil where it is in none.
    func successorIndex(_ backend: UInt16) -> UInt16? {
        guard let newIndex else { return nil }
        let index = newIndex[Int(backend)]
        return index == Self.noBackend ? nil : index
    }
}

/// One configuration as one worker sees it. Made and freed like `WorkerPool`.
public struct Epoch: ~Copyable {
    /// What becomes of a pool of the epoch before.
    enum Heir {
        case itself
        case replaced(
            by: UnsafeMutablePointer<WorkerPool>, newIndex: UnsafePointer<UInt16>, keepsOrder: Bool)
        case removed
    }

    let snapshot: Snapshot
    /// In the snapshot's order.
    let pools: UnsafePointer<UnsafeMutablePointer<WorkerPool>>
    /// For each pool of the epoch before.
    let heirs: UnsafePointer<Heir>
    let heirCount: Int
    /// For each listener of the epoch before, its place in this one; `Session.noListener` where it is gone.
    let newListener: UnsafePointer<UInt16>
    /// All that the worker is to accept on.
    let sockets: UnsafePointer<ListeningSocket>
    let socketCount: Int
    /// Sessions whose listener, or route, is of this snapshot.
    private let userCount = Atomic<Int>(0)
    /// Sockets that are closed by the control thread and that the worker may still have in its ring.
    let socketsInUse = Atomic<Int>(0)
    private let isCurrent = Atomic<Bool>(false)

    init(
        _ snapshot: Snapshot, pools: UnsafePointer<UnsafeMutablePointer<WorkerPool>>,
        heirs: UnsafePointer<Heir>, heirCount: Int, newListener: UnsafePointer<UInt16>,
        sockets: UnsafePointer<ListeningSocket>, socketCount: Int
    ) {
        self.snapshot = snapshot
        self.pools = pools
        self.heirs = heirs
        self.heirCount = heirCount
        self.newListener = newListener
        self.sockets = sockets
        self.socketCount = socketCount
    }

    /// The worker has switched to it.
    var isTaken: Bool { isCurrent.load(ordering: .acquiring) }

    func noteTaken() { isCurrent.store(true, ordering: .releasing) }

    var users: Int { userCount.load(ordering: .acquiring) }

    @inline(__always)
    func addUser() { userCount.store(userCount.load(ordering: .relaxed) + 1, ordering: .relaxed) }

    @inline(__always)
    func removeUser() { userCount.store(userCount.load(ordering: .relaxed) - 1, ordering: .releasing) }
}

extension Worker {
    /// The session, or its request, is for this pool.
    @inline(__always)
    func setPool(_ session: UnsafeMutablePointer<Session>, _ pool: UnsafeMutablePointer<WorkerPool>) {
        pool.pointee.addUser()
        session.pointee.pool.pointee.removeUser()
        session.pointee.pool = pool
    }

    /// What the session's listener says, in the version that holds for the session.
    @inline(__always)
    func listenerPlan(_ session: UnsafeMutablePointer<Session>) -> UnsafePointer<ListenerPlan> {
        session.pointee.epoch.pointee.snapshot.listener(Int(session.pointee.listener))
    }
}
