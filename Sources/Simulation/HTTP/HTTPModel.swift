// What must hold of http sessions after each turn: deadlines are kept, and nobody stands still who could go on.

import Configuration
import Dataplane
import SimulatedKernel

/// What the model knows of one http session.
struct HTTPFacts {
    /// The state that it was in at the end of the last turn, and since when.
    var state = SessionView.State.awaiting
    var stateSince: UInt64 = 0
    /// The answers that were complete then, and the backend: with the state they name a stage of its life.
    var moment = 0
    /// Since when a head is coming; 0 where none is.
    var headSince: UInt64 = 0
    /// The backend connection that it had last.
    var backend: Int32 = -1
}

extension World {
    func checkHTTP(_ view: SessionView, _ client: Int32, _ ledger: HTTPLedger) {
        while httpFacts.count <= Int(client) { httpFacts.append(HTTPFacts()) }
        ledger.prepare(client)
        let tap = ledger.taps[Int(client)]
        // A backend that is given up begins another stage, with times of its own; so does a pause after which nobody was
        // there to be tried.
        let moment = (tap.ends.count &* 100 &+ view.retries) &* 100_000 &+ Int(view.backendDescriptor)
        if httpFacts[Int(client)].state != view.state || httpFacts[Int(client)].moment != moment
            || httpFacts[Int(client)].stateSince == 0
        {
            httpFacts[Int(client)].state = view.state
            httpFacts[Int(client)].moment = moment
            httpFacts[Int(client)].stateSince = kernel.now
            httpFacts[Int(client)].headSince = 0
        }
        switch view.state {
        case .awaiting: checkAwaiting(view, client, tap, ledger)
        case .relaying: checkServing(view, client, tap, ledger)
        case .connecting, .closing: break
        case .lingering:
            if kernel.now > httpFacts[Int(client)].stateSince + 5_000_000_000 + Self.patienceOfModel {
                fail("connection \(client) lingers for ever")
            }
        }
    }

    private func timeouts(_ view: SessionView) -> ListenerTimeouts {
        plan.configuration.listeners[view.listener].timeouts
    }

    /// Between two requests, or while the head of one comes.
    private func checkAwaiting(
        _ view: SessionView, _ client: Int32, _ tap: Tap, _ ledger: HTTPLedger
    ) {
        let one = kernel.connection(client).pointee
        let facts = httpFacts[Int(client)]
        let times = timeouts(view)
        if one.toUs.unread > 0, kernel.buffersInRing > 0 {
            checkUnread(one, since: facts.stateSince, "the worker waits for a request that is there", client)
        }
        let start =
            tap.requests.isEmpty || tap.ends.isEmpty
            ? 0 : ledger.requests[Int(tap.requests[tap.ends.count - 1])].end
        let hasHead = Int(one.toUs.read) > start
        if hasHead, facts.headSince == 0 { httpFacts[Int(client)].headSince = kernel.now }
        let isFirst = tap.ends.isEmpty
        let since = isFirst ? facts.stateSince : hasHead ? httpFacts[Int(client)].headSince : facts.stateSince
        let limit = isFirst || hasHead ? times.http.requestHeadNanoseconds : times.http.keepAliveNanoseconds
        if kernel.now > since + limit + Self.patienceOfModel {
            fail("connection \(client) waits for a \(hasHead ? "head" : "request") since \(since / 1000) us")
        }
    }

    private func checkUnread(_ one: Connection, since: UInt64, _ what: String, _ connection: Int32) {
        if one.resetReachedUs || one.hadInjectedError { return }
        let last = max(max(one.arrivedAtUs, one.movedAt), max(since, kernel.buffersBackAt))
        if kernel.now > last + Self.patienceOfModel {
            fail("\(what): connection \(connection), \(one.toUs.unread) bytes since \(last / 1000) us")
        }
    }

    private func checkServing(_ view: SessionView, _ client: Int32, _ tap: Tap, _ ledger: HTTPLedger) {
        let one = kernel.connection(client).pointee
        let times = timeouts(view)
        var movedAt = max(one.movedAt, httpFacts[Int(client)].stateSince)
        if let backend = kernel.connection(ofDescriptor: view.backendDescriptor) {
            let other = kernel.connection(backend).pointee
            movedAt = max(movedAt, other.movedAt)
            httpFacts[Int(client)].backend = backend
            if tap.ends.count < tap.requests.count {
                ledger.requests[Int(tap.requests[tap.ends.count])].servedBy.insert(backend)
            }
            if other.role != .backend { fail("a session mixes up its sides") }
            checkFlow(client, one, other, movedAt, ledger)
            checkHeldBack(client, backend, since: max(movedAt, other.windowOpenedAt), ledger)
        }
        // A body may have no byte for its own time, a response's head takes no longer than its own.
        var most = max(
            times.idleNanoseconds,
            max(times.http.requestBodyIdleNanoseconds, times.http.responseHeadNanoseconds))
        // A broken response has its time to be delivered, once more.
        if view.backendDescriptor < 0 { most += min(times.idleNanoseconds, 30_000_000_000) }
        // The other side of one that is gone gets time from there on.
        movedAt = max(movedAt, one.resetReachedUsAt)
        if kernel.now > movedAt + most + Self.patienceOfModel {
            fail("connection \(client) serves without a byte since \(movedAt / 1000) us")
        }
        checkResponseHead(view, client, times, ledger)
    }

