// A client's connection in http mode: it waits for a request, serves it, and waits for the next one. Received
// buffers stand in a relay's `input` until they are understood; what goes out stands in its `queue`, as in tcp
// mode. HTTPRequest.swift and HTTPResponse.swift follow the two messages of an exchange.

import Base
import Glibc
import HTTP1
import Ring
import Telemetry

extension Worker {
    /// How long a client has to take the last answer and close, once Weir has said all.
    private static var lingerNanoseconds: UInt64 { 5_000_000_000 }
    /// When Weir drains, a request may be on its way: how long a connection waits for its first one, and for its next
    /// one. It is answered with `Connection: close`.
    private static var firstRequestNanoseconds: UInt64 { 5_000_000_000 }
    private static var lastRequestNanoseconds: UInt64 { 1_000_000_000 }
    /// A request body may be slow, but not slower than this on the whole (bytes a second).
    private static var leastBodyRate: UInt64 { 500 }

    func httpPlan(_ session: UnsafeMutablePointer<Session>) -> UnsafePointer<HTTPPlan> {
        listenerPlan(session).pointee.http.unsafelyUnwrapped
    }

    func exchange(_ session: UnsafeMutablePointer<Session>) -> UnsafeMutablePointer<Exchange> {
        exchanges[session.pointee.exchange]
    }

    // MARK: Between requests

    mutating func beginHTTP(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        session.pointee.isHTTP = true
        session.pointee.connectedAt = now
        // The first request's head is to come in its time from here on.
        session.pointee.headStartedAt = now
        awaitRequest(slot, session)
    }

    private mutating func awaitRequest(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        session.pointee.state = .awaiting
        session.pointee.lastActivityAt = now
        session.pointee.headScan = HeadScan()
        if session.pointee.toBackend.input.count > 0 {
            readRequest(slot, session)
        } else if session.pointee.hasClientEnded || (hasLostListener(session) && session.pointee.requests > 0)
        {
            finish(slot, session, .ok)
        } else {
            if !session.isInKernel(.receiveFromClient) { resume(slot, session, .toBackend) }
            setHTTPTimer(slot, session)
        }
    }

    /// The client has ended, and all that it asked before has begun.
    func asksNoMore(_ session: UnsafeMutablePointer<Session>) -> Bool {
        session.pointee.hasClientEnded
            && (session.pointee.toBackend.input.isEmpty || mutant(.pipelinedStopAtHalfClose))
    }

