// From a connection in the kernel's queue to a session in a slot. Each listening socket has an acceptor:
//
//   armed (multishot far from the limits, one by one near them) <-> paused (limit reached, or no
//   descriptors) ; draining ends it.

import Base
import Glibc
import Ring
import Telemetry

/// A listening socket as its worker sees it.
struct Acceptor {
    var socket: ListeningSocket
    /// False once a reload has taken the socket away; free to be used again when its accept is back too.
    var isOpen = true
    /// Once a reload has taken the socket away, while its accept is in the kernel: the configuration before, which
    /// clients that still come belong to, and the one since, which counts shared sockets that are in use.
    var last: UnsafeMutablePointer<Epoch>?
    var since: UnsafeMutablePointer<Epoch>?
    /// True exactly while an accept is in the kernel.
    var inKernel = false
    /// True exactly while that accept is a multishot one; `SharedState.multishotAccepts` counts it.
    var isMultishot = false
    /// True exactly while a cancel of it was asked for and it has not ended yet.
    var isCancelling = false
    var isPaused = false

    init(_ socket: ListeningSocket) { self.socket = socket }
}

/// Why accepting pauses.
enum PauseCause: UInt8 {
    case sessionLimit
    case outOfDescriptors
    case outOfMemory
    case acceptFails
    // Watermarks: nothing has failed yet.
    case fewDescriptors
    case fewBuffers
    case littleMemory

    /// nil for what is no reason to wait: a cancel, or a client that was gone before it was accepted
    /// (accept(2) lists what a connection's own network errors look like).
    init?(acceptErrno code: Int32) {
        switch code {
        case ECANCELED, EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
            EHOSTUNREACH, ENETUNREACH:
            return nil
        case EMFILE, ENFILE: self = .outOfDescriptors
        case ENOBUFS, ENOMEM: self = .outOfMemory
        default: self = .acceptFails
        }
    }

    /// When to look again. A session of this worker that ends resumes at once; this is for what other
    /// workers and other processes give back.
    var retryNanoseconds: UInt64 {
        self == .sessionLimit || self == .fewBuffers ? 10_000_000 : 100_000_000
    }

    /// The kernel has refused something.
    var isFailure: Bool {
        switch self {
        case .outOfDescriptors, .outOfMemory, .acceptFails: true
        case .sessionLimit, .fewDescriptors, .fewBuffers, .littleMemory: false
        }
    }

    var text: StaticString {
        switch self {
        case .sessionLimit: "the limit of sessions is reached"
        case .outOfDescriptors: "no file descriptors left: raise LimitNOFILE or lower limits.sessions"
        case .outOfMemory: "no memory left in the kernel"
        case .fewDescriptors: "few file descriptors left: raise LimitNOFILE or lower limits.sessions"
        case .fewBuffers: "few receive buffers left: raise limits.buffers"
        case .littleMemory: "little memory left: raise limits.memory or the limit of the cgroup"
        case .acceptFails: "the kernel refuses to accept"
        }
    }
}

extension Worker {
    /// The queue of connections that the kernel accepted for us (listen(2)'s backlog).
    public static var backlog: Int { 1024 }

    /// What so many multishot accepts may hand over before they can be stopped: a queue each, of which Linux
    /// lets one more in than listen(2) was told.
    private func acceptedAtOnce(by count: Int) -> Int {
        (settings.backlog + 1) * (mutant(.oneBurstAtALimit) ? min(count, 1) : count)
    }

    func timer(ofAcceptor index: Int) -> UInt32 { UInt32(settings.slots + index) }

    /// More than there are at first, for listeners that reloads add.
    static func acceptorLimit(_ count: Int) -> Int { max(4 * count, 512) }

    /// Sockets that a worker may be given by a reload, where it began with so many: those that they replace may not
    /// be closed yet.
    public static func socketLimit(atStart count: Int) -> Int { acceptorLimit(count) / 2 }

