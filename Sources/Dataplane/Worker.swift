// One thread, one ring, one slab of sessions. The loop: submit and wait in one call, dispatch each
// completion by its token, give the batch back, fire timers, re-arm who waited for buffers, write logs.
// The files beside this one follow a session from accept to close, as extensions of the worker.

import Balancing
import Base
import Configuration
import Glibc
import Ring
import Synchronization
import Telemetry

/// What a worker is started with.
public struct WorkerSettings {
    /// 0 for the first one.
    public var index: Int
    public var port: KernelPort
    /// Mixed into identifiers, balancing and sampling.
    public var seed: UInt64
    /// Slots for sessions; also bounds how far a burst of accepts may overshoot a limit.
    public var slots: Int
    public var buffers: Int
    public var bufferSizeBytes: Int
    /// An eventfd that the control thread writes to after `SharedState.ask`.
    public var wakeDescriptor: Int32
    public var listeners: [ListeningSocket]
    public var accessLog: LogSink
    public var eventLog: LogSink
    public var logMemory: WorkerLogMemory
    /// Where sessions are listed for who asks; nil where nobody may.
    public var sessionList: SessionList?
    /// No other worker shares the counts.
    public var isAlone = false
    /// How many connections may wait in the queue of a listening socket (listen(2)).
    public var backlog = Worker.backlog
    /// A client whose descriptor has this number or a higher one is the last for a while.
    public var descriptorWatermark = Int32.max
    /// The most pipes for splicing that are open at once: two descriptors each.
    public var pipes = Worker.mostPipes
    /// A pool's answers from which a worker knows what is usual; at most as many as by default.
    public var answersBeforeHedges = LatencyQuantile.enough

    public init(
        index: Int, port: KernelPort, seed: UInt64, slots: Int, buffers: Int, bufferSizeBytes: Int,
        wakeDescriptor: Int32, listeners: [ListeningSocket], accessLog: LogSink, eventLog: LogSink,
        logMemory: WorkerLogMemory
    ) {
        self.index = index
        self.port = port
        self.seed = seed
        self.slots = slots
        self.buffers = buffers
        self.bufferSizeBytes = bufferSizeBytes
        self.wakeDescriptor = wakeDescriptor
        self.listeners = listeners
        self.accessLog = accessLog
        self.eventLog = eventLog
        self.logMemory = logMemory
    }
}

/// A bound and listening socket that a worker accepts on.
public struct ListeningSocket: Sendable {
    public var descriptor: Int32
    /// Index of the listener in the snapshot that holds.
    public var listener: Int
    /// Another worker accepts on the same descriptor, or somebody else owns it: it is not closed here.
    public var isShared: Bool
    /// What clients connect to; 0 for a unix socket.
    public var port: UInt16

    public init(descriptor: Int32, listener: Int, isShared: Bool, port: UInt16 = 0) {
        self.port = port
        self.descriptor = descriptor
        self.listener = listener
        self.isShared = isShared
    }
}

/// Where the kernel writes what woke the worker. A read into it is in the kernel as long as the ring lives, so
/// that it is a member behind the ring and not freed before it.
struct WakeBuffer: ~Copyable {
    let value = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    deinit { value.deallocate() }
}

public struct Worker: ~Copyable {
    /// Never read. An atomic gives the worker an address that counts, so that methods which do not change it borrow
    /// it in place; without one the compiler copies its 1.4 KB for each such call, eight times a request.
    private let inPlace = Atomic<Bool>(false)
    // The ring goes first: the kernel writes into the others' memory until it is gone.
    let ring: Ring
    var buffers: BufferRing
    var sessions: Slab<Session>
    /// Sessions by slot, then acceptors, then the worker's own chores.
    var timers: TimerWheel
    var starved: StarvedList
    var pending: PendingQueues
    var pipes: PipePool
    // For http mode.
    var connections: Slab<BackendConnection>
    var idleConnections: IdleConnections
    var exchanges: Slab<Exchange>
    var gathering = Gathering()
    let http: HTTPMemory
    var accessLog: WorkerLog
    var eventLog: WorkerLog

