// What backends are sent: each request is one that a client has sent, whole or visibly broken, with its body byte
// for byte; and no backend sees it twice unless the rules allow that.

import SimulatedKernel

extension HTTPLedger {
    func backendIsSent(_ connection: Int32, _ event: MessageEvent, _ stream: UnsafeBufferPointer<UInt8>) {
        let place = Int(connection)
        switch event {
        case .malformed(let what): fail("backend connection \(connection) is sent a bad request: \(what)")
        case .head(let head): backendSees(connection, head)
        case .body(let range):
            let request = taps[place].requests.last!
            if !matches(stream, range, .request(request), taps[place].bodyBytes) {
                fail("request \(request) reaches the backend with wrong bytes at \(taps[place].bodyBytes)")
            }
            taps[place].bodyBytes += range.count
        case .end: requestEnds(connection, stream)
        }
    }

    private func backendSees(_ connection: Int32, _ head: MessageHead) {
        let place = Int(connection)
        let words = head.words
        guard words.count == 3, words[2] == "HTTP/1.1", words[1].hasPrefix("/r/"),
            let number = Int32(words[1].dropFirst(3)), requests.indices.contains(Int(number))
        else { return fail("a backend sees a request that nobody sent: \(head.firstLine)") }
        let facts = requests[Int(number)]
        if words[0] != facts.plan.method { fail("request \(number) reaches the backend as \(words[0])") }
        if facts.plan.isRefused { fail("request \(number), which is to be refused, reaches a backend") }
        if head.values("host") != ["weir.example"] {
            fail("request \(number) has another Host at the backend")
        }
        if head.only("x-forwarded-for") == nil, plan.configuration.listeners[0].forwarded.xForwarded != .off {
            fail("request \(number) does not say whom it is from")
        }
        if kernel.connection(facts.client).pointee.toUs.read < UInt64(facts.headEnd) {
            fail("request \(number) reaches a backend before its head has come")
        }
        guard let framing = framing(of: head, isRequest: true, hasNoBody: false),
            framing == expected(facts.plan)
        else { return fail("request \(number) reaches the backend with another framing") }
        if !isShared(connection, facts) { checkReuse(connection, number) }
        let isLateCopy = isLateCopy(connection, facts)
        if !isLateCopy { noteTry(connection, facts) }
        checkStickiness(connection, facts)
        checkIsServed(facts.client)
        if facts.sightings.isEmpty { requests[Int(number)].sightedAt = kernel.now }
        if isLateCopy {
            requests[Int(number)].sightings.insert(connection, at: 0)
        } else {
            requests[Int(number)].sightings.append(connection)
            if !mayBeHedge(connection, number) { requests[Int(number)].sentAt = kernel.now }
            requests[Int(number)].wholeAt = 0
        }
        kernel.trace("backend sees request", Int64(connection), Int64(number))
        taps[place].requests.append(number)
        taps[place].headEnds.append(taps[place].reader.position)
        taps[place].bodyBytes = 0
        taps[place].reader.begin(framing)
    }

    private func expected(_ plan: RequestPlan) -> MessageFraming {
        switch plan.framing {
        case .length(let count): .length(count)
        case .chunked: .chunked
        case .none, .untilClose: .none
        }
    }

    /// A connection that served another request before must be free: that one answered, all of it and not a byte
    /// more, and nobody wanted to close.
    private func checkReuse(_ connection: Int32, _ number: Int32) {
        let tap = taps[Int(connection)]
        guard let last = tap.requests.last else { return }
        guard tap.ends.count == tap.requests.count, let answer = tap.answers.last.map({ answers[Int($0)] }),
            answer.plan.request == last
        else { return fail("request \(number) goes out on a connection that has not answered \(last)") }
        let backend = kernel.connection(connection).pointee
        let unasked = Int(backend.toUs.read) - answer.end
        if unasked < 0 { fail("request \(number) goes out before the answer to \(last) is read") }
        // What was received a moment ago it may not know yet.
        if unasked > 0, !isNews(backend.movedAt, at: kernel.now) {
            fail("request \(number) goes out behind \(unasked) bytes that nobody asked for")
        }
        let mayBeRest =
            isAnswerNews(connection) && pool(ofClient: requests[Int(number)].client).keepAlive.batch > 1
        if answer.plan.announcesClose || answer.plan.framing == .untilClose, !mayBeRest {
            fail("request \(number) goes out on a connection that its backend will close")
        }
    }

    private func requestEnds(_ connection: Int32, _ stream: UnsafeBufferPointer<UInt8>) {
        let place = Int(connection)
        let number = taps[place].requests.last!
        let facts = requests[Int(number)]
        if facts.plan.illegality != nil {
            fail("request \(number), which is broken, looks whole to a backend")
        }
        if taps[place].bodyBytes != facts.plan.bodyBytes {
            fail("request \(number) looks whole with \(taps[place].bodyBytes) bytes")
        }
        if kernel.connection(facts.client).pointee.toUs.read < UInt64(facts.end) {
            fail("request \(number) looks whole before it has come")
        }
        if facts.sightings.last == connection {
            requests[Int(number)].wholeAt = kernel.now
            if !mayBeHedge(connection, number) { requests[Int(number)].sentAt = kernel.now }
        }
        let range = (taps[place].ends.last ?? 0)..<taps[place].reader.position
        taps[place].ends.append(range.upperBound)
        noteWhole(number, UnsafeBufferPointer(rebasing: stream[range]))
    }
}
