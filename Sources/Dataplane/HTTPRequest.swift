// The request of an exchange: its head is read, routed, and written anew for the backend; its body follows.
//
//   head -> route -> (redirect, fixed answer) or (pool -> connection) -> body -> done

import Balancing
import Base
import Glibc
import HTTP1
import Ring
import Routing
import Telemetry

extension Worker {
    // MARK: Head

    /// Looks for a whole head in what the client sent.
    mutating func readRequest(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let relay = session.relay(.toBackend)
        while true {
            let segment = buffers.segment(relay.pointee.input.head)
            let octets = (buffers.bytes(relay.pointee.input.head) + Int(segment.pointee.offset))
                .assumingMemoryBound(to: UInt8.self)
            let count = Int(segment.pointee.length)
            switch session.pointee.headScan.advance(octets, count: count, limits: http.limits) {
            case .incomplete:
                if joinInput(relay) { continue }
                if session.pointee.hasClientEnded {
                    endedInHead(slot, session)
                    return
                }
                // Receiving may have been stopped by what was pipelined before it.
                resume(slot, session, .toBackend)
                if session.pointee.headStartedAt == 0 { session.pointee.headStartedAt = now }
                setHTTPTimer(slot, session)
                if !session.isInKernel(.receiveFromClient) { resume(slot, session, .toBackend) }
                return
            case .refused(let refusal):
                refuse(slot, session, refusal)
                return
            case .complete(let length):
                beginExchange(slot, session, octets, count: count, length: length)
                return
            }
        }
    }

    private mutating func beginExchange(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ octets: UnsafePointer<UInt8>, count: Int,
        length: Int
    ) {
        let head: RequestHead
        do throws(Refusal) {
            head = try RequestHead.parse(
                octets, count: count, length: length, limits: http.limits, into: http.fields)
        } catch {
            refuse(slot, session, error)
            return
        }
        guard let exchange = addExchange(session) else {
            finish(slot, session, .overloaded)
            return
        }
        exchange.pointee.method = head.method
        exchange.pointee.minorVersion = head.minorVersion
        exchange.pointee.isPersistent = head.isPersistent
        exchange.pointee.mayBeFollowed = head.isPersistent
        exchange.pointee.wantsUpgrade = head.wantsUpgrade
        exchange.pointee.acceptsTrailers = head.acceptsTrailers
        exchange.pointee.bytesIn = UInt64(length)
        exchange.pointee.request.begin(head.framing)
        keepText(session, exchange, octets, head)
        if case .length(let count) = head.framing, count > httpPlan(session).pointee.bodyLimitBytes {
            consumeHead(session, head)
            answer(slot, session, 413, .bodyTooLarge)
            return
        }
        route(slot, session, exchange, octets, head)
    }

    /// An exchange for a request whose head cannot be used, or has not come.
    mutating func beginRefused(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, reason: Reason, refusal: Refusal? = nil
    ) {
        guard let exchange = addExchange(session) else { return }
        exchange.pointee.reason = reason
        if let refusal { exchange.pointee.refusal = refusal.rawValue + 1 }
        exchange.pointee.bytesIn = UInt64(
            buffers.segment(session.pointee.toBackend.input.head).pointee.length)
        exchange.pointee.request.phase = .dropped
    }

    private mutating func refuse(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ refusal: Refusal
    ) {
        beginRefused(slot, session, reason: .badRequest, refusal: refusal)
        answer(slot, session, refusal.status, .badRequest)
    }

    private mutating func addExchange(
        _ session: UnsafeMutablePointer<Session>
    ) -> UnsafeMutablePointer<Exchange>? {
        guard let number = exchanges.allocate() else { return nil }
        let exchange = exchanges[number]
        exchange.pointee = Exchange()
        nextIdentifier &+= 1
        // One to one, so that no two of a worker are alike, and without the look of a sequence.
        exchange.pointee.identifier = nextIdentifier &* 0x9E37_79B9_7F4A_7C15
        exchange.pointee.startedAt = session.pointee.headStartedAt != 0 ? session.pointee.headStartedAt : now
        if session.pointee.requests == 0 { exchange.pointee.startedAt = now }
        exchange.pointee.bytesOutBefore = session.pointee.toClient.delivered
        session.pointee.exchange = number
        session.pointee.requests += 1
        session.pointee.attempts = 0
        session.pointee.waitedMicroseconds = 0
        session.pointee.pendingSince = 0
        session.pointee.sequence = CandidateSequence()
        session.pointee.connectFailure = .ok
        session.pointee.connectStartedAt = 0
        session.pointee.connectedAt = 0
        session.pointee.state = .relaying
        return exchange
    }

