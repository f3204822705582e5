// The response of an exchange: the backend's head is read and written anew for the client, its body follows. Also
// what happens when the backend fails: the request is sent again where that is safe, or the client gets an
// answer of ours, or a broken end where the response had begun.

import Base
import Glibc
import HTTP1
import Ring
import Routing
import Telemetry

extension Worker {
    /// Reads what the backend sent.
    mutating func readResponse(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let relay = session.relay(.toClient)
        while session.pointee.connection != BackendConnection.none, relay.pointee.input.count > 0 {
            let exchange = exchange(session)
            switch exchange.pointee.response.phase {
            case .head:
                guard readResponseHead(slot, session, exchange) else { return }
            case .body:
                guard passResponseBody(slot, session, exchange, behind: BufferRing.none) else { return }
                startSending(slot, session, .toClient)
                if exchange.pointee.response.phase == .body {
                    freeThoseBehind(session, exchange)
                    noteBody(slot, session, .toClient)
                    return
                }
            case .done, .dropped:
                responseReceived(slot, session)
                return
            }
            if !session.pointee.isHTTP { return }
        }
        if session.pointee.exchange != Exchange.none, session.pointee.connection != BackendConnection.none,
            exchange(session).pointee.response.phase == .done
        {
            responseReceived(slot, session)
        }
    }

    // MARK: Head

    /// False where there is nothing to go on with.
    private mutating func readResponseHead(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        let relay = session.relay(.toClient)
        let segment = buffers.segment(relay.pointee.input.head)
        let octets = (buffers.bytes(relay.pointee.input.head) + Int(segment.pointee.offset))
            .assumingMemoryBound(to: UInt8.self)
        let count = Int(segment.pointee.length)
        if exchange.pointee.firstByteAt == 0 {
            exchange.pointee.firstByteAt = now
            if exchange.pointee.requestSentAt != 0 {
                observeLatency(session, since: exchange.pointee.requestSentAt)
            }
            let plan = retryPlan(session, exchange)
            if plan.pointee.hedges { noteHeadLatency(session, exchange) }
            // Its status may be one to try again on.
            if plan.pointee.attempts == 0 { releaseReplay(exchange) }
        }
        switch exchange.pointee.scan.advance(octets, count: count, limits: http.limits) {
        case .incomplete: return joinInput(relay)
        case .refused(let refusal): badResponse(slot, session, exchange, refusal)
        case .complete(let length):
            do throws(Refusal) {
                let head = try ResponseHead.parse(
                    octets, count: count, length: length, limits: http.limits, into: http.fields,
                    method: mutant(.headGetsBody) ? .get : exchange.pointee.method,
                    wantsUpgrade: exchange.pointee.wantsUpgrade)
                return beginResponse(slot, session, exchange, octets, head)
            } catch {
                badResponse(slot, session, exchange, error)
            }
        }
        return false
    }

    private mutating func badResponse(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ refusal: Refusal
    ) {
        exchange.pointee.refusal = refusal.rawValue + 1
        noteBadResponse(session, refusal)
        fail(slot, session, 502, .badResponse)
    }

