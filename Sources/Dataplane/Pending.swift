// Sessions and requests that wait because every backend that could take them is full, or their pool is. They wait in
// the order in which they came, each worker's by themselves, for at most the pool's `pending_timeout`.
//
//   no place -> (queue has room) -> wait -> a place is given back -> next candidate
//                                        -> too long -> turned away

import Balancing
import Base
import Ring
import Synchronization
import Telemetry

/// What a pool takes at once, compiled.
struct BreakerPlan: BitwiseCopyable {
    /// `Int.max` for no limit.
    let maxSessions: Int
    let maxPending: Int
    let pendingTimeoutNanoseconds: UInt64
}

/// Counts of a pool, of all workers.
struct PoolLoad: ~Copyable {
    /// Sessions that hold a place; kept only where the pool has a limit.
    let active = Atomic<Int>(0)
    /// Sessions that wait for one.
    let pending = Atomic<Int>(0)
    /// Requests that are being retried, those that pause among them.
    let retries = Atomic<Int>(0)

    /// One on a cache line of its own.
    static func make() -> UnsafeMutablePointer<PoolLoad> {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
            .bindMemory(to: PoolLoad.self, capacity: 1)
        memory.initialize(to: PoolLoad())
        return memory
    }
}

/// The waiting sessions of a worker: a queue for each pool, which begins in its `WorkerPool`, linked through memory
/// of its own.
struct PendingQueues: ~Copyable {
    private struct Links: BitwiseCopyable {
        /// Neighbours' slots plus one; 0 ends the queue.
        var next: UInt32
        var previous: UInt32
    }

    private let links: UnsafeMutablePointer<Links>
    private let slots: Int
    /// The pools in which somebody waits, one after the other by `nextWaiting`.
    private(set) var firstPool: UnsafeMutablePointer<WorkerPool>?
    private(set) var count = 0

    init(slots: Int) {
        self.slots = slots
        links = PagedMemory.reserve(Links.self, count: slots)
    }

    deinit { PagedMemory.release(links, byteCount: slots * MemoryLayout<Links>.stride) }

    /// Who has waited longest.
    func first(_ pool: UnsafeMutablePointer<WorkerPool>) -> UInt32? {
        let first = mutant(.pendingOutOfOrder) ? pool.pointee.lastPending : pool.pointee.firstPending
        return first == 0 ? nil : first - 1
    }

    /// Who stands behind, in the same queue.
    func following(_ slot: UInt32) -> UInt32? {
        let next = links[Int(slot)].next
        return next == 0 ? nil : next - 1
    }

    func isEmpty(_ pool: UnsafeMutablePointer<WorkerPool>) -> Bool { pool.pointee.firstPending == 0 }

    /// It must not be in a queue.
    mutating func append(_ slot: UInt32, _ pool: UnsafeMutablePointer<WorkerPool>) {
        links[Int(slot)] = Links(next: 0, previous: pool.pointee.lastPending)
        if pool.pointee.lastPending == 0 {
            pool.pointee.firstPending = slot + 1
            pool.pointee.nextWaiting = firstPool
            firstPool = pool
        } else {
            links[Int(pool.pointee.lastPending - 1)].next = slot + 1
        }
        pool.pointee.lastPending = slot + 1
        count += 1
    }

    /// It must be in the pool's queue.
    mutating func remove(_ slot: UInt32, _ pool: UnsafeMutablePointer<WorkerPool>) {
        let entry = links[Int(slot)]
        if entry.previous == 0 {
            pool.pointee.firstPending = entry.next
        } else {
            links[Int(entry.previous - 1)].next = entry.next
        }
        if entry.next == 0 {
            pool.pointee.lastPending = entry.previous
        } else {
            links[Int(entry.next - 1)].previous = entry.previous
        }
        count -= 1
        if pool.pointee.firstPending == 0 { unlink(pool) }
    }

    private mutating func unlink(_ pool: UnsafeMutablePointer<WorkerPool>) {
        guard firstPool != pool else {
            firstPool = pool.pointee.nextWaiting
            return
        }
        var before = firstPool
        while let other = before, other.pointee.nextWaiting != pool { before = other.pointee.nextWaiting }
        before?.pointee.nextWaiting = pool.pointee.nextWaiting
    }
}