    /// A backend that has the request answers in its time, or the client gets an answer of Weir's own.
    private func checkResponseHead(
        _ view: SessionView, _ client: Int32, _ times: ListenerTimeouts, _ ledger: HTTPLedger
    ) {
        let tap = ledger.taps[Int(client)]
        guard tap.ends.count < tap.requests.count else { return }
        let request = ledger.requests[Int(tap.requests[tap.ends.count])]
        // One that is sent again may be on its way to another backend.
        guard request.sightings.last == kernel.connection(ofDescriptor: view.backendDescriptor) else {
            return
        }
        guard request.wholeAt > 0, request.status == 0, kernel.isWritable(kernel.connection(client).pointee)
        else { return }
        let perTry = plan.configuration.listeners[view.listener].retry?.perTryNanoseconds ?? .max
        let most = min(times.http.responseHeadNanoseconds, perTry)
        if kernel.now > request.wholeAt + most + Self.patienceOfModel {
            fail("request \(request.plan.number) waits for its answer since \(request.wholeAt / 1000) us")
        }
    }

    /// Bytes and ends do not lie about where they could go on.
    private func checkFlow(
        _ client: Int32, _ one: Connection, _ other: Connection, _ movedAt: UInt64, _ ledger: HTTPLedger
    ) {
        if one.resetReachedUs || one.hadInjectedError || other.hadInjectedError { return }
        guard kernel.buffersInRing > 0 else { return }
        let since = max(movedAt, max(one.windowOpenedAt, other.windowOpenedAt))
        if kernel.isWritable(one), other.toUs.unread > 0 || other.toUs.hasEndArrived || other.resetReachedUs {
            checkUnread(other, since: since, "a response could go on", client)
        }
        let tap = ledger.taps[Int(client)]
        guard tap.ends.count < tap.requests.count, kernel.isWritable(other), one.toUs.unread > 0 else {
            return
        }
        let request = ledger.requests[Int(tap.requests[tap.ends.count])]
        if request.status == 0, Int(one.toUs.read) < request.end {
            checkUnread(one, since: since, "a request could go on", client)
        }
    }

    /// A request that has all come is with its backend soon, all of it.
    private func checkHeldBack(_ client: Int32, _ backend: Int32, since: UInt64, _ ledger: HTTPLedger) {
        let (one, other) = (kernel.connection(client).pointee, kernel.connection(backend).pointee)
        let (tap, target) = (ledger.taps[Int(client)], ledger.taps[Int(backend)])
        if other.resetReachedUs || other.hadInjectedError || other.toUs.hasEndArrived { return }
        guard tap.ends.count < tap.requests.count, kernel.isWritable(other), kernel.buffersInRing > 0 else {
            return
        }
        let request = ledger.requests[Int(tap.requests[tap.ends.count])]
        guard request.status == 0, request.sightings.last == backend, Int(one.toUs.read) >= request.end,
            request.plan.illegality == nil, target.ends.count < target.requests.count
        else { return }
        if kernel.now > since + Self.patienceOfModel {
            fail("request \(request.plan.number) has come and is held back since \(since / 1000) us")
        }
    }

    // MARK: At the end

    /// In a world where all is well every request got its answer.
    func checkAnswers(_ ledger: HTTPLedger) {
        for connection in ledger.taps.indices
        where kernel.connection(Int32(connection)).pointee.role == .client {
            let tap = ledger.taps[connection]
            if plan.isStrict, tap.ends.count < tap.requests.count {
                let next = ledger.requests[Int(tap.requests[tap.ends.count])]
                let mayEnd =
                    tap.isLast && tap.ends.count > 0 && ledger.mayEndAfter(tap.requests[tap.ends.count - 1])
                if !mayEnd { fail("request \(next.plan.number) has no answer, and all was well") }
            }
        }
    }

    /// Nothing is left of any connection.
    func checkConnectionsAtEnd() {
        for index in 0..<kernel.connectionCount {
            let connection = kernel.connection(index).pointee
            guard connection.state == .established else { continue }
            if !connection.isOurEndClosed { fail("connection \(index) was never closed") }
            if connection.weSentReset || connection.peerSentReset || connection.isPeerClosed { continue }
            if connection.toPeer.arrived != connection.toPeer.written || !connection.toPeer.hasEndArrived {
                fail("the peer of connection \(index) was not told the end")
            }
        }
    }
}

extension HTTPLedger {
    /// Only its end can show where a response ends: to a client of HTTP/1.0.
    func mayEndAfter(_ request: Int32) -> Bool {
        let facts = requests[Int(request)]
        guard facts.plan.isOld, facts.answer >= 0 else { return false }
        if case .length = answers[Int(facts.answer)].plan.framing { return false }
        return true
    }
}
