// A request whose backend takes longer than nearly all answers of its pool is sent to a second one; the first of both
// that says a byte answers it. Only what harms nobody when it is done twice, and only over a connection that is kept
// already: a new one would begin with a round trip, and would need all that connecting needs.
//
//   sent -> (no byte for as long as 95 of 100 answers take) -> under way -> a byte from the second, or the first
//                                                                  |        one fails: won, it takes over
//                                                                  '-> a byte from the first, or the second one
//                                                                      fails: lost, its connection is closed

import Balancing
import Base
import Glibc
import HTTP1
import Ring
import Telemetry

/// What became of the second sending of a request.
enum Hedging: UInt8 {
    case notYet
    /// It was time, but there was no connection, buffer or place in the budget for it.
    case passedOver
    /// `Exchange.hedge` is its connection.
    case underWay
    case lost, won
}

extension Worker {
    /// Below this the second request would hardly ever be earlier than the first answer.
    private static var leastHedgeNanoseconds: UInt64 { 5_000_000 }

    // MARK: When

    /// When the request is to be sent a second time; `UInt64.max` for never.
    func hedgeDeadline(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ plan: UnsafePointer<RetryPlan>
    ) -> UInt64 {
        guard plan.pointee.hedges, exchange.pointee.hedging == .notYet, exchange.pointee.firstByteAt == 0,
            exchange.pointee.replay != BufferRing.none, exchange.pointee.request.phase == .done,
            exchange.pointee.method.isIdempotent || mutant(.postSentAgain), !exchange.pointee.wantsUpgrade,
            // Who is to come back to one backend is not served by another.
            session.pointee.sticky.finding == .notAsked,
            let usual = session.pointee.pool.pointee.latencies.estimate(after: settings.answersBeforeHedges)
        else { return UInt64.max }
        return exchange.pointee.requestSentAt &+ max(usual, Self.leastHedgeNanoseconds)
    }

    // MARK: Begin

    /// Sends the request a second time, where that is possible at once; this is asked once for each request.
    mutating func hedge(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        exchange.pointee.hedging = .passedOver
        guard exchange.pointee.retries < retryPlan(session, exchange).pointee.attempts, command == .run,
            !isBehindOthers(session), let number = takeIdle(session)
        else { return }
        let connection = connections[number]
        let hadPlace = exchange.pointee.holdsRetry
        guard hadPlace || takeRetry(session, exchange), let copy = buffers.takeSpare() else {
            if !hadPlace { releaseRetry(session, exchange) }
            releaseHedged(connection)
            return
        }
        idleConnections.remove(number, connections)
        connection.pointee.state = .hedging
        connection.pointee.session = slot
        exchange.pointee.hedging = .underWay
        exchange.pointee.hedge = number
        exchange.pointee.hedgedAt = now
        exchange.pointee.retries += 1
        session.pointee.attempts += 1
        buffers.bytes(copy).copyMemory(
            from: buffers.bytes(exchange.pointee.replay), byteCount: Int(exchange.pointee.replayBytes))
        buffers.segment(copy).pointee.length = exchange.pointee.replayBytes
        buffers.append(copy, to: &connection.pointee.queue)
        sendHedge(number)
    }

    /// Takes a place at the next candidate, where that has an idle connection, and answers that. Nobody is passed over:
    /// when the request is tried again, all have their turn.
    private mutating func takeIdle(_ session: UnsafeMutablePointer<Session>) -> UInt32? {
        let pool = session.pointee.pool
        var sequence = session.pointee.sequence
        let choice = Choice(key: session.pointee.key, now: now, sticky: nil)
        guard let index = pool.pointee.policy.take(&sequence, choice) else { return nil }
        let number = idleConnections.newest(pool, backend: UInt16(index))
        // Whoever is on trial is tried by requests of its own.
        let isOnTrial = sequence.trial != .noTrial
        if isOnTrial { pool.pointee.plan.pointee.health.endTrial(index, sequence.trial) }
        guard !isOnTrial, number != BackendConnection.none else {
            pool.pointee.plan.pointee.candidates.release(index)
            return nil
        }
        session.pointee.sequence = sequence
        return number
    }

    private mutating func sendHedge(_ number: UInt32) {
        let connection = connections[number]
        let buffer = connection.pointee.queue.head
        let segment = buffers.segment(buffer)
        connection.pointee.inKernel.insert(InKernel(.sendToBackend))
        ring.send(
            connection.pointee.descriptor, buffers.bytes(buffer) + Int(segment.pointee.offset),
            count: Int(segment.pointee.length), token: token(.sendToBackend, number))
    }