    mutating func armAccept(_ index: Int) {
        guard command == .run, acceptors[index].isOpen else { return }
        guard !acceptors[index].inKernel else {
            // Its cancel is still on its way; its last completion arms it anew.
            acceptors[index].isPaused = false
            return
        }
        if doSessionsWaitForSockets {
            pause(index, .outOfDescriptors)
            return
        }
        if let cause = watermark(acceptors[index].socket.listener) {
            pause(index, cause)
            return
        }
        let room = roomForSessions(acceptors[index].socket.listener)
        if room <= 0 {
            pause(index, .sessionLimit)
            return
        }
        acceptors[index].isPaused = false
        acceptors[index].inKernel = true
        let token = workerToken(.accept, slot: index)
        let descriptor = acceptors[index].socket.descriptor
        if claimMultishot(room) {
            acceptors[index].isMultishot = true
            ring.acceptMultishot(descriptor, token: token)
        } else {
            ring.acceptOne(descriptor, token: token)
        }
    }

    /// True where there is room for all that the multishot accepts of all workers may hand over at once, this
    /// one included, which is counted then.
    private func claimMultishot(_ room: Int) -> Bool {
        let count = shared.pointee.multishotAccepts.value.wrappingAdd(1, ordering: .relaxed).newValue
        if room >= acceptedAtOnce(by: count) { return true }
        shared.pointee.multishotAccepts.value.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    /// How many more sessions the limits of the process, the listener and the slab allow.
    private func roomForSessions(_ listener: Int) -> Int {
        let plan = epoch.pointee.snapshot.listener(listener)
        let inProcess = epoch.pointee.snapshot.sessionLimit - shared.pointee.sessionCount
        let inListener =
            plan.pointee.sessionLimit - plan.pointee.sessions.pointee.value.load(ordering: .relaxed)
        return min(inProcess, inListener, sessions.capacity - sessions.count)
    }

    mutating func accepted(_ completion: Completion) {
        let index = Int(completion.token.slot)
        precondition(index < acceptorCount)
        if !completion.hasMore { acceptEnded(index) }
        if completion.result >= 0 { beginSession(completion.result, acceptors[index]) }
        if !completion.hasMore { letGo(index) }
        guard command == .run else {
            closeAcceptorIfDone(index)
            if !hasAcceptInKernel { acceptingEnded() }
            return
        }
        guard acceptors[index].isOpen else {
            closeAcceptorIfDone(index)
            return
        }
        if completion.result < 0, let cause = PauseCause(acceptErrno: -completion.result),
            cause != .outOfDescriptors || !makeWayForSockets()
        {
            pause(index, cause)
        }
        if completion.result >= 0, !acceptors[index].isPaused,
            let cause = watermark(acceptors[index].socket.listener, accepted: completion.result)
        {
            pause(index, cause)
            if acceptors[index].inKernel { cancelAccept(index) }
        }
        if !acceptors[index].inKernel, !acceptors[index].isPaused { armAccept(index) }
        stopMultishotsNearLimit(index)
        // One of another worker: `pauseAccepting` saw to ours.
        if acceptors[index].inKernel, doSessionsWaitForSockets { cancelAccept(index) }
    }

    /// There is no descriptor: pipes that nobody uses are closed before anybody waits. True where there were
    /// any.
    mutating func makeWayForSockets() -> Bool {
        mutant(.pipesBeforeSockets) ? false : pipes.makeWay(now: now)
    }

    /// Clients that were accepted wait for a descriptor; another client would take it.
    private var doSessionsWaitForSockets: Bool {
        shared.pointee.waitForSocket.value.load(ordering: .relaxed) > 0 && !mutant(.newClientsFirst)
    }

    /// Why no more clients are taken, before anything fails; nil where all is well. The kernel gives out the lowest
    /// number that is free (open(2)), so that of a descriptor says how many there are. While this worker has no other
    /// session, nothing that it waited for would come.
    private mutating func watermark(_ listener: Int, accepted descriptor: Int32 = -1) -> PauseCause? {
        if shared.pointee.isMemoryShort { return .littleMemory }
        if descriptor >= settings.descriptorWatermark, sessions.count > 1, !makeWayForSockets() {
            return .fewDescriptors
        }
        // In tcp mode sessions then take turns, and one that is spliced needs none; an http request is refused.
        if buffersAreLow, epoch.pointee.snapshot.listener(listener).pointee.http != nil, sessions.count > 0 {
            return .fewBuffers
        }
        return nil
    }

    /// More than seven eighths of all that there may be are held.
    package var buffersAreLow: Bool { buffers.heldCount > buffers.limit - buffers.limit / 8 }

    private func acceptEnded(_ index: Int) {
        acceptors[index].inKernel = false
        acceptors[index].isCancelling = false
        guard acceptors[index].isMultishot else { return }
        acceptors[index].isMultishot = false
        shared.pointee.multishotAccepts.value.wrappingSubtract(1, ordering: .relaxed)
    }

    /// The accept of a socket that a reload took away is over.
    private func letGo(_ index: Int) {
        guard let last = acceptors[index].last else { return }
        acceptors[index].last = nil
        last.pointee.removeUser()
        acceptors[index].since?.pointee.socketsInUse.wrappingSubtract(1, ordering: .releasing)
        acceptors[index].since = nil
    }

    /// A connection came in by `index`. Where there is no more room for what all multishot accepts may hand
    /// over at once, they end, and accepting goes on one by one. The workers see to their own.
    private mutating func stopMultishotsNearLimit(_ index: Int) {
        let count = shared.pointee.multishotAccepts.value.load(ordering: .relaxed)
        let distance = acceptedAtOnce(by: count)
        guard roomForSessions(acceptors[index].socket.listener) < distance else { return }
        // A limit of the listener concerns its own sockets, a limit of the process all of them.
        for other in 0..<acceptorCount where acceptors[other].isMultishot && acceptors[other].isOpen {
            if roomForSessions(acceptors[other].socket.listener) < distance { cancelAccept(other) }
        }
    }

    private mutating func pause(_ index: Int, _ cause: PauseCause) {
        if !acceptors[index].isPaused {
            counters.pointee.add(.acceptPauses)
            reportPause(index, cause)
        }
        acceptors[index].isPaused = true
        if mutant(.acceptNotRearmed), cause != .sessionLimit { return }
        timers.set(timer(ofAcceptor: index), deadline: now + cause.retryNanoseconds)
    }

    /// A session waits for a socket: no client is accepted before it has one.
    mutating func pauseAccepting() {
        guard command == .run, !mutant(.newClientsFirst) else { return }
        for index in 0..<acceptorCount where !acceptors[index].isPaused && acceptors[index].isOpen {
            if acceptors[index].inKernel { cancelAccept(index) }
            pause(index, .outOfDescriptors)
        }
    }

    mutating func cancelAccept(_ index: Int) {
        if acceptors[index].isCancelling { return }
        acceptors[index].isCancelling = true
        ring.cancel(workerToken(.accept, slot: index), token: workerToken(.cancelAccept, slot: index))
    }

    /// The answer to the cancel of an accept. The kernel may have missed it (see `cancelAll`).
    mutating func acceptCancelled(_ completion: Completion) {
        let index = Int(completion.token.slot)
        precondition(index < acceptorCount)
        guard completion.result == -ENOENT, acceptors[index].inKernel else { return }
        acceptors[index].isCancelling = false
        timers.set(timer(ofAcceptor: index), deadline: now + Self.cancelRetryNanoseconds)
    }

    /// A pause is over, or a cancel was missed.
    mutating func acceptorTimerFired(_ index: Int) {
        let acceptor = acceptors[index]
        guard acceptor.inKernel, !acceptor.isCancelling,
            acceptor.isPaused || command != .run || !acceptor.isOpen
        else {
            armAccept(index)
            return
        }
        cancelAccept(index)
        timers.set(timer(ofAcceptor: index), deadline: now + Self.cancelRetryNanoseconds)
    }

    /// A session ended, or none waits for a socket any more: whoever paused may go on.
    mutating func resumeAccepting() {
        guard command == .run, !doSessionsWaitForSockets else { return }
        for index in 0..<acceptorCount
        where acceptors[index].isPaused && acceptors[index].isOpen
            && roomForSessions(acceptors[index].socket.listener) > 0
        {
            if watermark(acceptors[index].socket.listener) != nil { continue }
            timers.clear(timer(ofAcceptor: index))
            armAccept(index)
        }
    }

    /// The control thread asks for it: clients may wait in the sockets' queues of whom the kernel has told another
    /// process. An accept that is submitted anew takes them, which is what the end of each of these leads to.
    mutating func lookAtQueues() {
        queueLooks = shared.pointee.queueLooks
        for index in 0..<acceptorCount where acceptors[index].inKernel { cancelAccept(index) }
    }

    mutating func stopAccepting() {
        command = .drain
        for index in 0..<acceptorCount {
            timers.clear(timer(ofAcceptor: index))
            if acceptors[index].inKernel {
                cancelAccept(index)
            } else if acceptors[index].isOpen {
                closeAcceptorIfDone(index)
            }
        }
        if !hasAcceptInKernel { acceptingEnded() }
    }

    func closeAcceptorIfDone(_ index: Int) {
        if acceptors[index].inKernel || acceptors[index].socket.isShared { return }
        ring.close(acceptors[index].socket.descriptor, token: workerToken(.close))
    }

    var hasAcceptInKernel: Bool {
        for index in 0..<acceptorCount where acceptors[index].inKernel { return true }
        return false
    }

    /// The last accept of a draining worker is back: the control thread may close the sockets that workers share.
    private func acceptingEnded() {
        shared.pointee.accepting.value.wrappingSubtract(1, ordering: .releasing)
    }

    // MARK: A new session

    private mutating func beginSession(_ descriptor: Int32, _ acceptor: Acceptor) {
        // While draining the kernel may still hand over clients that it accepted before the cancel came: they
        // know of no drain, and are served.
        guard command != .stop, !mutant(.drainTurnsAway) || command == .run, let slot = sessions.allocate()
        else {
            counters.pointee.add(.refused)
            ring.close(descriptor, token: workerToken(.close))
            return
        }
        counters.pointee.add(.accepted)
        shared.pointee.sessions.value.wrappingAdd(1, ordering: .relaxed)
        let listener = acceptor.socket.listener
        let epoch = acceptor.last ?? self.epoch
        let plan = epoch.pointee.snapshot.listener(listener)
        tally(.accepted, listener: plan)
        plan.pointee.sessions.pointee.value.wrappingAdd(1, ordering: .relaxed)
        nextIdentifier &+= 1
        let session = sessions[slot]
        let poolOfListener = epoch.pointee.pools[Int(plan.pointee.pool)]
        epoch.pointee.addUser()
        poolOfListener.pointee.addUser()
        session.pointee = Session(
            state: .connecting, reason: .ok, connectFailure: .ok, keepsAlive: false, inKernel: [],
            epoch: epoch, listener: UInt16(listener),
            currentListener: acceptor.last == nil ? UInt16(listener) : Session.noListener,
            pool: poolOfListener, backend: 0, attempts: 0, sequence: .init(),
            holdsBackend: false, waitsForSocket: false, clientDescriptor: descriptor,
            backendDescriptor: -1, clientPlace: 0, client: .unknown, identifier: nextIdentifier,
            acceptedAt: now, connectStartedAt: 0,
            connectedAt: 0, firstByteAt: 0, lastActivityAt: now, toBackend: Relay(), toClient: Relay())
        let limit = plan.pointee.sessionsPerClient
        let isTCP = plan.pointee.http == nil
        let isGuarded = plan.pointee.access.isOn || plan.pointee.rateLimit != RateLimitPlans.none
        if accessLog.isOn || limit > 0 || !isTCP || isGuarded
            || poolOfListener.pointee.plan.pointee.looksAtClients
        {
            session.pointee.client = clientAddress(descriptor)
        }
        noteClientKey(session)
        if isTCP, isGuarded, let reason = refusal(session, plan) {
            finish(slot, session, reason)
            return
        }
        if limit > 0, !countClient(session, limit: limit) {
            finish(slot, session, .clientLimit)
            return
        }
        session.pointee.localPort = acceptor.socket.port
        if isTCP {
            noteAffinity(session)
            connectNext(slot, session)
        } else {
            beginHTTP(slot, session)
        }
    }

    private func clientAddress(_ descriptor: Int32) -> ClientAddress {
        var length = UInt32(MemoryLayout<sockaddr_storage>.size)
        let result = settings.port.peerName(settings.port.context, descriptor, peerAddress, &length)
        // A client that is gone again has no name any more.
        return result == 0 ? ClientAddress(peerAddress) : .unknown
    }

    /// False where the client has as many sessions as it may.
    private func countClient(_ session: UnsafeMutablePointer<Session>, limit: Int) -> Bool {
        // Unix sockets tell no clients apart, and one that is gone already has no address.
        let family = session.pointee.client.family
        guard family == .ipv4 || family == .ipv6 else { return true }
        let listener = Int(listenerPlan(session).pointee.number)
        let answer = shared.pointee.clients.acquire(session.pointee.client, listener: listener, limit: limit)
        switch answer {
        case .counted(let place):
            session.pointee.clientPlace = UInt32(place) + 1
            return true
        case .limitReached: return false
        case .tableFull: return true
        }
    }
}