    /// Weir drains: a client that asks nothing is not waited for much longer.
    mutating func endAwaiting() {
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            let session = sessions[slot]
            guard session.pointee.state == .awaiting, session.pointee.toBackend.input.isEmpty else {
                continue
            }
            // From now on its patience counts, unless its time would be over before that.
            let keepAlive = httpPlan(session).pointee.keepAliveTimeoutNanoseconds
            let left = keepAlive - min(keepAlive, Self.lastRequestNanoseconds)
            let isKept = session.pointee.headStartedAt == 0
            session.pointee.lastActivityAt = isKept ? min(now, session.pointee.lastActivityAt &+ left) : now
            setHTTPTimer(slot, session)
        }
        closeIdleConnections()
    }

    // MARK: Receiving

    /// A buffer with bytes came.
    mutating func httpReceived(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ buffer: UInt16
    ) {
        buffers.append(buffer, to: &session.relay(direction).pointee.input)
        if direction == .toClient {
            let number = session.pointee.connection
            readResponse(slot, session)
            readBehind(number)
        } else {
            readFromClient(slot, session)
        }
        if session.pointee.state != .closing, session.pointee.isHTTP {
            keepReceivingHTTP(slot, session, direction)
        }
    }

    private mutating func readFromClient(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        switch session.pointee.state {
        case .awaiting: readRequest(slot, session)
        case .relaying: readRequestBody(slot, session)
        case .lingering: buffers.drop(&session.pointee.toBackend.input)
        // The next request, or the rest of this one, waits for its turn.
        case .connecting, .closing: break
        }
    }

    mutating func keepReceivingHTTP(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        // Nothing is there to be received before a connection is: not from a backend that is tried next.
        if direction == .toClient,
            session.pointee.state != .relaying || session.pointee.connection == BackendConnection.none
        {
            return
        }
        if session.relay(direction).pointee.phase != .copying { return }
        keepReceiving(slot, session, direction)
    }

    /// The first input buffer gets what fits of the second: a head, and a trailer section, are to lie in one. False
    /// where there is no second one.
    mutating func joinInput(_ relay: UnsafeMutablePointer<Relay>) -> Bool {
        guard relay.pointee.input.count > 1 else { return false }
        let first = buffers.segment(relay.pointee.input.head)
        let second = buffers.segment(first.pointee.next)
        let memory = buffers.bytes(relay.pointee.input.head)
        if first.pointee.offset > 0 {
            memmove(memory, memory + Int(first.pointee.offset), Int(first.pointee.length))
            first.pointee.offset = 0
        }
        let room = UInt32(buffers.bufferSizeBytes) - first.pointee.length
        let count = min(room, second.pointee.length)
        guard count > 0 else { return false }
        (memory + Int(first.pointee.length)).copyMemory(
            from: buffers.bytes(first.pointee.next) + Int(second.pointee.offset), byteCount: Int(count))
        first.pointee.length += count
        second.pointee.offset += count
        second.pointee.length -= count
        if second.pointee.length == 0 { removeSecondInput(relay) }
        return true
    }

    private mutating func removeSecondInput(_ relay: UnsafeMutablePointer<Relay>) {
        let first = buffers.removeFirst(from: &relay.pointee.input)
        let second = buffers.removeFirst(from: &relay.pointee.input)
        buffers.giveBack(second)
        // Before those that are left.
        let rest = relay.pointee.input
        relay.pointee.input = BufferQueue()
        buffers.append(first, to: &relay.pointee.input)
        if rest.count > 0 {
            buffers.segment(first).pointee.next = rest.head
            relay.pointee.input.tail = rest.tail
            relay.pointee.input.count += rest.count
        }
    }

    /// So many bytes of the first input buffer are dealt with.
    mutating func consumeInput(_ relay: UnsafeMutablePointer<Relay>, _ count: Int) {
        let segment = buffers.segment(relay.pointee.input.head)
        segment.pointee.offset += UInt32(count)
        segment.pointee.length -= UInt32(count)
        if segment.pointee.length == 0 {
            let buffer = buffers.removeFirst(from: &relay.pointee.input)
            buffers.giveBack(buffer)
        }
    }

    /// One side sends no more.
    mutating func httpInputEnded(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if direction == .toClient {
            responseInputEnded(slot, session)
            return
        }
        session.pointee.hasClientEnded = true
        switch session.pointee.state {
        case .awaiting:
            if session.pointee.toBackend.input.isEmpty {
                finish(slot, session, .ok)
            } else {
                endedInHead(slot, session)
            }
        case .relaying:
            // Half-closed after a whole request, or one that is not read on: it gets its answer.
            if exchange(session).pointee.request.phase == .body { finishReset(slot, session, .clientClosed) }
        case .lingering: finish(slot, session, .ok)
        // What came of the body is looked at when the backend is there.
        case .connecting, .closing: break
        }
    }

    /// A request's head will not come whole.
    mutating func endedInHead(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        beginRefused(slot, session, reason: .clientClosed)
        finish(slot, session, .clientClosed)
    }

    /// A read failed: this side has no more to say.
    mutating func httpSourceBroke(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if direction == .toBackend {
            clientFailed(slot, session)
        } else {
            backendFailed(slot, session, .backendReset)
        }
    }

    /// A write to one side failed, or a watch says that it is in error.
    mutating func httpSideFailed(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ side: LostSide
    ) {
        if side == .client {
            clientFailed(slot, session)
        } else {
            requestUndeliverable(slot, session)
        }
    }

    private mutating func clientFailed(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        finish(slot, session, session.pointee.state == .lingering ? .ok : .clientReset)
    }

    // MARK: Sending

    /// Sends what is queued, unless a send is under way.
    mutating func startSending(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if session.relay(direction).pointee.queue.count > 0, !session.isInKernel(.send(direction)) {
            sendNext(slot, session, direction)
        }
    }

    /// Bytes are out; nothing of them is left in the queue where `isEmpty`.
    mutating func httpSent(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        if direction == .toBackend, session.pointee.exchange != Exchange.none,
            exchange(session).pointee.isEndDue
        {
            exchange(session).pointee.isEndDue = false
            responseInputEnded(slot, session)
            return
        }
        if relay.pointee.queue.count > 0 {
            sendNext(slot, session, direction)
        } else if direction == .toClient {
            if session.pointee.lostSide != .none {
                passOnEnd(slot, session, .toClient)
                return
            }
            if session.pointee.exchange != Exchange.none, exchange(session).pointee.response.phase == .done {
                finishExchange(slot, session)
                return
            }
        } else {
            requestSent(slot, session)
        }
        guard session.pointee.state == .relaying else { return }
        if direction == .toClient {
            // The backend's connection may be free already.
            if session.pointee.connection == BackendConnection.none { return }
            // An interim response may have waited for room.
            if exchange(session).pointee.response.phase == .head, session.pointee.toClient.input.count > 0 {
                let number = session.pointee.connection
                readResponse(slot, session)
                readBehind(number)
                if session.pointee.state != .relaying || !session.pointee.isHTTP { return }
                keepReceivingHTTP(slot, session, direction)
                return
            }
        }
        resume(slot, session, direction)
    }

    // MARK: The end of an exchange

    /// The response is with the client's kernel, all of it.
    mutating func finishExchange(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let exchange = exchange(session)
        let isBroken = exchange.pointee.request.phase != .done
        let goesOn = exchange.pointee.isPersistent && !isBroken
        let mayBeSending = isBroken || exchange.pointee.mayBeFollowed
        endExchange(slot, session, exchange.pointee.reason)
        if goesOn {
            session.pointee.headStartedAt = session.pointee.toBackend.input.isEmpty ? 0 : now
            awaitRequest(slot, session)
        } else if mayBeSending || !session.pointee.toBackend.input.isEmpty {
            linger(slot, session)
        } else {
            finish(slot, session, .ok)
        }
    }

    /// The exchange is over, well or not: it is recorded, and gives back all that it has.
    mutating func endExchange(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason
    ) {
        let number = session.pointee.exchange
        guard number != Exchange.none else { return }
        let exchange = exchanges[number]
        if exchange.pointee.reason == .ok { exchange.pointee.reason = reason }
        releaseReplay(exchange)
        releaseRetry(session, exchange)
        forgetSwitch(session.relay(.toBackend))
        forgetSwitch(session.relay(.toClient))
        if session.pointee.connection != BackendConnection.none, session.pointee.isHTTP {
            dropConnection(slot, session)
        }
        recordExchange(session, exchange)
        if mutant(.loggedTwice), exchange.pointee.status == 502 { recordExchange(session, exchange) }
        releaseCandidate(session)
        countExchange(exchange)
        tallyExchange(session, exchange)
        session.pointee.exchange = Exchange.none
        followReload(session)
        if mutant(.exchangeLeaked), reason == .clientReset { return }
        exchanges.release(number)
    }

    func countExchange(_ exchange: UnsafeMutablePointer<Exchange>) {
        counters.pointee.add(.requests)
        switch exchange.pointee.status {
        case 100..<200: counters.pointee.add(.responses1xx)
        case 200..<300: counters.pointee.add(.responses2xx)
        case 300..<400: counters.pointee.add(.responses3xx)
        case 400..<500: counters.pointee.add(.responses4xx)
        case 500...: counters.pointee.add(.responses5xx)
        default: counters.pointee.add(.requestsUnanswered)
        }
    }

    /// The request will not be sent again.
    mutating func releaseReplay(_ exchange: UnsafeMutablePointer<Exchange>) {
        let buffer = exchange.pointee.replay
        guard buffer != BufferRing.none else { return }
        exchange.pointee.replay = BufferRing.none
        let segment = buffers.segment(buffer)
        segment.pointee.isKept = false
        if mutant(.keptRequestLost) { return }
        // One that is still queued goes when it is sent.
        if segment.pointee.length == 0 { buffers.giveBack(buffer) }
    }

    /// All is said, but the client may be sending: closing now would reset it, and it might lose the answer.
    private mutating func linger(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        buffers.drop(&session.pointee.toBackend.input)
        if session.pointee.hasClientEnded || mutant(.closedBehindAnswer) {
            finish(slot, session, .ok)
            return
        }
        session.pointee.state = .lingering
        session.pointee.lastActivityAt = now
        _ = settings.port.shutdown(
            settings.port.context, session.pointee.clientDescriptor, Int32(SHUT_WR))
        if !session.isInKernel(.receiveFromClient) { resume(slot, session, .toBackend) }
        setHTTPTimer(slot, session)
    }

    // MARK: Time

    /// The timer fires no later than the next deadline; where it finds none due, it is set anew.
    mutating func setHTTPTimer(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        timers.setNoLater(slot, deadline: httpDeadline(session))
    }

    private func httpDeadline(_ session: UnsafeMutablePointer<Session>) -> UInt64 {
        let plan = httpPlan(session)
        if session.pointee.lostSide != .none { return lastWordsDeadline(session) }
        switch session.pointee.state {
        case .awaiting:
            if mutant(.headDeadlineProlonged) {
                return session.pointee.lastActivityAt &+ plan.pointee.requestHeadTimeoutNanoseconds
            }
            return awaitingDeadline(session, plan)
        case .lingering: return session.pointee.lastActivityAt &+ Self.lingerNanoseconds
        case .relaying: return relayingDeadline(session, plan)
        case .connecting, .closing: return UInt64.max
        }
    }

    private func awaitingDeadline(
        _ session: UnsafeMutablePointer<Session>, _ plan: UnsafePointer<HTTPPlan>
    ) -> UInt64 {
        let deadline =
            session.pointee.headStartedAt != 0
            ? session.pointee.headStartedAt &+ plan.pointee.requestHeadTimeoutNanoseconds
            : session.pointee.lastActivityAt &+ plan.pointee.keepAliveTimeoutNanoseconds
        guard isLeaving(session), session.pointee.toBackend.input.isEmpty else { return deadline }
        let patience =
            session.pointee.requests == 0 ? Self.firstRequestNanoseconds : Self.lastRequestNanoseconds
        return min(deadline, session.pointee.lastActivityAt &+ patience)
    }

    private func relayingDeadline(
        _ session: UnsafeMutablePointer<Session>, _ plan: UnsafePointer<HTTPPlan>
    ) -> UInt64 {
        let exchange = exchange(session)
        let listener = listenerPlan(session)
        let idle = session.pointee.lastActivityAt &+ listener.pointee.idleTimeoutNanoseconds
        if waitsForRequestBody(session, exchange) {
            let bodyIdle = plan.pointee.requestBodyIdleTimeoutNanoseconds
            let slowest = exchange.pointee.bytesIn / Self.leastBodyRate &* 1_000_000_000
            return min(
                session.pointee.lastActivityAt &+ bodyIdle, exchange.pointee.attachedAt &+ bodyIdle &+ slowest
            )
        }
        if waitsForResponseHead(exchange) {
            let retries = retryPlan(session, exchange)
            var longest = min(
                plan.pointee.responseHeadTimeoutNanoseconds, retries.pointee.perTryNanoseconds)
            if session.pointee.behind != BackendConnection.none {
                longest = min(longest, Self.longestBehindNanoseconds)
            }
            return min(
                exchange.pointee.requestSentAt &+ longest, hedgeDeadline(session, exchange, retries))
        }
        return idle
    }

    private func waitsForRequestBody(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) -> Bool {
        exchange.pointee.request.phase == .body && exchange.pointee.response.phase == .head
            && session.pointee.toBackend.queue.isEmpty && session.pointee.toBackend.pipedBytes == 0
    }

    private func waitsForResponseHead(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        exchange.pointee.response.phase == .head && exchange.pointee.requestSentAt != 0
            && !mutant(.responseHeadAwaitedForEver)
    }

    mutating func httpTimerFired(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard retryRoom(slot, session) else { return }
        guard now >= httpDeadline(session) else {
            setHTTPTimer(slot, session)
            return
        }
        if session.pointee.lostSide != .none {
            finishReset(slot, session, session.pointee.lostSide.reason)
            return
        }
        switch session.pointee.state {
        case .awaiting:
            if session.pointee.toBackend.input.isEmpty {
                finish(slot, session, isLeaving(session) ? .ok : .idleTimeout)
            } else {
                beginRefused(slot, session, reason: .requestHeadTimeout)
                answer(slot, session, 408, .requestHeadTimeout)
            }
        case .lingering: finish(slot, session, .ok)
        case .relaying: exchangeTimedOut(slot, session, exchange(session))
        case .connecting, .closing: break
        }
    }

    private mutating func exchangeTimedOut(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if waitsForRequestBody(session, exchange) {
            fail(slot, session, 408, .requestBodyTimeout)
        } else if session.pointee.behind != BackendConnection.none {
            waitedBehind(slot, session)
        } else if waitsForResponseHead(exchange) {
            if now >= hedgeDeadline(session, exchange, retryPlan(session, exchange)) {
                hedge(slot, session, exchange)
                setHTTPTimer(slot, session)
                return
            }
            noteUnanswered(session, exchange)
            noteFault(session, .timeout)
            if hedgeTakesOver(slot, session, exchange) { return }
            if retry(slot, session, exchange, .timeout) { return }
            fail(slot, session, 504, .responseHeadTimeout)
        } else {
            fail(slot, session, 504, .idleTimeout)
        }
    }
}