    /// The configuration that holds now.
    var epoch: UnsafeMutablePointer<Epoch>
    let shared: UnsafePointer<SharedState>
    /// Read by the control thread.
    let counters: UnsafePointer<CounterTable>
    let settings: WorkerSettings
    let acceptors: UnsafeMutablePointer<Acceptor>
    /// Those from here on were never used.
    var acceptorCount: Int
    let wakeBuffer: WakeBuffer
    let peerAddress: UnsafeMutablePointer<sockaddr_storage>

    var random: RandomSource
    var nextIdentifier: UInt64
    /// What the control thread asked last.
    var command = SharedState.Command.run
    /// How often it was asked to look for clients in the sockets' queues, when it last did.
    var queueLooks = 0
    /// The worker's clock, read once a turn.
    var now: UInt64
    /// Added to `now`, gives the time of day; refreshed once a second.
    var wallClockOffset: UInt64
    var wallClockReadAt: UInt64
    var lastDropReportAt: UInt64 = 0
    /// The errno that ends this worker; 0 for none.
    private var failure: Int32 = 0

    /// A direction with this many buffers unsent stops reading; it resumes at `queueResumes`. While buffers are
    /// short, one is enough.
    var queueLimit: UInt16 { buffers.isShort ? 1 : 4 }
    var queueResumes: UInt16 { buffers.isShort ? 0 : 1 }
    static let bufferGroup: UInt16 = 0
    static let submissionEntries: UInt32 = 1024
    static let completionEntries: UInt32 = 8192

    /// Sets up the ring: call it on the thread that will `run`. `counters` and `shared` must outlive the
    /// worker, and `epoch` as long as it says. Errors say which kernel facility is missing.
    public init(
        _ settings: WorkerSettings, epoch: UnsafeMutablePointer<Epoch>, shared: UnsafePointer<SharedState>,
        counters: UnsafePointer<CounterTable>
    ) throws(RingSetUpError) {
        let port = settings.port
        let now = port.monotonicNow(port.context)
        let ring = try Ring(
            port: port, submissionEntries: Self.submissionEntries, completionEntries: Self.completionEntries)
        buffers = try BufferRing(
            ring: ring, group: Self.bufferGroup, limit: settings.buffers,
            bufferSizeBytes: settings.bufferSizeBytes)
        self.ring = ring
        sessions = Slab(capacity: settings.slots)
        // A reload may add listeners of http mode; what is not used costs address space only.
        let connectionSlots = settings.slots + max(epoch.pointee.snapshot.idleConnectionLimit, 4096)
        connections = Slab(capacity: connectionSlots)
        idleConnections = IdleConnections()
        exchanges = Slab(capacity: settings.slots)
        http = HTTPMemory(epoch.pointee.snapshot, exchanges: settings.slots)
        let acceptorLimit = Self.acceptorLimit(settings.listeners.count)
        timers = TimerWheel(capacity: settings.slots + acceptorLimit + 5 + connectionSlots, now: now)
        starved = StarvedList(slots: settings.slots)
        pending = PendingQueues(slots: settings.slots)
        pipes = PipePool(port: port, limit: settings.pipes)
        accessLog = WorkerLog(settings.accessLog, settings.logMemory.access, index: 0)
        eventLog = WorkerLog(settings.eventLog, settings.logMemory.events, index: 1)
        self.epoch = epoch
        self.shared = shared
        self.counters = counters
        self.settings = settings
        acceptorCount = settings.listeners.count
        acceptors = .allocate(capacity: acceptorLimit)
        for (index, socket) in settings.listeners.enumerated() {
            (acceptors + index).initialize(to: Acceptor(socket))
        }
        random = RandomSource(seed: settings.seed &+ UInt64(settings.index))
        wakeBuffer = WakeBuffer()
        peerAddress = .allocate(capacity: 1)
        peerAddress.initialize(to: sockaddr_storage())
        nextIdentifier = random.next()
        self.now = now
        wallClockOffset = Self.wallClockOffset(port)
        wallClockReadAt = now
        shared.pointee.accepting.value.wrappingAdd(1, ordering: .relaxed)
    }

