// What workers share: counts that limits need, and commands from the control thread. Each count is on a
// cache line of its own and touched at accept and at close only.

import Base
import Limiting
import Synchronization

/// A number that all workers change.
struct SharedCount: ~Copyable {
    let value = Atomic<Int>(0)
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
}

/// Lives as long as the process; workers hold a pointer.
public struct SharedState: ~Copyable, Sendable {
    /// What the control thread can ask of all workers; each includes those before it.
    public enum Command: UInt8, AtomicRepresentable, Sendable {
        case run
        /// Accept no more; end when the last session did.
        case drain
        /// End every session now.
        case stop
    }

    let sessions = SharedCount()
    /// Multishot accepts that are in the kernel: each may hand over a whole queue at once.
    let multishotAccepts = SharedCount()
    /// Sessions of each listener, by its index in the snapshot.
    nonisolated(unsafe) let listenerSessions: UnsafeMutablePointer<SharedCount>
    private let listenerCount: Int
    /// Present only where a listener limits sessions per client.
    let clients: ClientTable?
    /// One for each rate limit of the snapshot.
    private nonisolated(unsafe) let rateTables: UnsafeMutablePointer<RateTable>
    private let rateTableCount: Int
    /// Sessions for whose backends there was no descriptor. They go before new clients.
    let waitForSocket = SharedCount()
    /// Workers that may have an accept in the kernel.
    let accepting = SharedCount()
    private let memoryIsShort = Atomic<Bool>(false)
    /// Accepting may pause thousands of times a second at a limit; all workers together report it once a second. When
    /// that may be again, and how many were not reported.
    let nextPauseReportAt = Atomic<UInt64>(0)
    let unreportedPauses = Atomic<UInt64>(0)
    private let commandValue = Atomic<Command>(.run)

    /// `seed` says how the keys of rate limits are hashed: a secret where clients are strangers.
    public init(snapshot: Snapshot, seed: UInt64) {
        listenerCount = snapshot.listenerCount
        let bytes = max(listenerCount, 1) * MemoryLayout<SharedCount>.stride
        listenerSessions = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            .bindMemory(to: SharedCount.self, capacity: listenerCount)
        for index in 0..<listenerCount { (listenerSessions + index).initialize(to: SharedCount()) }
        var limitsClients = false
        for index in 0..<listenerCount where snapshot.listener(index).pointee.sessionsPerClient > 0 {
            limitsClients = true
        }
        clients = limitsClients ? ClientTable(clients: snapshot.sessionLimit) : nil
        rateTableCount = snapshot.rateLimitCount
        rateTables = .allocate(capacity: max(rateTableCount, 1))
        for index in 0..<rateTableCount {
            let plan = snapshot.rateLimit(UInt32(index))
            (rateTables + index).initialize(
                to: RateTable(plan.pointee.limit, keys: plan.pointee.tableKeys, seed: seed))
        }
    }

    /// What a rate limit of the snapshot counts in.
    func rateTable(_ index: UInt32) -> UnsafePointer<RateTable> {
        precondition(index < rateTableCount)
        return UnsafePointer(rateTables + Int(index))
    }

    /// What the control thread asks now.
    public var command: Command { commandValue.load(ordering: .acquiring) }

    /// Asks all workers; wake them afterwards.
    public func ask(_ command: Command) { commandValue.store(command, ordering: .releasing) }

    /// While true, workers accept nobody. They look at each accept and each pause's end; nobody needs to be woken.
    public func setMemoryShort(_ isShort: Bool) { memoryIsShort.store(isShort, ordering: .relaxed) }

    var isMemoryShort: Bool { memoryIsShort.load(ordering: .relaxed) }

    /// Sessions that count towards the limits per client now.
    package var countedClientSessions: Int {
        switch clients {
        case .some(let table): table.total
        case .none: 0
        }
    }

    /// Workers that may still use their listening sockets; 0 once all have heard of a drain.
    public var acceptingWorkers: Int { accepting.value.load(ordering: .acquiring) }

    /// Client connections of one listener now, by its index in the snapshot.
    public func sessionCount(ofListener index: Int) -> Int {
        precondition(index >= 0 && index < listenerCount)
        return max(listenerSessions[index].value.load(ordering: .relaxed), 0)
    }

    /// Client connections of the whole process now.
    public var sessionCount: Int { sessions.value.load(ordering: .relaxed) }
}