    private func keepText(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead
    ) {
        let memory = http.text(of: session.pointee.exchange)
        for index in 0..<Int(head.fieldCount) {
            let field = http.fields[index]
            let part: ExchangeText.Part
            switch field.name {
            case .userAgent: part = .userAgent
            case .traceparent: part = .traceparent
            case .upgrade:
                // HTTP/2 in a tunnel would carry requests past every route and rule.
                if FieldValue.hasToken("h2c", in: octets, field.valueRange) {
                    exchange.pointee.wantsUpgrade = false
                }
                continue
            case .accept:
                exchange.pointee.prefersJSON = FieldValue.prefersJSON(in: octets, field.valueRange)
                continue
            default: continue
            }
            keep(part, exchange, octets, field.valueRange, memory)
        }
        keep(.method, exchange, octets, head.methodRange, memory)
        keep(.host, exchange, octets, head.authority.range, memory)
        keep(.path, exchange, octets, head.target.path, memory)
    }

    private func keep(
        _ part: ExchangeText.Part, _ exchange: UnsafeMutablePointer<Exchange>, _ octets: UnsafePointer<UInt8>,
        _ range: HeadRange, _ memory: UnsafeMutableRawPointer
    ) {
        exchange.pointee.text.keep(part, octets + range.start, Int(range.count), in: memory)
    }

    // MARK: Route

    private mutating func route(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead
    ) {
        let plan = httpPlan(session)
        let view = RequestView(head, base: octets, fields: http.fields)
        let match = plan.pointee.router.routeCount > 0 ? plan.pointee.router.match(view) : nil
        if let match { exchange.pointee.route = UInt32(match) }
        guard mayGoOn(slot, session, exchange, view, head) else { return }
        guard let index = match else {
            guard let pool = plan.pointee.defaultPool else {
                consumeHead(session, head)
                answer(slot, session, 404, .noRoute)
                return
            }
            setPool(session, session.pointee.epoch.pointee.pools[Int(pool)])
            send(slot, session, exchange, octets, head, nil)
            return
        }
        let router = plan.pointee.router
        let route = router.plan(index)
        switch route.pointee.action {
        case .pool: setPool(session, session.pointee.epoch.pointee.pools[Int(route.pointee.pool)])
        case .split:
            let pool = router.pool(ofSplit: route, number: splitNumber(session, route, view))
            setPool(session, session.pointee.epoch.pointee.pools[Int(pool)])
        case .redirect, .respond:
            answer(slot, session, by: route, router, head, octets)
            return
        }
        send(slot, session, exchange, octets, head, route)
    }

    /// What a request sticks to its share of a split by.
    private mutating func splitNumber(
        _ session: UnsafeMutablePointer<Session>, _ route: UnsafePointer<RoutePlan>, _ view: RequestView
    ) -> UInt64 {
        guard let pool = route.pointee.stickyPool,
            let hash = session.pointee.epoch.pointee.snapshot.pool(Int(pool)).pointee.hash
        else { return random.next() }
        let client = session.pointee.client
        return hash.hash(view, client: (client.high, client.low))
    }

    mutating func consumeHead(_ session: UnsafeMutablePointer<Session>, _ head: RequestHead) {
        consumeInput(session.relay(.toBackend), Int(head.length))
    }

    // MARK: To the backend

