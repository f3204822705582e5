// A kernel in memory behind `KernelPort`: it reads the very submission entries that production writes, and
// everything else about it (sockets, network, clock, faults) is decided by one number. This file owns the
// clock and the turn; the files beside it are what operations do. One thread uses it.
//
//   submitAndWait: clock moves a little -> entries are read and tried -> events until a completion is there
//
// What the worker must never do (use a closed descriptor, send what was not received, give a buffer back
// twice) is noted in `failure`; whoever drives the worker looks at it after each turn.

import Base
import CLiburing
import Glibc
import Ring

/// What the kernel tells the world of peers around it.
public protocol PeerWorld: AnyObject {
    /// Something changed for the peer of a connection: it may read, write, or is reset.
    func peerIsWoken(_ connection: Int32)
    /// What becomes of a connect to a backend's port.
    func answerToConnect(_ connection: Int32, port: UInt16) -> ConnectAnswer
    /// The backend's side of a connection is there.
    func backendAccepted(_ connection: Int32)
    /// A client's connection was refused or reset before it was accepted.
    func clientWasRefused(_ connection: Int32)
    func worldTimerFired(_ value: UInt64)
    /// The worker wrote to a log.
    func logReceived(_ log: Int32, _ bytes: UnsafeRawBufferPointer)
    /// A write to a log failed after this one may have taken a part of it.
    func logLost(_ log: Int32)
    /// The worker sent bytes, or its end, where connections carry bytes.
    func workerSent(_ connection: Int32)
}

/// A backend's answer to a connect.
public enum ConnectAnswer {
    case accepts
    case refuses
    case unreachable
    /// Says nothing, ever.
    case silent
    /// A unix socket whose queue is full.
    case queueIsFull
}

public final class SimulatedKernel {
    public internal(set) var now: UInt64 = 1_000_000_000
    public var plan: FaultPlan
    public weak var world: (any PeerWorld)?
    /// The first thing that the worker did wrong.
    public private(set) var failure: String?
    public var faultCounts = [UInt64](repeating: 0, count: Fault.allCases.count)
    /// Where events are noted; nil for nowhere.
    public var traceRing: TraceRing?

    var random: RandomSource
    var events = EventHeap()
    var queues: UnsafeMutablePointer<QueuesInMemory>?
    var descriptors = DescriptorTable()
    var buffers = BufferLedger()
    let pattern = Pattern()
    var store = ByteStore()

    static let connectionLimit = 4096
    let connections: UnsafeMutablePointer<Connection>
    public internal(set) var connectionCount: Int32 = 0

    static let operationLimit = 4096
    let operations: UnsafeMutablePointer<Operation>
    var operationHigh: Int32 = 0
    var freeOperations: [Int32] = []
    var nextSerial: UInt64 = 1

    var listeners: [Listener] = []
    var pipes: [Pipe] = []
    var logs: [Log] = []
    var eventValue: UInt64 = 0
    var eventReader: Int32 = -1
    /// The completions of what a cancel ends come behind the cancel's own.
    var cancelledComeLater = false

    // What the model compares the worker's counters with.
    public internal(set) var acceptedCount: UInt64 = 0
    public internal(set) var connectCount: UInt64 = 0
    public internal(set) var connectFailureCount: UInt64 = 0
    public internal(set) var socketFailureCount: UInt64 = 0
    /// Sockets that were refused for want of descriptors.
    public internal(set) var socketsRefused: UInt64 = 0
    public internal(set) var overflowCount: UInt64 = 0
    /// When completions last waited for room in the queue: until then the worker could not know of them.
    public private(set) var overflowedAt: UInt64 = 0
    /// When a buffer was last there to be taken after there was none.
    public internal(set) var buffersBackAt: UInt64 = 0
    public private(set) var isStalled = false

    public init(seed: UInt64, plan: FaultPlan) {
        self.plan = plan
        random = RandomSource(seed: seed)
        connections = .allocate(capacity: Self.connectionLimit)
        operations = .allocate(capacity: Self.operationLimit)
    }

    deinit {
        if let queues {
            queues.deinitialize(count: 1)
            queues.deallocate()
        }
        connections.deallocate()
        operations.deallocate()
    }

    func fail(_ what: @autoclosure () -> String) {
        guard failure == nil else { return }
        failure = what()
        trace("failure", 0)
    }

    @inline(__always)
    public func trace(_ label: StaticString, _ a: Int64, _ b: Int64 = 0, _ c: Int64 = 0) {
        traceRing?.add(TraceEntry(time: now, label: label, a: a, b: b, c: c))
    }

    // MARK: The turn

