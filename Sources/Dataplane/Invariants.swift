// What must hold between two turns of a worker, checked over every slot. The simulator sweeps after each
// turn; nothing calls it in production, where the cheap ones among these are preconditions.

import Balancing
import Base
import Ring
import Telemetry

extension Worker {
    /// Stops the process at the first invariant that does not hold.
    package func checkInvariants() {
        var queuedBuffers = 0
        var live = 0
        var heldPipes = 0
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            live += 1
            let session = sessions[slot]
            check(session, slot)
            for direction in Direction.allCases {
                queuedBuffers += check(session.relay(direction), session, slot, direction)
                if session.relay(direction).pointee.pipe != PipePool.none { heldPipes += 1 }
            }
        }
        queuedBuffers += checkConnections()
        checkExchanges()
        expect(live == sessions.count, "the slab counts its slots")
        expect(
            counters.pointee[.accepted] == counters.pointee[.finished] + UInt64(live),
            "accepted = active + finished")
        var finishedByReason: UInt64 = 0
        for reason in Reason.allCases { finishedByReason += counters.pointee[reason: Int(reason.rawValue)] }
        expect(finishedByReason == counters.pointee[.finished], "finished = sum over the reasons")
        expect(
            queuedBuffers == buffers.heldCount, "every buffer is spare, the kernel's or in one queue")
        let (openPipes, idlePipes) = pipes.counts
        expect(heldPipes + idlePipes == openPipes, "every pipe is idle or one relay's")
        expect(idlePipes == pipes.idleCount, "idle pipes are counted")
        expect((idlePipes > 0) <= isPipeCheckDue, "idle pipes are closed some day")
        checkAcceptors()
        checkShares()
    }

    /// Connections to backends that no session has; answers how many buffers they hold.
    private func checkConnections() -> Int {
        var held = 0
        var idle = 0
        for number in 0..<UInt32(connections.highWater) where connections.isLive(number) {
            let connection = connections[number]
            held += Int(connection.pointee.queue.count)
            checkBatch(connection, number)
            switch connection.pointee.state {
            case .attached:
                let session = sessions[connection.pointee.session]
                expect(session.pointee.connection == number, "a session and its connection know each other")
                expect(connection.pointee.inKernel.isEmpty, "its operations are counted by the session")
            case .idle:
                idle += 1
                expect(
                    connection.pointee.inKernel.contains(InKernel(.receiveFromBackend)),
                    "an idle connection's end would be noticed")
                expect(
                    !connection.pointee.pool.pointee.plan.pointee.candidates
                        .isTakenOut(Int(connection.pointee.backend)),
                    "nothing is kept to a backend that is drained or disabled")
            case .hedging: checkHedging(connection, number)
            case .closing: expect(!connection.pointee.inKernel.isEmpty, "who closes waits for the kernel")
            }
        }
        expect(idle == idleConnections.total, "the lists of idle connections have them all")
        return held
    }

    /// Each acceptor has an accept in the kernel, or a reason why not and a time to look again; and where it
    /// must not accept, the accept is on its way back.
    private func checkAcceptors() {
        let waiting = shared.pointee.waitForSocket.value.load(ordering: .relaxed)
        for index in 0..<acceptorCount {
            let acceptor = acceptors[index]
            if !acceptor.isOpen {
                expect(
                    !acceptor.inKernel || acceptor.isCancelling || timers.isSet(timer(ofAcceptor: index)),
                    "a socket that was taken away is let go")
                continue
            }
            let looksAgain = timers.isSet(timer(ofAcceptor: index))
            expect(acceptor.isCancelling <= acceptor.inKernel, "a cancelled accept is in the kernel")
            expect(acceptor.isMultishot <= acceptor.inKernel, "a multishot accept is in the kernel")
            if command == .run {
                expect(
                    acceptor.inKernel || (acceptor.isPaused && looksAgain),
                    "an acceptor accepts, or pauses for a time")
            }
            let mayAccept = command == .run && !acceptor.isPaused && (waiting == 0 || !settings.isAlone)
            expect(
                mayAccept || !acceptor.inKernel || acceptor.isCancelling || looksAgain,
                "an acceptor that pauses or drains cancels its accept")
        }
    }

    /// What the session as a whole must satisfy.
    private func check(_ session: UnsafeMutablePointer<Session>, _ slot: UInt32) {
        expect(session.pointee.clientDescriptor >= 0, "a session has its client")
        switch session.pointee.state {
        case .connecting:
            // Without a connect in the kernel it waits for a descriptor, or with one for the backend's queue.
            let hasSocket = session.pointee.backendDescriptor >= 0
            expect(hasSocket == session.pointee.holdsBackend, "who has a socket holds its backend")
            expect(session.isInKernel(.connect) <= hasSocket, "a connect has a socket")
            let pauses = session.pointee.isHTTP && exchange(session).pointee.retries > 0
            expect(
                hasSocket
                    ? !session.pointee.waitsForSocket
                    : session.pointee.waitsForSocket || session.pointee.isPending || pauses,
                "who has no socket waits for one, or for a place, or pauses before a retry")
            expect(!(hasSocket && session.pointee.isPending), "who waits for a place has no backend")
            expect(
                timers.isSet(slot) || session.isInKernel(.cancelConnect),
                "a connect has a deadline, or is being cancelled; a wait for a descriptor has an end")
        case .relaying where session.pointee.isHTTP:
            expect(session.pointee.exchange != Exchange.none, "who serves has a request")
            expect(timers.isSet(slot), "a request has a deadline")
        case .relaying:
            expect(session.pointee.backendDescriptor >= 0, "a relaying session has its backend")
            expect(session.pointee.holdsBackend, "who relays holds a backend")
            expect(timers.isSet(slot), "a relaying session has an idle deadline")
        case .awaiting:
            expect(session.pointee.exchange == Exchange.none, "who waits for a request has none")
            expect(session.pointee.connection == BackendConnection.none, "who waits has no backend")
            expect(timers.isSet(slot), "a wait for a request has an end")
        case .lingering:
            expect(session.pointee.exchange == Exchange.none, "who lingers has no request")
            expect(timers.isSet(slot), "lingering has an end")
        case .closing:
            expect(!session.pointee.inKernel.isEmpty, "a closing session waits for the kernel")
            expect(timers.isSet(slot), "a closing session asks the kernel again")
        }
    }

    /// What one direction must satisfy; answers how many buffers it holds.
    private func check(
        _ relay: UnsafeMutablePointer<Relay>, _ session: UnsafeMutablePointer<Session>, _ slot: UInt32,
        _ direction: Direction
    ) -> Int {
        var buffers = 0
        var bytes: UInt64 = 0
        var buffer = relay.pointee.queue.head
        while buffer != BufferRing.none {
            let segment = self.buffers.segment(buffer)
            buffers += 1
            bytes += UInt64(segment.pointee.length)
            expect(
                segment.pointee.next != BufferRing.none || buffer == relay.pointee.queue.tail,
                "a queue ends at its tail")
            buffer = segment.pointee.next
        }
        expect(buffers == Int(relay.pointee.queue.count), "a queue counts its buffers")
        buffers += Int(relay.pointee.input.count)
        if direction == .toBackend, session.pointee.exchange != Exchange.none {
            // A request that is sent and kept is in no queue.
            let replay = exchange(session).pointee.replay
            if replay != BufferRing.none, self.buffers.segment(replay).pointee.length == 0 { buffers += 1 }
        }
        // What was on its way to a side that is gone is dropped.
        let isCut = session.pointee.lostSide != .none && session.pointee.lostSide.outward != direction
        expect(
            isCut || session.pointee.isHTTP || session.pointee.exchange != Exchange.none
                || relay.pointee.received == relay.pointee.delivered + bytes
                    + UInt64(relay.pointee.pipedBytes),
            "received = delivered + held")
        if isCut, session.pointee.state == .relaying {
            expect(relay.pointee.phase == .ended, "nothing goes to a side that is gone")
        }
        expect((relay.pointee.pipedBytes > 0) <= (relay.pointee.pipe != PipePool.none), "bytes are in a pipe")
        if session.pointee.state == .relaying, !session.pointee.isHTTP {
            checkProgress(relay, session, direction)
        }
        if session.pointee.state == .closing || session.pointee.state != .relaying && !session.pointee.isHTTP
        {
            expect(!relay.pointee.isStarved, "only who receives waits for buffers")
        }
        return buffers
    }

    /// Nobody is forgotten: a direction that is not ended waits for a completion or for a buffer.
    private func checkProgress(
        _ relay: UnsafeMutablePointer<Relay>, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let receives =
            session.isInKernel(.receive(direction)) || session.isInKernel(.cancelReceive(direction))
        let sends = session.isInKernel(.send(direction))
        let polls =
            session.isInKernel(.pollInput(direction)) || session.isInKernel(.pollOutput(direction))
            || relay.pointee.waitsForTimer
        expect(sends <= (relay.pointee.queue.count > 0), "a send sends the head of the queue")
        expect((relay.pointee.queue.count > 0) <= sends, "a queue that is not empty is being sent")
        switch relay.pointee.phase {
        case .copying:
            expect(receives || sends || relay.pointee.isStarved, "a copying relay waits for something")
        case .switching: expect(receives || sends, "a switching relay waits for something")
        case .splicing: expect(polls && !sends, "a splicing relay waits for a socket")
        case .ending: expect(sends || polls, "an ending relay has something left to send")
        case .ended:
            let isLost = session.pointee.lostSide != .none
            expect(isLost || (!sends && relay.pointee.queue.count == 0), "an ended relay is empty")
        }
        let isOver = session.pointee.toBackend.phase == .ended && session.pointee.toClient.phase == .ended
        let waits = session.pointee.toBackend.waitsForTimer || session.pointee.toClient.waitsForTimer
        expect(!isOver || waits, "a session whose both directions ended is closed, or delivers last words")
    }

    /// A backend's count equals the sessions that hold it, where this worker is the only one.
    private func checkShares() {
        guard settings.isAlone else { return }
        for poolIndex in 0..<epoch.pointee.snapshot.poolCount {
            let pool = epoch.pointee.pools[poolIndex]
            let candidates = pool.pointee.plan.pointee.candidates
            for index in 0..<candidates.count {
                var holders = 0
                for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
                    let session = sessions[slot].pointee
                    if session.holdsBackend, session.pool == pool, Int(session.backend) == index {
                        holders += 1
                    }
                }
                holders += hedges(inPool: pool, at: index)
                expect(
                    holders == candidates[index].active.load(ordering: .relaxed),
                    "a backend's count is its sessions and hedges")
            }
        }
        expect(shared.pointee.sessionCount == sessions.count, "the process counts its sessions")
        expect(
            shared.pointee.acceptingWorkers == (command == .run || hasAcceptInKernel ? 1 : 0),
            "a worker uses its listening sockets until its last accept is back")
        var waiting = 0
        var pendingCount = 0
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            if sessions[slot].pointee.waitsForSocket { waiting += 1 }
            if sessions[slot].pointee.isPending { pendingCount += 1 }
        }
        for number in 0..<epoch.pointee.snapshot.poolCount {
            // Who has failed to connect may wait for the others.
            guard let first = pending.first(epoch.pointee.pools[number]),
                sessions[first].pointee.connectFailure == .ok
            else { continue }
            let pool = epoch.pointee.snapshot.pool(number)
            let isPoolFull =
                pool.pointee.load.pointee.active.load(ordering: .relaxed) >= pool.pointee.breaker.maxSessions
            for index in 0..<pool.pointee.candidates.count where !isPoolFull && settings.isAlone {
                expect(
                    !pool.pointee.candidates.isUsable(index), "nobody waits for a place while there is one")
            }
        }
        for number in 0..<epoch.pointee.snapshot.poolCount { checkLoad(ofPool: number) }
        expect(pendingCount == pending.count, "who waits for a place stands in a queue")
        expect(
            pendingCount == 0 || timers.isSet(pendingTimer), "somebody looks after those who wait for a place"
        )
        expect(
            waiting == shared.pointee.waitForSocket.value.load(ordering: .relaxed),
            "the process counts who waits for a socket")
        var multishots = 0
        for index in 0..<acceptorCount where acceptors[index].isMultishot { multishots += 1 }
        expect(
            multishots == shared.pointee.multishotAccepts.value.load(ordering: .relaxed),
            "the process counts its multishot accepts")
    }

    /// A pool's counts are its sessions, those of backends that were removed among them.
    private func checkLoad(ofPool number: Int) {
        let pool = epoch.pointee.snapshot.pool(number)
        let load = pool.pointee.load
        var (active, waiting, retries) = (0, 0, 0)
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            let session = sessions[slot]
            guard session.pointee.pool.pointee.plan.pointee.load == load else { continue }
            if session.pointee.holdsPoolPlace { active += 1 }
            if session.pointee.isPending { waiting += 1 }
            if session.pointee.exchange != Exchange.none, exchange(session).pointee.holdsRetry {
                retries += 1
            }
            expect(
                !session.pointee.holdsPoolPlace || session.pointee.holdsBackend,
                "who has a place in a pool has a backend")
        }
        expect(active == load.pointee.active.load(ordering: .relaxed), "a pool's places are its sessions")
        expect(active <= pool.pointee.breaker.maxSessions, "a pool has no more sessions than it may")
        expect(waiting == load.pointee.pending.load(ordering: .relaxed), "a pool counts who waits for it")
        expect(retries == load.pointee.retries.load(ordering: .relaxed), "a pool counts what it retries")
    }

    func expect(_ condition: Bool, _ invariant: StaticString) {
        if !condition { fatalError("invariant broken: \(invariant)") }
    }
}

extension Bool {
    /// Implication: what the left side says, the right side says as well.
    fileprivate static func <= (premise: Bool, conclusion: Bool) -> Bool { !premise || conclusion }
}