    private mutating func send(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead, _ route: UnsafePointer<RoutePlan>?
    ) {
        guard let buffer = buffers.takeSpare() else {
            consumeHead(session, head)
            answer(slot, session, 503, .overloaded)
            return
        }
        noteKey(session, RequestView(head, base: octets, fields: http.fields))
        noteAffinity(session, exchange, octets, head)
        let memory = buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self)
        var writer = HeadWriter(memory, capacity: buffers.bufferSizeBytes)
        writeRequest(&writer, session, exchange, octets, head, route)
        consumeHead(session, head)
        guard !writer.hasOverflowed else {
            buffers.giveBack(buffer)
            answer(slot, session, 431, .badRequest)
            return
        }
        let relay = session.relay(.toBackend)
        buffers.segment(buffer).pointee.length = UInt32(writer.count)
        // What came of the body goes out with the head, if it fits.
        guard passRequestBody(slot, session, exchange, behind: buffer) else {
            buffers.giveBack(buffer)
            return
        }
        if exchange.pointee.request.phase == .body, session.pointee.hasClientEnded {
            buffers.giveBack(buffer)
            finish(slot, session, .clientClosed)
            return
        }
        // All of it must lie in this one buffer to be sent again.
        if exchange.pointee.request.phase == .done,
            relay.pointee.queue.isEmpty || mutant(.partSentAgain),
            exchange.pointee.method.isIdempotent || retryPlan(session, exchange).pointee.includesNonIdempotent
                || mutant(.postSentAgain)
                || mutant(.postTriedAgain) && retryPlan(session, exchange).pointee.attempts > 0
        {
            exchange.pointee.replay = buffer
            exchange.pointee.replayBytes = buffers.segment(buffer).pointee.length
            buffers.segment(buffer).pointee.isKept = true
        }
        buffers.prepend(buffer, to: &relay.pointee.queue)
        connectNext(slot, session)
    }

    /// The head's buffer may be all used up by it.
    mutating func dropEmptyInput(_ relay: UnsafeMutablePointer<Relay>) {
        if relay.pointee.input.count > 0, buffers.segment(relay.pointee.input.head).pointee.length == 0 {
            let buffer = buffers.removeFirst(from: &relay.pointee.input)
            buffers.giveBack(buffer)
        }
    }

    /// A connection to the backend is there.
    mutating func backendAttached(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        session.pointee.state = .relaying
        session.pointee.lastActivityAt = now
        let exchange = exchange(session)
        exchange.pointee.requestSentAt = 0
        exchange.pointee.attachedAt = now
        if session.pointee.pool.pointee.plan.pointee.batch == 1 || !gather(session, exchange) {
            startSending(slot, session, .toBackend)
        }
        if !session.isInKernel(.receiveFromBackend), !session.isInKernel(.cancelReceiveFromBackend) {
            receive(slot, session, .toClient)
        }
        readRequestBody(slot, session)
        if session.pointee.state == .relaying { setHTTPTimer(slot, session) }
    }

    // MARK: Body

    mutating func readRequestBody(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.exchange != Exchange.none else { return }
        let exchange = exchange(session)
        let relay = session.relay(.toBackend)
        if exchange.pointee.request.phase == .dropped {
            // One that may be sent again is whole: what came behind it is the next one.
            if exchange.pointee.replay == BufferRing.none { buffers.drop(&relay.pointee.input) }
            return
        }
        guard session.pointee.connection != BackendConnection.none, exchange.pointee.request.phase == .body
        else {
            return
        }
        guard passRequestBody(slot, session, exchange, behind: BufferRing.none) else { return }
        if exchange.pointee.request.phase == .body, session.pointee.hasClientEnded {
            finishReset(slot, session, .clientClosed)
            return
        }
        if exchange.pointee.request.phase == .done, relay.pointee.queue.isEmpty {
            requestSent(slot, session)
        } else {
            startSending(slot, session, .toBackend)
        }
        noteBody(slot, session, .toBackend)
    }

    /// False where the exchange failed by it.
    private mutating func passRequestBody(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        behind buffer: UInt16
    ) -> Bool {
        var taken: UInt64 = 0
        let result = passBody(session.relay(.toBackend), &exchange.pointee.request, behind: buffer, &taken)
        exchange.pointee.bytesIn += taken
        if exchange.pointee.request.framing == .chunked {
            exchange.pointee.request.remaining += taken
            if exchange.pointee.request.remaining > httpPlan(session).pointee.bodyLimitBytes {
                fail(slot, session, 413, .bodyTooLarge)
                return false
            }
        }
        switch result {
        case .goesOn: return true
        case .refused(let refusal):
            exchange.pointee.refusal = refusal.rawValue + 1
            fail(slot, session, refusal.status, .badRequest)
        case .noBuffer:
            // Counted, but not taken: nobody may read it as the next request.
            exchange.pointee.request.phase = .dropped
            fail(slot, session, 503, .overloaded)
        }
        return false
    }

    /// Everything of the request that was there is with the backend's kernel.
    mutating func requestSent(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.exchange != Exchange.none else { return }
        let exchange = exchange(session)
        if exchange.pointee.request.phase == .done, exchange.pointee.requestSentAt == 0 {
            exchange.pointee.requestSentAt = now
            if exchange.pointee.response.phase == .done {
                responseReceived(slot, session)
                return
            }
        }
        setHTTPTimer(slot, session)
    }
}
