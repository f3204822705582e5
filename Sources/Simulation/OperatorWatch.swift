// Worlds in which operators drain, disable, remove and give back backends, and what the model asks of the worker once it
// has taken such a configuration: nobody new at a backend that is out, and an end for sessions of a removed one.

import Configuration
import Dataplane
import SimulatedKernel

/// Changes configurations as operators do.
struct Operators {
    /// Of each pool, whom it has lost.
    private var removed: [String: [Backend]] = [:]

    mutating func change(_ configuration: inout Configuration, _ source: inout PlanSource) {
        for index in configuration.pools.indices where source.oneIn(2) {
            change(&configuration.pools[index], &source)
        }
    }

    private mutating func change(_ pool: inout Pool, _ source: inout PlanSource) {
        pool.onRemove = RemovalPolicy.allCases[Int(source.below(UInt64(RemovalPolicy.allCases.count)))]
        pool.drainNanoseconds = source.logarithmic(1_000_000, 2_000_000_000)
        for index in pool.backends.indices where source.oneIn(3) {
            let states = OperatedState.allCases
            pool.backends[index].state = states[Int(source.below(UInt64(states.count)))]
        }
        if source.oneIn(3), let backend = removed[pool.name]?.popLast() { pool.backends.append(backend) }
        if source.oneIn(3), pool.backends.count > 1 {
            let backend = pool.backends.remove(at: Int(source.below(UInt64(pool.backends.count))))
            removed[pool.name, default: []].append(backend)
        }
    }
}

final class OperatorWatch {
    /// Why nobody new may go to a backend.
    private enum Closed: String {
        case draining, disabled, removed
    }

    /// One session's hold of a backend.
    private struct Hold: Hashable {
        var client: Int32
        var descriptor: Int32
    }

    private let world: World
    private var taken: Configuration
    /// Published; the worker may take it at any time.
    private var next: Configuration?
    /// By the backend's port.
    private var closed: [Int32: Closed] = [:]
    private var connectionsInUse: Set<Int32> = []
    private var holds: Set<Hold> = []
    /// Connections to backends that were removed, and when their sessions end.
    private var endsAt: [Int32: UInt64] = [:]
    /// Requests that were sent again to the same backend, and were not met as new ones yet.
    private var excuses: UInt64 = 0
    private var replaysBefore: UInt64 = 0

    init(_ plan: WorldPlan, _ world: World) {
        self.world = world
        taken = plan.configuration
    }

    func publishes(_ configuration: Configuration) { next = configuration }

    /// The worker goes by what was published last.
    func noteTaken() {
        guard let next else { return }
        noteRemovals(next)
        taken = next
        self.next = nil
    }

    /// After all that is published before the turn.
    func turnBegins() {
        closed = closedPorts(taken)
        if let next { closed = closedPorts(next).filter { closed[$0.key] != nil } }
    }

    private func closedPorts(_ configuration: Configuration) -> [Int32: Closed] {
        var result: [Int32: Closed] = [:]
        for pool in world.plan.configuration.pools {
            let now = configuration.pools.first { $0.name == pool.name }!
            for backend in pool.backends {
                let port = Int32(backend.name.dropFirst())!
                switch now.backends.first(where: { $0.name == backend.name })?.state {
                case .enabled?: break
                // Clients that stick to it may come.
                case .draining?: if pool.affinity == nil { result[port] = .draining }
                case .disabled?: result[port] = .disabled
                case nil: result[port] = .removed
                }
            }
        }
        return result
    }

    private func noteRemovals(_ next: Configuration) {
        let now = world.kernel.now
        for (before, after) in zip(taken.pools, next.pools) {
            let end: UInt64 =
                switch after.onRemove {
                case .keep: UInt64.max
                case .close: now
                case .drain: now + after.drainNanoseconds
                }
            for backend in before.backends where !after.backends.contains(where: { $0.name == backend.name })
            {
                let port = Int32(backend.name.dropFirst())!
                for connection in connectionsInUse
                where endsAt[connection] == nil && world.kernel.connection(connection).pointee.place == port {
                    endsAt[connection] = end
                }
            }
        }
    }

    /// `replays` is the counter of requests that were sent again to the same backend.
    func turnEnds(_ worker: borrowing Worker, replays: UInt64) {
        excuses += replays - replaysBefore
        replaysBefore = replays
        var (connectionsNow, holdsNow): (Set<Int32>, Set<Hold>) = ([], [])
        worker.forEachSession { view in
            guard let connection = world.kernel.connection(ofDescriptor: view.backendDescriptor),
                let client = world.kernel.connection(ofDescriptor: view.clientDescriptor)
            else { return }
            let hold = Hold(client: client, descriptor: view.backendDescriptor)
            connectionsNow.insert(connection)
            holdsNow.insert(hold)
            checkEnd(of: connection, view)
            guard !connectionsInUse.contains(connection), !holds.contains(hold),
                let reason = closed[world.kernel.connection(connection).pointee.place]
            else { return }
            if excuses > 0 {
                excuses -= 1
            } else {
                world.fail("a new session at a backend that is \(reason)")
            }
        }
        (connectionsInUse, holds) = (connectionsNow, holdsNow)
    }

    /// One whose time is up ends, unless it has lost a side and is about to.
    private func checkEnd(of connection: Int32, _ view: SessionView) {
        guard let end = endsAt[connection], !world.plan.isHTTP, view.state == .relaying,
            world.kernel.now > end, world.kernel.now - end > World.patienceOfModel
        else { return }
        let client = world.kernel.connection(ofDescriptor: view.clientDescriptor)!
        for side in [client, connection].map({ world.kernel.connection($0).pointee })
        where side.resetReachedUs || side.hadInjectedError { return }
        world.fail("a session outlives its backend, which was removed")
    }
}