extension Worker {
    /// A place may also be given back by another worker, or a backend come back: waiting sessions look this often.
    private static var pendingLookNanoseconds: UInt64 { 10_000_000 }

    /// Each look tries those again that refused: who was refused so often while the others were full waits no more.
    private static var mostAttempts: UInt16 { 16 }

    // MARK: The pool's places

    /// Takes a place in the pool; false where it has no more.
    func takePoolPlace(_ session: UnsafeMutablePointer<Session>) -> Bool {
        let pool = session.pointee.pool.pointee.plan
        guard pool.pointee.breaker.maxSessions != Int.max, !session.pointee.holdsPoolPlace else {
            return true
        }
        let before = pool.pointee.load.pointee.active.wrappingAdd(1, ordering: .relaxed).oldValue
        guard before < pool.pointee.breaker.maxSessions else {
            pool.pointee.load.pointee.active.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        session.pointee.holdsPoolPlace = true
        return true
    }

    func releasePoolPlace(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.holdsPoolPlace else { return }
        session.pointee.holdsPoolPlace = false
        if mutant(.poolPlaceKept) { return }
        session.pointee.pool.pointee.plan.pointee.load.pointee.active
            .wrappingSubtract(1, ordering: .relaxed)
    }

    // MARK: Waiting

    /// Others have waited longer for this pool.
    func isBehindOthers(_ session: UnsafeMutablePointer<Session>) -> Bool {
        !pending.isEmpty(session.pointee.pool) && !session.pointee.isPending
    }

    /// There is no place for the session: it waits for one. False where it may not; then it is turned away. One that
    /// waits already stays where it is.
    mutating func wait(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Bool {
        if session.pointee.isPending { return true }
        let pool = session.pointee.pool.pointee.plan
        if session.pointee.pendingSince == 0 { session.pointee.pendingSince = now }
        let deadline = session.pointee.pendingSince &+ pool.pointee.breaker.pendingTimeoutNanoseconds
        guard pool.pointee.breaker.maxPending > 0, command == .run, now < deadline,
            session.pointee.attempts < Self.mostAttempts
        else { return false }
        let before = pool.pointee.load.pointee.pending.wrappingAdd(1, ordering: .relaxed).oldValue
        guard before < pool.pointee.breaker.maxPending else {
            pool.pointee.load.pointee.pending.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        pending.append(slot, session.pointee.pool)
        session.pointee.isPending = true
        session.pointee.state = .connecting
        timers.set(slot, deadline: mutant(.pendingForEver) ? .max : deadline)
        // In http mode a receive tells when the client is gone.
        if !session.pointee.isHTTP { watchSource(slot, session, .toBackend) }
        lookAtPendingSoon()
        counters.pointee.add(.pended)
        return true
    }

    /// It has its place, or waits no longer.
    mutating func endWait(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.isPending else { return }
        session.pointee.isPending = false
        session.pointee.waitedMicroseconds = UInt32(clamping: (now &- session.pointee.pendingSince) / 1000)
        pending.remove(slot, session.pointee.pool)
        session.pointee.pool.pointee.plan.pointee.load.pointee.pending
            .wrappingSubtract(1, ordering: .relaxed)
    }

    /// Once a turn: whoever waits at the head of a queue tries again, and those behind while it works. Each at most
    /// once: who finds no socket for the one backend that has a place waits again, behind the others.
    mutating func servePending() {
        guard pending.count > 0, !mutant(.pendingNotWoken) else { return }
        var next = pending.firstPool
        while let pool = next {
            next = pool.pointee.nextWaiting
            var left = pending.count
            while left > 0, let slot = pending.first(pool) {
                left -= 1
                sessions[slot].pointee.sequence = CandidateSequence()
                connectNext(slot, sessions[slot])
                if pending.first(pool) == slot { break }
            }
        }
        if pending.count > 0 { lookAtPendingSoon() }
    }

    private mutating func lookAtPendingSoon() {
        timers.setNoLater(pendingTimer, deadline: now &+ Self.pendingLookNanoseconds)
    }
}