    deinit {
        acceptors.deallocate()
        peerAddress.deallocate()
    }

    /// The first turn: when it returns, clients are accepted. Answers 0, or the errno that made the ring unusable.
    public mutating func begin() -> Int32 {
        arm()
        return turn(timeoutNanoseconds: 0)
    }

    /// Arms what is armed all the time.
    package mutating func arm() {
        armWake()
        for index in 0..<acceptorCount { armAccept(index) }
    }

    /// Serves, once it has begun, until the control thread asked to stop, or to drain and the last session ended, and
    /// the logs are written. Answers 0, or the errno that made the ring unusable.
    public mutating func run() -> Int32 {
        while true {
            let failure = turn()
            if failure != 0 { return failure }
            if isDone { break }
        }
        end()
        return 0
    }

    /// One turn of the loop. Answers 0, or the errno that made the ring, or the way to hear commands, unusable.
    package mutating func turn() -> Int32 { turn(timeoutNanoseconds: timeUntilNextDeadline()) }

    private mutating func turn(timeoutNanoseconds: UInt64) -> Int32 {
        let result = ring.submitAndWait(timeoutNanoseconds: timeoutNanoseconds)
        if result < 0 { return -result }
        now = settings.port.monotonicNow(settings.port.context)
        let (first, count) = ring.pending()
        for offset in 0..<count { dispatch(ring.completion(at: first &+ offset)) }
        ring.consume(count)
        fireTimers()
        // After the timers: sessions that time out give buffers back, and nothing else may wake this loop.
        buffers.growIfNeeded()
        buffers.publish()
        resumeStarved()
        servePending()
        if gathering.count > 0 { sendGathered() }
        writeLogs()
        counters.pointee.add(.turns)
        counters.pointee.add(.completions, UInt64(count))
        return failure
    }

    /// Hands over what the last turn queued: the closes of the last session and of the listeners. The
    /// process may live on for other workers, and nobody else would close them.
    package mutating func end() {
        accessLog.abandon(counting: counters)
        eventLog.abandon(counting: counters)
        for _ in 0..<1000 where ring.hasUnsubmitted { _ = ring.submitAndWait(timeoutNanoseconds: 0) }
    }

    package var isDone: Bool {
        guard command != .run, sessions.count == 0, connections.count == 0 else { return false }
        return !hasAcceptInKernel && accessLog.isIdle && eventLog.isIdle
    }

    // MARK: Dispatch

    private mutating func dispatch(_ completion: Completion) {
        if completion.token.operation & Operation.ofConnection != 0 {
            dispatchToConnection(completion)
            return
        }
        guard let operation = Operation(rawValue: completion.token.operation) else {
            counters.pointee.add(.staleCompletions)
            return
        }
        switch operation {
        case .accept: accepted(completion)
        case .cancelAccept: acceptCancelled(completion)
        case .wake: woken(completion.result)
        case .writeLog: logWritten(completion)
        case .pollLog: logReady(completion)
        // A close that fails names a descriptor that is not ours: a defect, but not one to die of.
        case .close: counters.pointee.add(.staleCompletions)
        default: dispatch(completion, operation, slot: completion.token.slot)
        }
    }

    private mutating func dispatch(_ completion: Completion, _ operation: Operation, slot: UInt32) {
        guard sessions.isLive(slot),
            completion.token.matches(generation: sessions.generation(slot)) || mutant(.staleGeneration)
        else {
            counters.pointee.add(.staleCompletions)
            if let buffer = completion.buffer { discard(buffer) }
            return
        }
        dispatch(completion, operation, slot, sessions[slot])
    }

    /// Of a connection that outlives requests: its session's, while it has one.
    private mutating func dispatchToConnection(_ completion: Completion) {
        let number = completion.token.slot
        guard let operation = Operation(rawValue: completion.token.operation & ~Operation.ofConnection),
            connections.isLive(number),
            completion.token.matches(generation: connections.generation(number))
        else {
            counters.pointee.add(.staleCompletions)
            if let buffer = completion.buffer { discard(buffer) }
            return
        }
        let connection = connections[number]
        if connection.pointee.state == .hedging, operation == .receiveFromBackend, completion.result > 0 {
            hedgeAnswers(number)
        }
        if connection.pointee.state == .attached {
            let slot = connection.pointee.session
            dispatch(completion, operation, slot, sessions[slot])
        } else {
            connectionCompleted(number, operation, completion)
        }
    }

