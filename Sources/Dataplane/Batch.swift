// Small requests of one turn that go to the same backend, sent together on one connection (`keep_alive.batch`). The
// first of them has an idle connection as always, but is sent only when the turn ends; others write theirs behind it
// into the same buffer and stand in the connection's queue. Answers come in that order (RFC 9112, section 9.3.2): when
// one is over, the connection is the next one's, with what came behind it.
//
//   attached, gathering -> sent -> (one answered: handed over to the next) ... -> idle
//                            |
//                            '-> failed, closed, or somebody left, or is slow: those behind are sent again, each on
//                                a connection of its own
//
// Nothing of their answers has come then, and they harm nobody when they are done twice.

import Base
import HTTP1
import Ring
import Telemetry

/// The connections that gather requests in this turn. One may stand here twice, or be gone: who sends looks.
struct Gathering: ~Copyable {
    /// When so many gather, the requests of others are sent at once.
    private static let limit = 64
    private let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: Gathering.limit)
    private(set) var count = 0

    deinit { numbers.deallocate() }

    subscript(index: Int) -> UInt32 { numbers[index] }

    /// False where there is no room.
    mutating func add(_ number: UInt32) -> Bool {
        guard count < Self.limit else { return false }
        numbers[count] = number
        count += 1
        return true
    }

    mutating func removeAll() { count = 0 }
}

extension Worker {
    /// A longer request is sent alone.
    private static var sharedRequestBytes: UInt32 { 2048 }
    /// Who waits so long behind others is sent again.
    static var longestBehindNanoseconds: UInt64 { 200_000_000 }
    /// How long nobody shares a connection afterwards: a backend that is slow must not have everything twice.
    private static var sharingPauseNanoseconds: UInt64 { 10_000_000_000 }

    // MARK: Together

    /// HEAD is left out: what a backend sends as its body all the same must not be read as the next one's answer.
    private func mayShare(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        (exchange.pointee.method == .get && exchange.pointee.request.framing == .none
            || mutant(.anythingShared))
            && exchange.pointee.replay != BufferRing.none
            && exchange.pointee.replayBytes <= Self.sharedRequestBytes && !exchange.pointee.wantsUpgrade
            && !exchange.pointee.goesAlone && session.pointee.trial == .noTrial
            && now >= session.pointee.pool.pointee.sharesFrom && !expectsBulk(session.pointee.pool)
            && !retryPlan(session, exchange).pointee.hedges
    }

    /// The session has an idle connection. True where its request waits for others until the turn ends.
    mutating func gather(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        guard exchange.pointee.isReused, mayShare(session, exchange),
            gathering.add(session.pointee.connection)
        else { return false }
        connections[session.pointee.connection].pointee.isGathering = true
        session.pointee.pool.pointee.gatherers[Int(session.pointee.backend)] = session.pointee.connection
        return true
    }

