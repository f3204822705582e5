// What must hold of a session in http mode between two turns, as Invariants.swift sweeps: nobody is forgotten, and
// what belongs to a request is gone with it.

import Base
import Ring

extension Worker {
    /// Each exchange is one session's, and serves a request.
    func checkExchanges() {
        var serving = 0
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            let session = sessions[slot]
            if session.pointee.exchange != Exchange.none {
                serving += 1
                checkHedge(session, exchange(session))
            }
            if session.pointee.behind != BackendConnection.none { checkBehind(slot, session) }
            guard session.pointee.isHTTP, session.pointee.state != .closing else { continue }
            checkHTTP(session, .toBackend)
            checkHTTP(session, .toClient)
        }
        expect(serving == exchanges.count, "every exchange is one session's")
    }

    /// A request is under way twice only while nobody has answered it.
    private func checkHedge(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let number = exchange.pointee.hedge
        expect(
            (number != BackendConnection.none) == (exchange.pointee.hedging == .underWay),
            "a hedge is under way on a connection")
        guard number != BackendConnection.none else { return }
        expect(connections[number].pointee.state == .hedging, "a hedge's connection knows of it")
        expect(session.pointee.state == .relaying, "a hedge goes with its session")
        expect(session.pointee.connection != BackendConnection.none, "a hedge is the second of two")
        expect(exchange.pointee.firstByteAt == 0, "a hedge ends with the first byte of an answer")
        expect(exchange.pointee.holdsRetry, "a hedge counts in the budget")
    }

    func checkHedging(_ connection: UnsafeMutablePointer<BackendConnection>, _ number: UInt32) {
        let session = sessions[connection.pointee.session]
        expect(exchange(session).pointee.hedge == number, "a hedge is one request's")
        expect(
            connection.pointee.inKernel.contains(InKernel(.receiveFromBackend)),
            "a hedge waits for its answer"
        )
        expect(
            connection.pointee.queue.isEmpty
                || connection.pointee.inKernel.contains(InKernel(.sendToBackend)),
            "a hedge's request is being sent")
    }

    /// Who stands behind others has sent a request, knows nothing of its answer, and keeps what it asked.
    private func checkBehind(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let connection = connections[session.pointee.behind]
        expect(connections.isLive(session.pointee.behind), "who stands behind others has a connection there")
        expect(connection.pointee.pool == session.pointee.pool, "a batch is for one pool")
        expect(connection.pointee.backend == session.pointee.backend, "a batch is for one backend")
        expect(session.pointee.state == .relaying, "who stands behind others is being served")
        expect(session.pointee.holdsBackend, "who stands behind others counts at the backend")
        expect(
            session.pointee.connection == BackendConnection.none, "who has a connection stands behind nobody")
        expect(session.pointee.backendDescriptor < 0, "who stands behind others has no socket of its own")
        expect(session.pointee.toBackend.queue.isEmpty, "what others send is not sent twice")
        expect(session.pointee.toClient.input.isEmpty, "nothing came for who stands behind others")
        let exchange = exchange(session)
        expect(exchange.pointee.replay != BufferRing.none, "a shared request can be sent again")
        expect(exchange.pointee.firstByteAt == 0, "an answer is read by whose turn it is")
        var next = connection.pointee.firstBehind
        while next != slot, next != BackendConnection.none { next = sessions[next].pointee.nextBehind }
        expect(next == slot, "who stands behind others has its turn")
    }

    /// Between two turns everything gathered is sent, and everything that came is read.
    func checkBatch(_ connection: UnsafeMutablePointer<BackendConnection>, _ number: UInt32) {
        expect(!connection.pointee.isGathering, "a batch is sent when its turn ends")
        expect(!connection.pointee.isHandedOver, "what comes behind an answer is read")
        var (count, last) = (0, BackendConnection.none)
        var next = connection.pointee.firstBehind
        while next != BackendConnection.none {
            expect(sessions[next].pointee.behind == number, "a batch and its sessions know each other")
            (count, last) = (count + 1, next)
            next = sessions[next].pointee.nextBehind
        }
        expect(count == Int(connection.pointee.behindCount), "a batch counts its requests")
        expect(last == connection.pointee.lastBehind, "a batch ends at its last")
        let isServing =
            connection.pointee.state == .attached
            && sessions[connection.pointee.session].pointee.state == .relaying
        expect(count == 0 || isServing, "a batch has somebody whose turn it is")
    }

    /// How many hold a place at a backend.
    func hedges(inPool pool: UnsafeMutablePointer<WorkerPool>, at backend: Int) -> Int {
        var count = 0
        for number in 0..<UInt32(connections.highWater) where connections.isLive(number) {
            let connection = connections[number].pointee
            if connection.state == .hedging, connection.pool == pool, Int(connection.backend) == backend {
                count += 1
            }
        }
        return count
    }

    /// A direction waits for a completion, a buffer or a time, unless it is the other one's turn.
    private func checkHTTP(_ session: UnsafeMutablePointer<Session>, _ direction: Direction) {
        let relay = session.relay(direction)
        let receives =
            session.isInKernel(.receive(direction)) || session.isInKernel(.cancelReceive(direction))
            || relay.pointee.isStarved
        let sends = session.isInKernel(.send(direction))
        let isAttached = session.pointee.connection != BackendConnection.none
        expect(!sends || !relay.pointee.queue.isEmpty, "a send sends the head of the queue")
        switch session.pointee.state {
        case .awaiting:
            expect(relay.pointee.queue.isEmpty, "who waits for a request has nothing to send")
            expect(relay.pointee.pipe == PipePool.none, "who waits for a request has no pipe")
            expect(direction == .toClient || receives, "who waits for a request receives")
        case .lingering:
            expect(relay.pointee.queue.isEmpty, "who lingers has said all")
            expect(direction == .toClient || receives, "who lingers receives")
        case .connecting:
            expect(!sends || direction == .toClient, "nothing is sent to nobody")
        case .relaying:
            if session.pointee.lostSide != .none {
                expect(sends || relay.pointee.queue.isEmpty || direction == .toBackend, "last words are sent")
                return
            }
            let mustSend = !relay.pointee.queue.isEmpty && (direction == .toClient || isAttached)
            expect(!mustSend || sends, "a queue that is not empty is being sent")
            if isAttached { checkHTTPBody(session, direction, receives: receives, sends: sends) }
        case .closing: break
        }
    }

    /// With a backend: a message that is not over goes on.
    private func checkHTTPBody(
        _ session: UnsafeMutablePointer<Session>, _ direction: Direction, receives: Bool, sends: Bool
    ) {
        let relay = session.relay(direction)
        let exchange = exchange(session)
        let phase = direction == .toBackend ? exchange.pointee.request.phase : exchange.pointee.response.phase
        guard phase == .head || phase == .body else { return }
        if exchange.pointee.isEndDue {
            expect(session.isInKernel(.sendToBackend), "what depends on a send waits for it")
            return
        }
        switch relay.pointee.phase {
        case .copying: expect(receives || sends, "a message that is not over waits for something")
        case .switching: expect(receives || sends, "a body that will be spliced waits for something")
        case .splicing:
            let polls =
                session.isInKernel(.pollInput(direction)) || session.isInKernel(.pollOutput(direction))
                || relay.pointee.waitsForTimer
            expect(polls && !sends, "a spliced body waits for a socket")
        case .ending, .ended: expect(false, "an http message ends by its framing")
        }
    }
}