    /// False where the session is over, or a tunnel.
    private mutating func beginResponse(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ octets: UnsafePointer<UInt8>, _ head: ResponseHead
    ) -> Bool {
        let relay = session.relay(.toClient)
        if !head.isInterim { noteResponseHead(session, head) }
        if retryPlan(session, exchange).pointee.attempts > 0, !head.isInterim {
            if retry(slot, session, exchange, .status(head.status)) { return false }
            releaseReplay(exchange)
        }
        exchange.pointee.scan = HeadScan()
        // Each takes a buffer: more of them wait until the client has taken these.
        if head.isInterim, relay.pointee.queue.count >= queueLimit { return false }
        // HTTP/1.0 has no interim responses (RFC 9110, section 15.2).
        if head.isInterim, exchange.pointee.minorVersion == 0 {
            consumeInput(relay, Int(head.length))
            return true
        }
        guard let buffer = buffers.takeSpare() else {
            fail(slot, session, 503, .overloaded)
            return false
        }
        if !head.isInterim { prepareResponse(session, exchange, head) }
        var writer = HeadWriter(
            buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self), capacity: buffers.bufferSizeBytes)
        writeResponse(&writer, session, exchange, octets, head)
        guard !writer.hasOverflowed else {
            buffers.giveBack(buffer)
            badResponse(slot, session, exchange, .headTooLarge)
            return false
        }
        buffers.segment(buffer).pointee.length = UInt32(writer.count)
        consumeInput(relay, Int(head.length))
        if head.isInterim {
            enqueue(buffer, relay)
            startSending(slot, session, .toClient)
            return true
        }
        exchange.pointee.hasAnswered = true
        exchange.pointee.status = head.status
        if head.status == 101 {
            enqueue(buffer, relay)
            beginTunnel(slot, session, exchange)
            return false
        }
        return sendResponse(slot, session, exchange, buffer)
    }

    /// Sends the head with what came of the body.
    private mutating func sendResponse(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ buffer: UInt16
    ) -> Bool {
        let relay = session.relay(.toClient)
        // An interim response may be under way: then the body follows the head in buffers of its own.
        let isFirst = relay.pointee.queue.isEmpty
        if !isFirst { enqueue(buffer, relay) }
        guard passResponseBody(slot, session, exchange, behind: isFirst ? buffer : BufferRing.none) else {
            if isFirst { buffers.giveBack(buffer) }
            return false
        }
        if isFirst { buffers.prepend(buffer, to: &relay.pointee.queue) }
        startSending(slot, session, .toClient)
        if exchange.pointee.response.phase == .done {
            responseReceived(slot, session)
            return false
        }
        freeThoseBehind(session, exchange)
        noteBody(slot, session, .toClient)
        return session.pointee.state == .relaying
    }

    /// How the body will be framed, and whether the client's connection goes on.
    private mutating func prepareResponse(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ head: ResponseHead
    ) {
        exchange.pointee.isBackendPersistent = head.isPersistent
        if head.status == 101 {
            exchange.pointee.response.phase = .done
            return
        }
        exchange.pointee.response.begin(head.framing)
        noteLength(exchange.pointee.response, session.pointee.pool)
        let isOld = exchange.pointee.minorVersion == 0
        switch head.framing {
        case .chunked:
            exchange.pointee.response.mode =
                isOld ? .identity : exchange.pointee.acceptsTrailers ? .rechunkWithTrailers : .rechunk
            if isOld { exchange.pointee.isPersistent = false }
        case .untilClose:
            exchange.pointee.response.mode = isOld ? .identity : .rechunk
            if isOld { exchange.pointee.isPersistent = false }
        case .none, .length: break
        }
        // The rest of an upload that was answered early is not waited for.
        if exchange.pointee.request.phase != .done || isLeaving(session) || asksNoMore(session) {
            exchange.pointee.isPersistent = false
        }
    }

    // MARK: Body

    /// False where the exchange failed by it.
    private mutating func passResponseBody(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        behind buffer: UInt16
    ) -> Bool {
        var taken: UInt64 = 0
        switch passBody(session.relay(.toClient), &exchange.pointee.response, behind: buffer, &taken) {
        case .goesOn: return true
        case .refused(let refusal):
            exchange.pointee.refusal = refusal.rawValue + 1
            noteBadResponse(session, refusal)
            breakResponse(slot, session, .badResponse)
        case .noBuffer: breakResponse(slot, session, .overloaded)
        }
        return false
    }

    /// The backend has said all of the response: its connection is free, where nothing else hangs on it.
    mutating func responseReceived(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let exchange = exchange(session)
        let relay = session.relay(.toClient)
        forgetSwitch(relay)
        noteWholeResponse(session, exchange)
        if session.pointee.connection != BackendConnection.none,
            !(isShared(session) && handOver(slot, session, exchange))
        {
            let isClean =
                (exchange.pointee.request.phase == .done || mutant(.parkedBeforeSent))
                && session.pointee.toBackend.queue.isEmpty && session.pointee.toBackend.pipedBytes == 0
                && (relay.pointee.input.isEmpty || mutant(.parkedWithBytes))
                && exchange.pointee.isBackendPersistent
            buffers.drop(&relay.pointee.input)
            releaseCandidate(session)
            if isClean {
                parkConnection(slot, session)
            } else {
                stopRequest(session, exchange)
                dropConnection(slot, session)
            }
        }
        if relay.pointee.queue.isEmpty, relay.pointee.pipedBytes == 0, !session.isInKernel(.sendToClient) {
            finishExchange(slot, session)
        }
    }

    /// The rest of a request goes nowhere.
    private mutating func stopRequest(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if exchange.pointee.request.phase == .body { exchange.pointee.request.phase = .dropped }
        let relay = session.relay(.toBackend)
        leavePipe(relay)
        relay.pointee.phase = .copying
        relay.pointee.waitsForTimer = false
    }

    // MARK: Tunnels

    /// Both sides speak another protocol from here on: the session goes on as one of tcp mode.
    private mutating func beginTunnel(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        session.pointee.isHTTP = false
        exchange.pointee.isUpgraded = true
        // It may last for days, and is not tried again.
        releaseRetry(session, exchange)
        exchange.pointee.bytesInBefore =
            session.pointee.toBackend.received - heldBytes(session.relay(.toBackend))
        for direction in Direction.allCases {
            let relay = session.relay(direction)
            relay.pointee.phase = .copying
            while relay.pointee.input.count > 0 {
                let buffer = buffers.removeFirst(from: &relay.pointee.input)
                if buffers.segment(buffer).pointee.length == 0 {
                    buffers.giveBack(buffer)
                } else {
                    enqueue(buffer, relay)
                }
            }
            startSending(slot, session, direction)
        }
        timers.clear(slot)
        setIdleTimer(slot, session)
        for direction in Direction.allCases {
            if session.pointee.hasClientEnded, direction == .toBackend {
                inputEnded(slot, session, direction)
            } else {
                resume(slot, session, direction)
            }
        }
    }

    /// Received and not passed on.
    private func heldBytes(_ relay: UnsafeMutablePointer<Relay>) -> UInt64 {
        var bytes: UInt64 = 0
        var buffer = relay.pointee.input.head
        while buffer != BufferRing.none {
            bytes += UInt64(buffers.segment(buffer).pointee.length)
            buffer = buffers.segment(buffer).pointee.next
        }
        return bytes
    }

    // MARK: Failures of the backend

    mutating func responseInputEnded(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.exchange != Exchange.none else { return }
        let exchange = exchange(session)
        let relay = session.relay(.toClient)
        if exchange.pointee.response.phase == .body, exchange.pointee.response.framing == .untilClose,
            session.isInKernel(.sendToBackend), !mutant(.brokenEndLooksWhole)
        {
            exchange.pointee.isEndDue = true
            return
        }
        // Where the request failed this may be a reset, whose error the failing send took.
        guard exchange.pointee.response.phase == .body,
            exchange.pointee.response.framing == .untilClose || mutant(.brokenEndLooksWhole),
            exchange.pointee.request.phase != .dropped
        else {
            backendFailed(slot, session, .backendClosed)
            return
        }
        exchange.pointee.response.phase = .done
        if exchange.pointee.response.mode != .identity, !endWrapped(relay) {
            breakResponse(slot, session, .overloaded)
            return
        }
        startSending(slot, session, .toClient)
        responseReceived(slot, session)
    }

    /// The backend takes no more of the request, but may have answered already, as servers do that close with an
    /// upload unread: reading goes on, and ends soon.
    mutating func requestUndeliverable(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.exchange != Exchange.none, session.pointee.connection != BackendConnection.none
        else { return }
        let exchange = exchange(session)
        exchange.pointee.request.phase = .dropped
        stopRequest(session, exchange)
        if !session.isInKernel(.sendToBackend) { dropRequest(session, exchange) }
        if exchange.pointee.isEndDue {
            exchange.pointee.isEndDue = false
            backendFailed(slot, session, .backendReset)
            return
        }
        if exchange.pointee.requestSentAt == 0 { exchange.pointee.requestSentAt = now }
        resume(slot, session, .toClient)
        setHTTPTimer(slot, session)
    }

    /// What was not sent of the request goes; a buffer that is kept is in no queue then, as one that was sent.
    private mutating func dropRequest(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        dropQueue(session.relay(.toBackend))
        if exchange.pointee.replay != BufferRing.none {
            buffers.segment(exchange.pointee.replay).pointee.length = 0
        }
    }

    /// The backend's connection is of no use any more.
    mutating func backendFailed(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason
    ) {
        guard session.pointee.exchange != Exchange.none else { return }
        let exchange = exchange(session)
        if exchange.pointee.response.phase == .done {
            responseReceived(slot, session)
        } else if exchange.pointee.hedge != BackendConnection.none {
            // A kept connection may end unanswered; that a new one does is a fault.
            if !canReplay(exchange) {
                noteUnanswered(session, exchange)
                noteBrokenResponse(session, exchange, reason)
            }
            _ = hedgeTakesOver(slot, session, exchange)
        } else if canReplay(exchange), prepareReplay(session, exchange) {
            replay(slot, session, exchange)
            counters.pointee.add(.requestsReplayed)
            connectAgain(slot, session)
        } else {
            noteUnanswered(session, exchange)
            noteBrokenResponse(session, exchange, reason)
            if !retry(slot, session, exchange, .reset) { fail(slot, session, 502, reason) }
        }
    }

    /// The backend has a request and will not answer it.
    func noteUnanswered(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if exchange.pointee.requestSentAt != 0, exchange.pointee.firstByteAt == 0 {
            observeFailure(session, since: exchange.pointee.requestSentAt)
        }
    }

    /// A kept connection that the backend closed while the request was on its way: the backend has not answered it,
    /// and would do no harm if it did it twice (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
    private func canReplay(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        exchange.pointee.isReused && exchange.pointee.replay != BufferRing.none
            && exchange.pointee.firstByteAt == 0
    }

    /// Sees to it that the kept buffer is ours alone: where its send is under way, a copy takes its place. False where
    /// there is no buffer for that.
    mutating func prepareReplay(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        guard session.isInKernel(.sendToBackend) else {
            // Where its send failed it is still queued; it is kept, so that this does not give it back.
            buffers.drop(&session.pointee.toBackend.queue)
            return true
        }
        guard let copy = buffers.takeSpare() else { return false }
        let original = exchange.pointee.replay
        buffers.bytes(copy).copyMemory(
            from: buffers.bytes(original), byteCount: Int(exchange.pointee.replayBytes))
        // It goes with its connection.
        buffers.segment(original).pointee.isKept = false
        buffers.segment(copy).pointee.isKept = true
        exchange.pointee.replay = copy
        return true
    }

    /// The request stands in the queue again, whole, and has no connection.
    mutating func replay(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        leaveBatch(slot, session)
        if session.pointee.connection != BackendConnection.none { dropConnection(slot, session) }
        exchange.pointee.request.phase = .done
        queueAgain(session, exchange)
    }

    mutating func queueAgain(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let segment = buffers.segment(exchange.pointee.replay)
        segment.pointee.offset = 0
        segment.pointee.length = exchange.pointee.replayBytes
        enqueue(exchange.pointee.replay, session.relay(.toBackend))
        exchange.pointee.isReused = false
        exchange.pointee.goesAlone = true
    }

    /// The exchange cannot go on: the client gets an answer of ours, or a broken end where the response has begun.
    mutating func fail(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ status: UInt16, _ reason: Reason
    ) {
        let exchange = exchange(session)
        if exchange.pointee.hasAnswered {
            breakResponse(slot, session, reason)
            return
        }
        stopRequest(session, exchange)
        dropHedge(exchange)
        leaveBatch(slot, session)
        releaseReplay(exchange)
        releaseCandidate(session)
        let relay = session.relay(.toClient)
        buffers.drop(&relay.pointee.input)
        if session.pointee.connection != BackendConnection.none { dropConnection(slot, session) }
        buffers.drop(&session.pointee.toBackend.queue)
        answer(slot, session, status, reason)
    }

    /// The response has begun and will not end well: what came of it is delivered, and the client's connection reset
    /// behind it, so that nothing looks whole.
    private mutating func breakResponse(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason
    ) {
        let exchange = exchange(session)
        exchange.pointee.reason = reason
        stopRequest(session, exchange)
        releaseReplay(exchange)
        let relay = session.relay(.toClient)
        buffers.drop(&relay.pointee.input)
        if session.pointee.connection != BackendConnection.none { dropConnection(slot, session) }
        buffers.drop(&session.pointee.toBackend.queue)
        exchange.pointee.request.phase = .dropped
        session.pointee.lostSide = .backend
        session.pointee.lastActivityAt = now
        session.pointee.toBackend.phase = .ended
        relay.pointee.phase = .ending
        if relay.pointee.queue.isEmpty, relay.pointee.pipedBytes == 0 {
            passOnEnd(slot, session, .toClient)
        } else {
            startSending(slot, session, .toClient)
            setHTTPTimer(slot, session)
        }
    }
}