    /// Takes its place behind the request that gathers others for the session's backend; false where none does.
    mutating func standBehind(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Bool {
        guard session.pointee.isHTTP else { return false }
        let exchange = exchange(session)
        guard mayShare(session, exchange), let number = gatherer(session) else { return false }
        let connection = connections[number]
        let first = sessions[connection.pointee.session]
        guard append(exchange, to: first) else { return false }
        session.pointee.toBackend.queue = BufferQueue()
        session.pointee.behind = number
        session.pointee.nextBehind = BackendConnection.none
        if connection.pointee.firstBehind == BackendConnection.none {
            connection.pointee.firstBehind = slot
        } else if mutant(.behindInWrongOrder) {
            session.pointee.nextBehind = connection.pointee.firstBehind
            connection.pointee.firstBehind = slot
        } else {
            sessions[connection.pointee.lastBehind].pointee.nextBehind = slot
        }
        if !mutant(.behindInWrongOrder) || session.pointee.nextBehind == BackendConnection.none {
            connection.pointee.lastBehind = slot
        }
        connection.pointee.behindCount += 1
        counters.pointee.add(.requestsBatched)
        session.pointee.attempts += 1
        session.pointee.state = .relaying
        session.pointee.lastActivityAt = now
        exchange.pointee.isReused = true
        exchange.pointee.attachedAt = now
        exchange.pointee.requestSentAt = now
        setHTTPTimer(slot, session)
        if Int(connection.pointee.behindCount) + 1 == session.pointee.pool.pointee.plan.pointee.batch {
            connection.pointee.isGathering = false
            startSending(connection.pointee.session, first, .toBackend)
        }
        return true
    }

    /// The connection that gathers requests for the session's backend and may serve one more.
    private func gatherer(_ session: UnsafeMutablePointer<Session>) -> UInt32? {
        let pool = session.pointee.pool
        let number = pool.pointee.gatherers[Int(session.pointee.backend)]
        // It may have ended, and another have its slot.
        guard number != BackendConnection.none, connections.isLive(number) else { return nil }
        let connection = connections[number]
        guard connection.pointee.isGathering, connection.pointee.pool == pool,
            connection.pointee.backend == session.pointee.backend,
            Int(connection.pointee.requests) + Int(connection.pointee.behindCount) + 2
                <= pool.pointee.plan.pointee.requestsPerConnection
        else { return nil }
        return number
    }

    /// Writes the request behind what `first` will send; it keeps its own copy. False where there is no room.
    private mutating func append(
        _ exchange: UnsafeMutablePointer<Exchange>, to first: UnsafeMutablePointer<Session>
    ) -> Bool {
        let target = first.pointee.toBackend.queue.head
        guard target != BufferRing.none else { return false }
        let segment = buffers.segment(target)
        let end = Int(segment.pointee.offset + segment.pointee.length)
        let count = exchange.pointee.replayBytes
        guard end + Int(count) <= buffers.bufferSizeBytes else { return false }
        (buffers.bytes(target) + end).copyMemory(
            from: buffers.bytes(exchange.pointee.replay), byteCount: Int(count))
        segment.pointee.length += count
        // As one that was sent and is kept.
        buffers.segment(exchange.pointee.replay).pointee.length = 0
        return true
    }

    /// The turn ends: what was gathered goes out.
    mutating func sendGathered() {
        for index in 0..<gathering.count {
            let number = gathering[index]
            guard connections.isLive(number), connections[number].pointee.state == .attached else { continue }
            connections[number].pointee.isGathering = false
            let slot = connections[number].pointee.session
            guard sessions[slot].pointee.state == .relaying else { continue }
            startSending(slot, sessions[slot], .toBackend)
        }
        gathering.removeAll()
    }

    // MARK: One after the other

    /// Others stand behind the session, which has the connection.
    @inline(__always)
    func isShared(_ session: UnsafeMutablePointer<Session>) -> Bool {
        connections[session.pointee.connection].pointee.firstBehind != BackendConnection.none
    }

    /// The session's answer is over: the connection, with what has come behind that, is the next one's in its queue.
    /// False where the connection is not fit for it.
    mutating func handOver(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        let connection = connections[session.pointee.connection]
        let next = connection.pointee.firstBehind
        guard exchange.pointee.isBackendPersistent, session.pointee.toBackend.queue.isEmpty,
            session.pointee.inKernel.intersection(.ofBackend).isSubset(of: .quietConnection)
        else { return false }
        leaveStarved(slot, session, .toClient)
        let heir = sessions[next]
        if mutant(.leftoverDropped) { buffers.drop(&session.pointee.toClient.input) }
        heir.pointee.toClient.input = session.pointee.toClient.input
        session.pointee.toClient.input = BufferQueue()
        let number = detach(session)
        removeBehind(next, heir)
        connection.pointee.requests += 1
        connection.pointee.isHandedOver = true
        attach(number, next, heir)
        heir.pointee.lastActivityAt = now
        resume(next, heir, .toClient)
        return true
    }

    /// Reads what came behind an answer for those whose connection it is now. It may have ended meanwhile.
    @inline(__always)
    mutating func readBehind(_ number: UInt32) {
        if number != BackendConnection.none, connections[number].pointee.isHandedOver {
            readAll(behind: number)
        }
    }

    private mutating func readAll(behind number: UInt32) {
        while connections[number].pointee.isHandedOver {
            connections[number].pointee.isHandedOver = false
            let slot = connections[number].pointee.session
            let session = sessions[slot]
            readResponse(slot, session)
            if session.pointee.state != .closing, session.pointee.isHTTP {
                keepReceivingHTTP(slot, session, .toClient)
            }
        }
    }

    // MARK: Sent again

    /// Those behind the session that has the connection will not be answered there.
    mutating func sendBehindAgain(_ number: UInt32) {
        let connection = connections[number]
        connection.pointee.isGathering = false
        while connection.pointee.firstBehind != BackendConnection.none {
            if mutant(.behindForgotten) { return }
            connection.pointee.isTruncated = !mutant(.truncatedKept)
            let slot = connection.pointee.firstBehind
            removeBehind(slot, sessions[slot])
            sendAlone(slot, sessions[slot])
        }
    }

    /// An answer goes on that is long, or that its client does not take: nobody is to wait for its end.
    mutating func freeThoseBehind(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        guard isShared(session) else { return }
        let body = exchange.pointee.response
        if body.framing == .untilClose || session.pointee.toClient.queue.count > 1
            || body.framing == .length && body.remaining >= Self.bytesThatMakeBulk
        {
            sendBehindAgain(session.pointee.connection)
        }
    }

    /// The session waits for an answer no longer, where it stands behind others: theirs still come. Those behind it
    /// would get its answer, and are sent again.
    mutating func leaveBatch(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.behind != BackendConnection.none else { return }
        let connection = connections[session.pointee.behind]
        connection.pointee.isGathering = false
        connection.pointee.isTruncated = !mutant(.truncatedKept)
        while connection.pointee.lastBehind != slot {
            let last = connection.pointee.lastBehind
            removeBehind(last, sessions[last])
            sendAlone(last, sessions[last])
        }
        removeBehind(slot, session)
    }

    /// It stood behind others for too long.
    mutating func waitedBehind(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        session.pointee.pool.pointee.sharesFrom = now &+ Self.sharingPauseNanoseconds
        leaveBatch(slot, session)
        sendAlone(slot, session)
    }

    private mutating func sendAlone(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        counters.pointee.add(.requestsReplayed)
        exchange(session).pointee.requestSentAt = 0
        queueAgain(session, exchange(session))
        connectAgain(slot, session)
    }

    private func removeBehind(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let connection = connections[session.pointee.behind]
        let next = session.pointee.nextBehind
        var before = BackendConnection.none
        if connection.pointee.firstBehind == slot {
            connection.pointee.firstBehind = next
        } else {
            before = connection.pointee.firstBehind
            while sessions[before].pointee.nextBehind != slot { before = sessions[before].pointee.nextBehind }
            sessions[before].pointee.nextBehind = next
        }
        if connection.pointee.lastBehind == slot { connection.pointee.lastBehind = before }
        connection.pointee.behindCount -= 1
        session.pointee.behind = BackendConnection.none
        session.pointee.nextBehind = BackendConnection.none
    }
}