    // MARK: Under way

    /// A completion of the second connection that is no byte of an answer.
    mutating func hedgeProgressed(_ number: UInt32, _ operation: Operation, _ completion: Completion) {
        let connection = connections[number]
        if operation == .sendToBackend,
            completion.result >= 0 || completion.result == -EAGAIN || completion.result == -EINTR
        {
            let segment = buffers.segment(connection.pointee.queue.head)
            let count = UInt32(max(completion.result, 0))
            segment.pointee.offset += count
            segment.pointee.length -= count
            if segment.pointee.length > 0 {
                sendHedge(number)
            } else {
                buffers.drop(&connection.pointee.queue)
            }
            return
        }
        // Without an error the receive tells what is the matter.
        if operation == .watchBackend, !completion.isPollError { return }
        dropHedge(exchange(sessions[connection.pointee.session]))
    }

    // MARK: End

    /// The second connection is not needed, or failed. Closed and not kept: its answer may still come.
    mutating func dropHedge(_ exchange: UnsafeMutablePointer<Exchange>) {
        let number = exchange.pointee.hedge
        guard number != BackendConnection.none else { return }
        exchange.pointee.hedge = BackendConnection.none
        exchange.pointee.hedging = .lost
        counters.pointee.add(.hedgesLost)
        let connection = connections[number]
        connection.pointee.session = BackendConnection.none
        if !mutant(.hedgeNotReleased) { releaseHedged(connection) }
        if mutant(.hedgeLoserKept), connection.pointee.inKernel == InKernel(.receiveFromBackend) {
            connection.pointee.state = .idle
            idleConnections.add(number, connections)
            return
        }
        closeConnection(number)
    }

    /// The second connection becomes the session's, and the request's first one is closed. False where there is none.
    mutating func hedgeTakesOver(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        let number = exchange.pointee.hedge
        guard number != BackendConnection.none else { return false }
        let connection = connections[number]
        exchange.pointee.hedge = BackendConnection.none
        exchange.pointee.hedging = .won
        counters.pointee.add(.hedgesWon)
        dropConnection(slot, session)
        endTrial(session)
        // The place in the pool stays: it is one request all the same.
        session.pointee.pool.pointee.plan.pointee.candidates.release(Int(session.pointee.backend))
        session.pointee.backend = connection.pointee.backend
        session.pointee.connectedAt = 0
        keepHedgedRequest(connection, exchange)
        exchange.pointee.request.phase = .done
        exchange.pointee.isReused = true
        exchange.pointee.attachedAt = exchange.pointee.hedgedAt
        exchange.pointee.requestSentAt = connection.pointee.queue.isEmpty ? exchange.pointee.hedgedAt : 0
        session.pointee.toBackend.queue = connection.pointee.queue
        connection.pointee.queue = BufferQueue()
        attach(number, slot, session)
        setHTTPTimer(slot, session)
        return true
    }

    /// A copy that is not sent yet becomes what may be sent again, in place of the first one.
    private mutating func keepHedgedRequest(
        _ connection: UnsafeMutablePointer<BackendConnection>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        guard !connection.pointee.queue.isEmpty else { return }
        releaseReplay(exchange)
        exchange.pointee.replay = connection.pointee.queue.head
        buffers.segment(exchange.pointee.replay).pointee.isKept = true
    }

    /// The first byte of an answer came over the second connection.
    mutating func hedgeAnswers(_ number: UInt32) {
        let slot = connections[number].pointee.session
        let session = sessions[slot]
        let exchange = exchange(session)
        // It would have taken at least so long.
        observeLatency(session, since: exchange.pointee.requestSentAt)
        session.pointee.pool.pointee.latencies.observe(nanoseconds: now &- exchange.pointee.requestSentAt)
        _ = hedgeTakesOver(slot, session, exchange)
    }

    /// The first byte of an answer came: over the session's own connection, or over what has become that.
    mutating func noteHeadLatency(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        dropHedge(exchange)
        guard exchange.pointee.requestSentAt != 0 else { return }
        session.pointee.pool.pointee.latencies.observe(nanoseconds: now &- exchange.pointee.requestSentAt)
    }

    private func releaseHedged(_ connection: UnsafeMutablePointer<BackendConnection>) {
        connection.pointee.pool.pointee.plan.pointee.candidates
            .release(Int(connection.pointee.backend))
    }
}