    func submitAndWait(timeoutNanoseconds: UInt64) -> Int32 {
        guard let queues else { return -EBADF }
        now += 500 + draw(upTo: plan.turnNanoseconds)
        if queues.pointee.isFull { overflowedAt = now }
        queues.pointee.flushBacklog()
        holdAccepts()
        // Completions that are there before the entries are read race with the cancels among them.
        if happens(.completionBeforeSubmission) { runDueEvents() }
        if happens(.submitBusy) { return -EBUSY }
        let hadNoBuffers = buffers.inRingCount == 0
        if let wrong = buffers.noteReturns() { fail(wrong) }
        if hadNoBuffers, buffers.inRingCount > 0 { buffersBackAt = now }
        allowAccepts()
        let submitted = submitQueued()
        resumeAccepts()
        runDueEvents()
        if timeoutNanoseconds == 0 || queues.pointee.hasCompletions { return submitted }
        if happens(.waitInterrupted) { return -EINTR }
        return wait(timeoutNanoseconds)
    }

    private func wait(_ timeoutNanoseconds: UInt64) -> Int32 {
        let (sum, overflow) = now.addingReportingOverflow(timeoutNanoseconds)
        let deadline = overflow ? UInt64.max : sum
        while true {
            guard let next = events.nextTime, next <= deadline else {
                if deadline == UInt64.max {
                    isStalled = true
                    fail("the worker waits for ever: nothing will happen any more")
                    return -EDEADLK
                }
                now = max(now, deadline)
                return -ETIME
            }
            now = max(now, next)
            runDueEvents()
            if queues!.pointee.hasCompletions {
                // The thread takes a while to wake up.
                now += draw(upTo: plan.turnNanoseconds)
                runDueEvents()
                return 0
            }
        }
    }

    /// Lets everything happen that is on its way, without a worker: at the end of a world.
    public func runOut(until limit: UInt64) {
        while let next = events.nextTime, next <= limit {
            now = max(now, next)
            runDueEvents()
        }
    }

    func runDueEvents() {
        while let event = events.popDue(now) { run(event) }
    }

    private func run(_ event: Event) {
        switch event.kind {
        case .arrivesAtUs: arriveAtUs(event.index, upTo: event.value, isEnd: event.extra == 1)
        case .arrivesAtPeer: arriveAtPeer(event.index, upTo: event.value, isEnd: event.extra == 1)
        case .resetArrivesAtUs: resetArrivesAtUs(event.index)
        case .resetArrivesAtPeer: resetArrivesAtPeer(event.index)
        case .windowOpensForUs:
            connections[Int(event.index)].windowOpenedAt = now
            wakeWriters(event.index)
        case .windowOpensForPeer: world?.peerIsWoken(event.index)
        case .connectionArrives: connectionArrives(event.index)
        case .connectEnds: connectEnds(event.index, serial: event.value, errno: Int32(event.extra))
        case .completionIsPosted: post(token: event.value, result: event.index, flags: event.extra)
        case .cancelTakesEffect: cancelTakesEffect(event.index, serial: event.value)
        case .operationGoesOn:
            if operations[Int(event.index)].serial == event.value { attempt(event.index) }
        case .logGoesOn: logGoesOn(event.index)
        case .peerTimer: world?.peerIsWoken(event.index)
        case .worldTimer: world?.worldTimerFired(event.value)
        }
    }

    func schedule(
        _ kind: Event.Kind, at time: UInt64, index: Int32 = 0, value: UInt64 = 0, extra: UInt32 = 0
    ) {
        events.add(Event(time: max(time, now), value: value, index: index, extra: extra, kind: kind))
    }

    // MARK: For the world

    public func scheduleWorldTimer(at time: UInt64, value: UInt64) {
        schedule(.worldTimer, at: time, value: value)
    }

    public func schedulePeerTimer(_ connection: Int32, at time: UInt64) {
        schedule(.peerTimer, at: time, index: connection)
    }

    /// A connection in place.
    public func connection(_ index: Int32) -> UnsafePointer<Connection> {
        precondition(index >= 0 && index < connectionCount)
        return UnsafePointer(connections + Int(index))
    }

    /// The connection behind one of the worker's descriptors; nil where it is none.
    public func connection(ofDescriptor descriptor: Int32) -> Int32? {
        let entry = descriptors[descriptor]
        return entry.kind == .connection ? entry.index : nil
    }

    /// Two connections belong to one session.
    public func pair(_ client: Int32, _ backend: Int32) {
        connections[Int(client)].pair = backend
        connections[Int(backend)].pair = client
    }

    /// True where the worker may write to a connection.
    public func isWritable(_ connection: Connection) -> Bool { connection.isWritable }

    public var buffersInRing: Int { buffers.inRingCount }
    public var openDescriptors: Int { descriptors.openCount }

    /// What is open at the end, in words.
    public func describeOpenDescriptors() -> String {
        var text = ""
        descriptors.forEach { number, kind in text += " \(number):\(kind)" }
        return text
    }

    func newConnection(_ role: Connection.Role, place: Int32) -> Int32 {
        precondition(connectionCount < Self.connectionLimit, "a world has fewer connections")
        let index = connectionCount
        (connections + Int(index)).initialize(
            to: Connection(role: role, place: place, windowBytes: plan.windowBytes))
        connectionCount += 1
        if plan.carriesBytes { store.addConnection() }
        return index
    }
}
