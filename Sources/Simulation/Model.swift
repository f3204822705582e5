// The shadow of the worker: what must hold of its sessions after each turn, seen from the network's side.
// Nothing here looks at how the worker does it, only at connections, bytes and times.

import Configuration
import Dataplane
import SimulatedKernel

/// What the model knows of one client connection's session.
struct SessionFacts {
    var records = 0
    /// When bytes were last seen to move, at the end of a turn in which it still relayed.
    var movedAt: UInt64 = 0
    /// The first turn's end at which it was closing.
    var closingSince: UInt64 = 0
    var wasRelaying = false
    var wasRateLimited = false
}

extension World {
    /// A direction in which bytes can move does so within this time, and deadlines are kept this well.
    static let patienceOfModel: UInt64 = 400_000_000

    func checkAfterTurn(_ worker: borrowing Worker, _ coverage: Coverage) {
        var perHost = [Int](repeating: 0, count: 4 * plan.configuration.listeners.count)
        var waitsForDescriptor = false
        worker.forEachSession { view in
            coverage.add(view)
            if view.isStarved { coverage.add(.starved) }
            guard let client = kernel.connection(ofDescriptor: view.clientDescriptor) else {
                return fail("a session's client is descriptor \(view.clientDescriptor), which is none")
            }
            while facts.count <= Int(client) { facts.append(SessionFacts()) }
            perHost[view.listener * 4 + Int(kernel.clientHost(client))] += 1
            if let ledger { checkHTTP(view, client, ledger) }
            switch view.state {
            case .connecting:
                checkConnecting(view, client)
                if view.backendDescriptor < 0 { waitsForDescriptor = true }
            case .relaying where ledger != nil: break
            case .relaying: checkRelaying(view, client)
            case .awaiting, .lingering: break
            case .closing: checkClosing(client)
            }
        }
        checkPendingOrder(worker)
        if ledger != nil { checkBudget(worker) }
        let isLow = ledger != nil && worker.buffersAreLow
        let isFull = isLow || kernel.openDescriptors > Int(plan.descriptorWatermark) - 8
        checkQueues(perHost, waitsForDescriptor || isFull)
        if kernel.socketsRefused > socketsRefused, worker.idlePipes > 0 {
            fail("there is no descriptor for a socket, and idle pipes have some")
        }
        socketsRefused = kernel.socketsRefused
        for (place, listener) in plan.configuration.listeners.enumerated() {
            guard let limit = listener.limits.sessionsPerClient else { continue }
            for host in 0..<4 where perHost[place * 4 + host] > limit {
                // Clients that were reset before they were accepted have no address to be counted by.
                if !hasUnknownClients { fail("a client has more sessions than it may") }
            }
        }
    }

    /// A limit is exceeded by no more than the one connection that each listening socket may be at.
    private func checkLimits(_ total: Int, _ own: Int, of listener: Listener) {
        let limit = plan.configuration.limits.sessions
        if total > limit + plan.configuration.listeners.count - 1 {
            fail("\(total) sessions, and \(limit) is the limit")
        }
        if let limit = listener.limits.sessions, own > limit {
            fail("\(own) sessions of \(listener.name), and \(limit) is its limit")
        }
    }

    /// Clients do not wait in a queue while there is room for their sessions, descriptors included.
    private func checkQueues(_ perHost: [Int], _ lacksSomething: Bool) {
        if askedToDrain { return }
        let total = perHost.reduce(0, +)
        for (place, listener) in plan.configuration.listeners.enumerated() {
            let own = perHost[(place * 4)..<(place * 4 + 4)].reduce(0, +)
            if plan.holdsLimits { checkLimits(total, own, of: listener) }
            let isFull =
                lacksSomething || total >= min(plan.configuration.limits.sessions, plan.slots)
                || own >= listener.limits.sessions ?? Int.max
            if isFull { fullAt[place] = kernel.now }
            let waited = min(kernel.queueNeglectedNanoseconds(place), kernel.now - fullAt[place])
            if waited > Self.patienceOfModel { fail("clients wait at listener \(place), and nobody accepts") }
        }
    }

    private var hasUnknownClients: Bool {
        clients.contains { kernel.connection($0).pointee.resetReachedUs }
    }

    private func checkConnecting(_ view: SessionView, _ client: Int32) {
        if view.isPending {
            checkPending(view)
            return
        }
        let listener = plan.configuration.listeners[view.listener]
        let limit = min(listener.timeouts.connectNanoseconds, listener.retry?.perTryNanoseconds ?? .max)
        // A request that is tried again pauses first.
        let since = ledger == nil ? 0 : httpFacts[Int(client)].stateSince
        if kernel.now > max(view.connectStartedAt, since) + limit + Self.patienceOfModel {
            fail("a connect outlives its timeout")
        }
    }

    private func checkClosing(_ client: Int32) {
        let since = facts[Int(client)].closingSince
        if since == 0 {
            facts[Int(client)].closingSince = kernel.now
        } else if kernel.now > since + Self.patienceOfModel {
            fail("connection \(client) is closing for ever")
        }
    }

    private func checkRelaying(_ view: SessionView, _ client: Int32) {
        guard let backend = kernel.connection(ofDescriptor: view.backendDescriptor) else {
            return fail("a relaying session's backend is descriptor \(view.backendDescriptor), which is none")
        }
        kernel.pair(client, backend)
        let (one, other) = (kernel.connection(client), kernel.connection(backend))
        if one.pointee.role != .client || other.pointee.role != .backend {
            fail("a session mixes up its sides")
        }
        let movedAt = max(one.pointee.movedAt, other.pointee.movedAt)
        facts[Int(client)].movedAt = movedAt
        facts[Int(client)].wasRelaying = true
        checkIsServed(client)
        let idle = plan.configuration.listeners[view.listener].timeouts.idleNanoseconds
        // The other side of one that is gone gets time from there on.
        let activeAt = max(movedAt, one.pointee.resetReachedUsAt, other.pointee.resetReachedUsAt)
        if kernel.now > activeAt + idle + Self.patienceOfModel {
            fail(
                "connection \(client) (\(view.toBackend), \(view.toClient)) is idle since "
                    + "\(movedAt / 1000) us, and may be for \(idle / 1000) us")
        }
        checkMoves(from: one.pointee, to: other.pointee, movedAt, "to the backend of connection \(client)")
        checkMoves(from: other.pointee, to: one.pointee, movedAt, "to the client of connection \(client)")
    }

    /// Bytes, and an end behind them, do not lie about where they could be passed on.
    private func checkMoves(
        from source: Connection, to destination: Connection, _ movedAt: UInt64, _ name: String
    ) {
        let hasBytes = source.toUs.unread > 0 || source.toUs.read > destination.toPeer.written
        let hasEnd = source.toUs.hasEndArrived && !destination.toPeer.isEndWritten
        guard hasBytes || hasEnd, kernel.buffersInRing > 0 else { return }
        if hasBytes, !kernel.isWritable(destination) { return }
        // A side with an error counts as gone; the other one is heard no more.
        for side in [source, destination] where side.resetReachedUs || side.hadInjectedError { return }
        let since = max(
            max(source.arrivedAtUs, destination.windowOpenedAt),
            max(movedAt, kernel.buffersBackAt))
        if kernel.now > since + Self.patienceOfModel {
            fail(
                "\(hasBytes ? "bytes" : "an end") could go \(name) since \(since / 1000) us: "
                    + "\(source.toUs.unread) unread, \(source.toUs.read - destination.toPeer.written) held")
        }
    }
}