    @inline(__always)
    private mutating func dispatch(
        _ completion: Completion, _ operation: Operation, _ slot: UInt32,
        _ session: UnsafeMutablePointer<Session>
    ) {
        precondition(session.isInKernel(operation), "a completion belongs to a submission")
        if !completion.hasMore { session.pointee.inKernel.remove(InKernel(operation)) }
        if session.pointee.state == .closing {
            if let buffer = completion.buffer { discard(buffer) }
            closingProgressed(slot, session, operation, completion.result)
            return
        }
        switch operation {
        case .receiveFromBackend: received(slot, session, .toClient, completion)
        case .receiveFromClient: received(slot, session, .toBackend, completion)
        case .sendToClient: sent(slot, session, .toClient, completion.result)
        case .sendToBackend: sent(slot, session, .toBackend, completion.result)
        case .connect: connected(slot, session, completion.result)
        case .cancelConnect: connectCancelled(slot, session)
        case .pollClientReadable: readied(slot, session, .toBackend)
        case .pollBackendReadable: readied(slot, session, .toClient)
        case .pollBackendWritable: roomPolled(slot, session, .toBackend, completion)
        case .pollClientWritable: roomPolled(slot, session, .toClient, completion)
        case .watchClient: watched(slot, session, .toBackend, completion)
        case .watchBackend: watched(slot, session, .toClient, completion)
        case .cancelReceiveFromClient: receiveCancelled(slot, session, .toBackend)
        case .cancelReceiveFromBackend: receiveCancelled(slot, session, .toClient)
        default: break
        }
    }

    /// Marks an operation of a session as in the kernel and names it.
    @inline(__always)
    func submitting(_ operation: Operation, _ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Token
    {
        precondition(!session.isInKernel(operation), "one of each operation at a time")
        session.pointee.inKernel.insert(InKernel(operation))
        return token(operation, slot, session)
    }

    /// Names an operation of a session; what concerns a connection that outlives requests is named after that.
    @inline(__always)
    func token(_ operation: Operation, _ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Token {
        let connection = session.pointee.connection
        if connection != BackendConnection.none, InKernel.ofBackend.contains(InKernel(operation)) {
            return Token(
                operation: operation.rawValue | Operation.ofConnection,
                generation: connections.generation(connection), slot: connection)
        }
        return Token(operation: operation.rawValue, generation: sessions.generation(slot), slot: slot)
    }

    @inline(__always)
    func workerToken(_ operation: Operation, slot: Int = 0) -> Token {
        Token(operation: operation.rawValue, generation: 0, slot: UInt32(slot))
    }

    /// A buffer that came for nobody.
    mutating func discard(_ buffer: UInt16) {
        buffers.take(buffer, length: 0)
        buffers.giveBack(buffer)
    }

    // MARK: Commands

    private func armWake() {
        ring.read(settings.wakeDescriptor, into: wakeBuffer.value, count: 8, token: workerToken(.wake))
    }

    /// The control thread wrote to the eventfd, or the read of it failed.
    private mutating func woken(_ result: Int32) {
        guard result >= 0 || result == -EINTR || result == -EAGAIN else {
            // Nobody could stop this worker any more.
            failure = -result
            return
        }
        followReload()
        listSessions()
        let asked = shared.pointee.command
        let was = command
        command = asked
        if asked != .run, was == .run {
            stopAccepting()
            endAwaiting()
        }
        if asked == .stop, was != .stop { endAllSessions() }
        if asked == .run, shared.pointee.queueLooks != queueLooks { lookAtQueues() }
        armWake()
    }

    private mutating func endAllSessions() {
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            finish(slot, sessions[slot], .shutdown)
        }
    }
}
