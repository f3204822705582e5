// What clients are sent: answers to their requests, in order, each byte for byte what the backend meant and whole
// where it looks whole; or answers of Weir's own, where something gave cause.

import SimulatedKernel

extension HTTPLedger {
    func clientIsSent(_ connection: Int32, _ event: MessageEvent, _ stream: UnsafeBufferPointer<UInt8>) {
        let place = Int(connection)
        switch event {
        case .malformed(let what): fail("client \(connection) is sent a bad response: \(what)")
        case .head(let head): clientSees(connection, head)
        case .body(let range):
            let answer = taps[place].answer
            if answer >= 0, !matches(stream, range, .answer(answer), taps[place].bodyBytes) {
                fail("client \(connection) gets wrong bytes of answer \(answer) at \(taps[place].bodyBytes)")
            }
            taps[place].bodyBytes += range.count
        case .end: answerEnds(connection, isStreamEnd: false)
        }
    }

    private func clientSees(_ connection: Int32, _ head: MessageHead) {
        let place = Int(connection)
        let words = head.words
        guard words.count == 3, words[0] == "HTTP/1.1", let status = Int(words[1]),
            (100...599).contains(status)
        else { return fail("client \(connection) is sent '\(head.firstLine)'") }
        let turn = taps[place].ends.count
        guard turn < taps[place].requests.count, !taps[place].isLast else {
            return fail("client \(connection) is answered \(status) to nothing")
        }
        let number = taps[place].requests[turn]
        let facts = requests[Int(number)]
        if kernel.connection(connection).pointee.toUs.read <= UInt64(facts.start) {
            fail("client \(connection) is answered \(status) before it asked")
        }
        taps[place].bodyBytes = 0
        taps[place].isInterim = status < 200
        if status < 200 { return interim(connection, status, head, facts) }
        requests[Int(number)].status = status
        taps[place].answer = -1
        if let answer = head.number("x-answer") {
            clientSees(connection, answer: Int32(clamping: answer), status, head, facts)
        } else {
            checkCookie(answer: nil, head, facts)
            checkOwn(status, facts)
        }
        checkPersistence(connection, head, facts)
        let hasNoBody = AnswerPlan.hasNoBody(status, facts.plan.method)
        guard let framing = framing(of: head, isRequest: false, hasNoBody: hasNoBody) else {
            return fail("client \(connection) is sent a response whose length is in doubt")
        }
        if framing == .untilClose, !taps[place].isLast {
            fail("a response has no end, and no close is announced")
        }
        if framing == .chunked, facts.plan.isOld { fail("a client of HTTP/1.0 is sent chunks") }
        taps[place].reader.begin(framing)
    }

    private func interim(_ connection: Int32, _ status: Int, _ head: MessageHead, _ facts: RequestFacts) {
        taps[Int(connection)].reader.begin(.none)
        checkCookie(answer: nil, head, facts)
        if facts.plan.isOld { fail("a client of HTTP/1.0 is sent an interim response") }
        guard let number = head.number("x-interim"), answers.indices.contains(number),
            answers[number].plan.request == facts.plan.number, answers[number].plan.interim.contains(status)
        else { return fail("client \(connection) is sent an interim response that is not its own") }
    }

    private func clientSees(
        _ connection: Int32, answer number: Int32, _ status: Int, _ head: MessageHead, _ facts: RequestFacts
    ) {
        guard answers.indices.contains(Int(number)) else { return fail("answer \(number) is nobody's") }
        checkCookie(answer: number, head, facts)
        let answer = answers[Int(number)].plan
        kernel.trace("client sees answer", Int64(connection), Int64(number), Int64(status))
        taps[Int(connection)].answer = number
        requests[Int(facts.plan.number)].answer = number
        if answer.request != facts.plan.number {
            fail("client \(connection) asked \(facts.plan.number) and gets the answer to \(answer.request)")
        }
        checkLastTry(answers[Int(number)], facts)
        if answer.status != status { fail("answer \(number) was \(answer.status) and is sent as \(status)") }
        if case .illegal = answer.fault { fail("answer \(number), which is illegal, reaches the client") }
        if case .length(let count) = answer.framing, status != 204, head.number("content-length") != count {
            fail("answer \(number) loses its length")
        }
    }

