// A worker goes over to the next configuration, in one step between two completions. Sessions follow with the
// backend that they have; those whose backend or listener is gone keep the version that they know until they end.
//
//   published -> (woken) -> pools, sessions, connections, sockets follow -> taken
//
// It touches each session once, and allocates nothing: the control thread made all that is new (Generation.swift).

import Balancing
import Base
import Ring
import Synchronization

extension Worker {
    /// Looks whether there is another configuration.
    mutating func followReload() {
        guard let next = shared.pointee.epoch(ofWorker: settings.index), next != epoch else { return }
        let last = epoch
        epoch = next
        retirePools(of: last)
        movePending()
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            follow(slot, sessions[slot])
        }
        moveIdleConnections()
        forgetPlaces(last)
        endLeftBehind()
        followSockets(last)
        next.pointee.noteTaken()
    }

    private func retirePools(of last: UnsafeMutablePointer<Epoch>) {
        for index in 0..<epoch.pointee.heirCount {
            let pool = last.pointee.pools[index]
            switch epoch.pointee.heirs[index] {
            case .itself: break
            case .removed: retire(pool, endAfter: pool.pointee.plan.pointee.endAfterRemovalNanoseconds)
            case .replaced(let successor, let newIndex, let keepsOrder):
                retire(pool, endAfter: successor.pointee.plan.pointee.endAfterRemovalNanoseconds)
                pool.pointee.successor = successor
                pool.pointee.newIndex = newIndex
                pool.pointee.keepsOrder = keepsOrder
                successor.pointee.latencies = pool.pointee.latencies
                successor.pointee.bulkHint = pool.pointee.bulkHint
            }
        }
    }

    private func retire(_ pool: UnsafeMutablePointer<WorkerPool>, endAfter nanoseconds: UInt64) {
        pool.pointee.isRetired = true
        let (end, isFar) = now.addingReportingOverflow(nanoseconds)
        pool.pointee.endsAt = isFar ? UInt64.max : end
    }

    /// Their memory is the next configuration's, which may go before the pools of the last one do.
    private func forgetPlaces(_ last: UnsafeMutablePointer<Epoch>) {
        for index in 0..<epoch.pointee.heirCount { last.pointee.pools[index].pointee.newIndex = nil }
    }

    // MARK: Sessions

    private mutating func follow(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        if session.pointee.currentListener != Session.noListener {
            session.pointee.currentListener = epoch.pointee.newListener[Int(session.pointee.currentListener)]
        }
        followListener(session)
        if session.pointee.pool.pointee.isRetired, !session.pointee.isPending { moveToSuccessor(session) }
        guard session.pointee.state == .awaiting else { return }
        followReload(session)
        if hasLostListener(session), session.pointee.toBackend.input.isEmpty { finish(slot, session, .ok) }
    }

    /// An exchange is over: the next one goes by the configuration that holds now.
    func followReload(_ session: UnsafeMutablePointer<Session>) {
        followListener(session)
        guard session.pointee.isHTTP, session.pointee.pool.pointee.isRetired, session.pointee.epoch == epoch
        else { return }
        setPool(session, epoch.pointee.pools[Int(listenerPlan(session).pointee.pool)])
    }

    /// Between requests, and in tcp mode, a session goes by what its listener says now.
    private func followListener(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.epoch != epoch, session.pointee.exchange == Exchange.none,
            session.pointee.currentListener != Session.noListener
        else { return }
        epoch.pointee.addUser()
        session.pointee.epoch.pointee.removeUser()
        session.pointee.epoch = epoch
        session.pointee.listener = session.pointee.currentListener
    }

    /// Weir drains, or the listener is gone: what was asked is answered, and then the connection ends.
    func isLeaving(_ session: UnsafeMutablePointer<Session>) -> Bool {
        command != .run || hasLostListener(session)
    }

    /// A reload took its listener away.
    func hasLostListener(_ session: UnsafeMutablePointer<Session>) -> Bool {
        session.pointee.currentListener == Session.noListener
    }

    /// Counts the session in the version of its pool that holds now. One whose backend is gone stays until it chooses
    /// anew.
    mutating func moveToSuccessor(_ session: UnsafeMutablePointer<Session>) {
        let pool = session.pointee.pool
        // One that stayed the last time.
        if let next = pool.pointee.successor, next.pointee.isRetired {
            pool.pointee.successor = next.pointee.successor
        }
        guard let successor = pool.pointee.successor else { return }
        if session.pointee.exchange != Exchange.none { dropHedge(exchange(session)) }
        let wasTried = session.pointee.attempts > 0 || session.pointee.holdsBackend
        let place = wasTried ? pool.pointee.successorIndex(session.pointee.backend) : 0
        if place == nil {
            if session.pointee.holdsBackend { return }
            // Whom it tried is nobody here.
            session.pointee.attempts = 0
            session.pointee.connectFailure = .ok
        }
        let backend = place ?? 0
        if session.pointee.holdsBackend {
            successor.pointee.plan.pointee.candidates.adopt(Int(backend))
            pool.pointee.plan.pointee.candidates.release(Int(session.pointee.backend))
            adoptPoolPlace(session, successor.pointee.plan)
        }
        session.pointee.backend = backend
        session.pointee.trial = .noTrial
        // Whom it tried already is known by their places.
        if !pool.pointee.keepsOrder {
            session.pointee.sequence = CandidateSequence(keepingPickOf: session.pointee.sequence)
        }
        if let sticky = session.pointee.sticky.index {
            let moved = pool.pointee.successorIndex(UInt16(sticky))
            session.pointee.sticky = moved.map { StickyBackend(backend: Int($0)) } ?? StickyBackend(.missing)
        }
        if session.pointee.connection != BackendConnection.none {
            connections[session.pointee.connection].pointee.pool = successor
            connections[session.pointee.connection].pointee.backend = backend
        }
        setPool(session, successor)
    }

    /// The places of a pool that has a limit now are counted, those of running sessions too.
    private func adoptPoolPlace(
        _ session: UnsafeMutablePointer<Session>, _ plan: UnsafePointer<PoolPlan>
    ) {
        guard plan.pointee.breaker.maxSessions != Int.max, !session.pointee.holdsPoolPlace else { return }
        plan.pointee.load.pointee.active.wrappingAdd(1, ordering: .relaxed)
        session.pointee.holdsPoolPlace = true
    }

    /// Who waits for a place waits for one of the new version, in the same order.
    private mutating func movePending() {
        var next = pending.firstPool
        while let pool = next {
            next = pool.pointee.nextWaiting
            guard pool.pointee.successor != nil else { continue }
            var slot = pending.first(pool)
            while let waiting = slot {
                slot = pending.following(waiting)
                let session = sessions[waiting]
                moveToSuccessor(session)
                guard session.pointee.pool != pool else { continue }
                pending.remove(waiting, pool)
                pending.append(waiting, session.pointee.pool)
            }
        }
    }

    // MARK: Connections to backends

    /// Idle connections serve the new version where their backend is in it, and else are closed.
    private mutating func moveIdleConnections() {
        for number in 0..<UInt32(connections.highWater) where connections.isLive(number) {
            let connection = connections[number]
            guard connection.pointee.state == .idle, connection.pointee.pool.pointee.isRetired else {
                continue
            }
            let pool = connection.pointee.pool
            guard let successor = pool.pointee.successor,
                let backend = pool.pointee.successorIndex(connection.pointee.backend),
                !successor.pointee.plan.pointee.candidates.isTakenOut(Int(backend)),
                successor.pointee.idleCount < successor.pointee.plan.pointee.idleConnections
            else {
                closeConnection(number)
                continue
            }
            idleConnections.remove(number, connections)
            connection.pointee.pool = successor
            connection.pointee.backend = backend
            idleConnections.add(number, connections)
        }
    }

    // MARK: Sockets

    /// Accepts on what the new configuration listens on, and on nothing else.
    private mutating func followSockets(_ last: UnsafeMutablePointer<Epoch>) {
        for index in 0..<acceptorCount where acceptors[index].isOpen {
            let descriptor = acceptors[index].socket.descriptor
            if let place = socketPlace(descriptor) {
                acceptors[index].socket = epoch.pointee.sockets[place]
            } else {
                retireAcceptor(index, last)
            }
        }
        guard command == .run else { return }
        for place in 0..<epoch.pointee.socketCount where !isAccepted(epoch.pointee.sockets[place]) {
            openAcceptor(epoch.pointee.sockets[place])
        }
        resumeAccepting()
    }

    private func socketPlace(_ descriptor: Int32) -> Int? {
        for place in 0..<epoch.pointee.socketCount
        where epoch.pointee.sockets[place].descriptor == descriptor {
            return place
        }
        return nil
    }

    private func isAccepted(_ socket: ListeningSocket) -> Bool {
        for index in 0..<acceptorCount
        where acceptors[index].isOpen && acceptors[index].socket.descriptor == socket.descriptor {
            return true
        }
        return false
    }

    private mutating func openAcceptor(_ socket: ListeningSocket) {
        var index = 0
        // Generation.swift has seen to it that there are enough.
        while index < acceptorCount, acceptors[index].isOpen || acceptors[index].inKernel { index += 1 }
        precondition(index < Self.acceptorLimit(settings.listeners.count), "there is an acceptor for each")
        (acceptors + index).pointee = Acceptor(socket)
        acceptorCount = max(acceptorCount, index + 1)
        armAccept(index)
    }

    /// Its socket is listened on no more.
    private mutating func retireAcceptor(_ index: Int, _ last: UnsafeMutablePointer<Epoch>) {
        acceptors[index].isOpen = false
        timers.clear(timer(ofAcceptor: index))
        guard acceptors[index].inKernel else {
            closeAcceptorIfDone(index)
            return
        }
        acceptors[index].last = last
        last.pointee.addUser()
        if acceptors[index].socket.isShared {
            acceptors[index].since = epoch
            epoch.pointee.socketsInUse.wrappingAdd(1, ordering: .relaxed)
        }
        cancelAccept(index)
    }
}
