// Drives the keeper between turns, as the control thread does, and holds the worker to what health promises: who is
// ejected gets nobody but in panic, no more are ejected than may be, every ejection ends, and nobody is ejected for
// resets that he never sent.

import Balancing
import Configuration
import Dataplane
import Health
import SimulatedKernel

final class HealthWatch {
    private let plan: WorldPlan
    private let world: World
    private let pools: [PoolHealth]
    /// Of each candidate.
    private let ports: [[Int32]]
    private var keeper: Keeper
    private var nextTickAt: UInt64 = 0
    /// When each ejection that is under way has to be over.
    private var endsAt: [Candidate: UInt64] = [:]
    /// Who was out when the turn began; nobody where there was panic.
    private var out: Set<Candidate> = []
    private var turnBeganAt: UInt64 = 0
    private var replaysBefore: UInt64 = 0
    private var counts: [Coverage.Happening: UInt64] = [:]

    private struct Candidate: Hashable {
        var pool: Int
        var index: Int
    }

    private static let tickNanoseconds: UInt64 = 50_000_000

    init(_ plan: WorldPlan, _ snapshot: Snapshot, _ world: World) {
        self.plan = plan
        self.world = world
        pools = snapshot.healthOfPools
        keeper = Keeper(pools)
        ports = plan.configuration.pools.map { pool in
            pool.backendsBackupsLast.map { backend in
                switch backend.address {
                case .ipv4(_, let port): Int32(port)
                case .unix(let path): Int32(path.dropFirst())!
                default: fatalError("a world has no such backends")
                }
            }
        }
    }

    func turnBegins() {
        turnBeganAt = world.kernel.now
        out = []
        for (pool, health) in pools.enumerated() where !health.candidates.isPanicking {
            for index in 0..<health.candidates.count
            where health.candidates.standing(index).state.takesNothing {
                out.insert(Candidate(pool: pool, index: index))
            }
        }
    }

    /// `replays` is the counter of requests that were sent again to the same backend: it need not be well.
    func turnEnds(_ worker: borrowing Worker, replays: UInt64) {
        var excused = replays - replaysBefore
        replaysBefore = replays
        worker.forEachSession { view in
            guard view.state == .connecting, view.backendDescriptor >= 0, view.connectStartedAt > turnBeganAt,
                out.contains(Candidate(pool: view.pool, index: view.backend)),
                !pools[view.pool].candidates.isPanicking
            else { return }
            if excused > 0 { excused -= 1 } else { world.fail("a session goes to a backend that is ejected") }
        }
        checkBound()
        guard world.kernel.now >= nextTickAt else { return }
        nextTickAt = world.kernel.now + Self.tickNanoseconds
        tick(world.kernel.now)
    }

    private func checkBound() {
        for health in pools {
            let ejected = (0..<health.candidates.count).count {
                health.candidates.standing($0).state == .ejected
            }
            if ejected > health.mostEjected {
                world.fail("\(ejected) backends are ejected, and \(health.mostEjected) may be")
            }
            if ejected != health.ejectedCount { world.fail("the seats of the ejected do not add up") }
        }
    }

    private func tick(_ now: UInt64) {
        keeper.tick(now: now) { note($0, now) }
        checkBound()
        for (candidate, end) in endsAt where now >= end {
            world.fail("the ejection of backend \(candidate.index) does not end")
        }
    }

    private func note(_ event: HealthEvent, _ now: UInt64) {
        guard case .change(let change) = event else {
            if case .panic(_, isOn: true, _, _) = event { counts[.panicked, default: 0] += 1 }
            return
        }
        let candidate = Candidate(pool: change.pool, index: change.backend)
        if change.from == .ejected {
            counts[.readmitted, default: 0] += 1
            endsAt[candidate] = nil
        }
        switch change.to {
        case .ejected:
            counts[.ejected, default: 0] += 1
            endsAt[candidate] = now + change.backInNanoseconds
            if case .failures(_, .reset, _) = change.cause { checkResets(candidate) }
        case .warming: counts[.warmed, default: 0] += 1
        case .degraded: counts[.degraded, default: 0] += 1
        case .healthy, .unhealthy, .draining, .disabled: break
        }
    }

    /// Some connection to it was reset, and not by us.
    private func checkResets(_ candidate: Candidate) {
        let port = ports[candidate.pool][candidate.index]
        for number in 0..<Int32(world.kernel.connectionCount) {
            let connection = world.kernel.connection(number).pointee
            guard connection.role == .backend, connection.place == port else { continue }
            if connection.peerSentReset || connection.resetReachedUs || connection.hadInjectedError
                || connection.hadSocketFailure
            {
                return
            }
        }
        world.fail("backend \(candidate.index) is ejected for resets that it never sent")
    }

    /// With nobody there, everybody is well again in time.
    func checkAtEnd() {
        guard world.failure == nil else { return }
        var now = world.kernel.now
        tick(now)
        for _ in 0..<4 {
            now += 100_000_000_000
            tick(now)
        }
        for health in pools where health.candidates.excluded != Exclusions() || health.ejectedCount != 0 {
            world.fail("backends are out of rotation for ever")
        }
        for health in pools
        where (0..<health.candidates.count).contains(where: { health.candidates.standing($0) != .healthy }) {
            world.fail("backends do not get well")
        }
    }

    func count(_ coverage: Coverage) {
        for (happening, count) in counts { coverage.add(happening, count) }
    }
}