    /// Who will close says so, and who was asked to close does.
    private func checkPersistence(_ connection: Int32, _ head: MessageHead, _ facts: RequestFacts) {
        let options = head.values("connection").joined(separator: ",").lowercased()
        let saysClose = options.contains("close")
        if saysClose { taps[Int(connection)].isLast = true }
        if !facts.plan.isPersistent, !saysClose { fail("request \(facts.plan.number) ends its connection") }
        if facts.plan.isOld, !saysClose, !options.contains("keep-alive") {
            fail("a client of HTTP/1.0 is not told that its connection stays")
        }
    }

    /// The response looks whole to the client.
    func answerEnds(_ connection: Int32, isStreamEnd: Bool) {
        let place = Int(connection)
        if taps[place].isInterim { return }
        let number = taps[place].requests[taps[place].ends.count]
        taps[place].ends.append(taps[place].reader.position)
        taps[place].lastEndAt = kernel.now
        requests[Int(number)].isAnswered = true
        guard taps[place].answer >= 0 else { return }
        let answer = answers[Int(taps[place].answer)]
        let backend = kernel.connection(answer.backend).pointee
        let count = taps[place].bodyBytes
        let hasNoBody = AnswerPlan.hasNoBody(answer.plan.status, requests[Int(number)].plan.method)
        if !hasNoBody, answer.plan.framing == .untilClose {
            if !backend.toUs.hasEndArrived || backend.toUs.read != backend.toUs.written {
                fail("answer \(answer.plan.number) looks whole, but its backend has not ended it")
            }
            if count != Int(backend.toUs.written) - answer.headEnd {
                fail("answer \(answer.plan.number) looks whole with \(count) bytes")
            }
            return
        }
        if Int(backend.toUs.read) < answer.end {
            fail("answer \(answer.plan.number) looks whole before it has come")
        }
        if count != (hasNoBody ? 0 : answer.plan.bodyBytes) {
            fail("answer \(answer.plan.number) looks whole with \(count) bytes")
        }
    }

    // MARK: Weir's own answers

    /// Each of them needs a cause.
    private func checkOwn(_ status: Int, _ facts: RequestFacts) {
        let number = facts.plan.number
        kernel.trace("client sees own answer", Int64(facts.client), Int64(number), Int64(status))
        if plan.isStrict { fail("request \(number) is answered \(status), and all was well") }
        let client = kernel.connection(facts.client).pointee
        let listener = plan.configuration.listeners[Int(client.place)]
        switch status {
        case 408:
            // What came a moment ago it may not know yet.
            let isNews = isNews(client.arrivedAtUs, at: kernel.now)
            if client.toUs.arrived >= UInt64(facts.end), !isNews, !plan.mayLackBuffers {
                fail("request \(number) is answered 408, and it was there")
            }
        case 403:
            if listener.serves(host: kernel.clientHost(facts.client)), !client.resetReachedUs {
                fail("request \(number) is answered 403, and its host may come")
            }
        case 429: if listener.rateLimit == nil { fail("request \(number) is answered 429 without a limit") }
        case 431: if plan.bufferSizeBytes >= 2048 { fail("request \(number) is answered 431") }
        case 502:
            if facts.plan.isRefused || !mayBeBadGateway(facts) {
                fail("request \(number) is answered 502, and its backend was well")
            }
        case 503:
            if !plan.mayLackBackends, !plan.mayLackBuffers {
                fail("request \(number) is answered 503, and nothing lacked")
            }
        case 504:
            let least = min(
                min(listener.timeouts.http.responseHeadNanoseconds, listener.timeouts.idleNanoseconds),
                listener.retry?.perTryNanoseconds ?? .max)
            let since = max(client.acceptedAt, taps[Int(facts.client)].lastEndAt)
            if kernel.now < since + least { fail("request \(number) is answered 504 too early") }
        default:
            if facts.plan.illegality?.status != status { fail("request \(number) is answered \(status)") }
        }
    }

    /// The last backend that saw it failed, or one that did not see it all.
    private func mayBeBadGateway(_ facts: RequestFacts) -> Bool {
        // Of a further try it may have seen too little to know whose it is.
        if let last = facts.sightings.last, listener(ofClient: facts.client).retry == nil {
            return isTroubled(last)
        }
        return taps.indices.contains { isTroubled(Int32($0)) }
    }

    private func isTroubled(_ connection: Int32) -> Bool {
        let one = kernel.connection(connection).pointee
        guard one.role == .backend else { return false }
        return taps[Int(connection)].isTroubled || one.peerSentReset || one.hadInjectedError
            || one.toUs.hasEndArrived
    }
}
