// What workers share: counts that limits need, and commands from the control thread. Each count is on a
// cache line of its own and touched at accept and at close only.

import Base
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
    /// Of listeners that limit sessions per client.
    let clients: ClientTable
    /// The configuration of each worker, by its index; the address of the first one.
    private let epochs = Atomic<UInt>(0)
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
    private let queueLookCount = Atomic<Int>(0)

    /// `sessionLimit` is that of the process.
    public init(sessionLimit: Int) { clients = ClientTable(clients: sessionLimit) }

    /// What holds for a worker, or is about to; nil before anything was published.
    func epoch(ofWorker index: Int) -> UnsafeMutablePointer<Epoch>? {
        UnsafePointer<UnsafeMutablePointer<Epoch>>(bitPattern: epochs.load(ordering: .acquiring))?[index]
    }

    /// Hands each worker its next configuration; wake them afterwards. The memory stays until another was published
    /// and taken.
    func publish(_ ofWorkers: UnsafePointer<UnsafeMutablePointer<Epoch>>) {
        epochs.store(UInt(bitPattern: ofWorkers), ordering: .releasing)
    }

    /// What the control thread asks now.
    public var command: Command { commandValue.load(ordering: .acquiring) }

    /// Asks all workers; wake them afterwards.
    public func ask(_ command: Command) { commandValue.store(command, ordering: .releasing) }

    /// Has all workers look for clients in the sockets' queues; wake them afterwards. Needed once another process that
    /// accepted there does so no more: the kernel may have woken that one alone.
    public func lookAtQueues() { queueLookCount.wrappingAdd(1, ordering: .releasing) }

    /// How often that was asked for.
    var queueLooks: Int { queueLookCount.load(ordering: .acquiring) }

    /// While true, workers accept nobody. They look at each accept and each pause's end; nobody needs to be woken.
    public func setMemoryShort(_ isShort: Bool) { memoryIsShort.store(isShort, ordering: .relaxed) }

    var isMemoryShort: Bool { memoryIsShort.load(ordering: .relaxed) }

    /// Sessions that count towards the limits per client now.
    package var countedClientSessions: Int { clients.total }

    /// Workers that may still use their listening sockets; 0 once all have heard of a drain.
    public var acceptingWorkers: Int { accepting.value.load(ordering: .acquiring) }

    /// Client connections of the whole process now.
    public var sessionCount: Int { sessions.value.load(ordering: .relaxed) }
}
