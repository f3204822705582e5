// Drives the keeper between turns, as the control thread does, and holds the worker to what health promises: who is
// ejected gets nobody but in panic, who is on trial one session at a time, no more are ejected than may be, every
// ejection ends, and nobody is ejected for resets that he never sent.

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
    /// When the trial of each that is on trial was opened; nobody in whose pool there was panic since.
    private var triedSince: [Candidate: UInt64] = [:]
    /// The counter of replays when the oldest of these was opened.
    private var replaysBeforeTrials: UInt64 = 0
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
            where Self.isOut(health.candidates.standing(index)) {
                out.insert(Candidate(pool: pool, index: index))
            }
        }
    }

    private static func isOut(_ standing: Standing) -> Bool {
        standing.state.takesNothing && standing.trial == .none
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
        checkTrials(worker)
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

    /// One that ends before its backend has spoken may be followed by another.
    private func checkTrials(_ worker: borrowing Worker) {
        triedSince = triedSince.filter { !pools[$0.key.pool].candidates.isPanicking }
        if triedSince.isEmpty { return }
        var tried: Set<Candidate> = []
        // A request that is sent again to the same backend is no trial.
        var excused = replaysBefore - replaysBeforeTrials
        worker.forEachSession { view in
            let candidate = Candidate(pool: view.pool, index: view.backend)
            guard let opened = triedSince[candidate], view.backendDescriptor >= 0,
                view.connectStartedAt > opened
            else { return }
            if tried.insert(candidate).inserted { return }
            if excused > 0 { excused -= 1 } else { world.fail("a backend on trial has two sessions") }
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
        switch event {
        case .panic(_, let isOn, _, _): if isOn { counts[.panicked, default: 0] += 1 }
        case .trial(let pool, let backend, _):
            counts[.onTrial, default: 0] += 1
            endsAt[Candidate(pool: pool, index: backend)] = nil
            if triedSince.isEmpty { replaysBeforeTrials = replaysBefore }
            triedSince[Candidate(pool: pool, index: backend)] = now
        case .change(let change): note(change, now)
        }
    }

    private func note(_ change: HealthChange, _ now: UInt64) {
        let candidate = Candidate(pool: change.pool, index: change.backend)
        if change.from == .ejected {
            if change.to != .ejected { counts[.readmitted, default: 0] += 1 }
            endsAt[candidate] = nil
            triedSince[candidate] = nil
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

    /// With nobody there, everybody is well again in time, once who is on trial has been asked.
    func checkAtEnd() {
        guard world.failure == nil else { return }
        var now = world.kernel.now
        tick(now)
        for _ in 0..<4 {
            now += 100_000_000_000
            tick(now)
            for health in pools { passTrials(health) }
        }
        for health in pools where health.candidates.excluded != Exclusions() || health.ejectedCount != 0 {
            world.fail("backends are out of rotation for ever")
        }
        for health in pools
        where (0..<health.candidates.count).contains(where: { health.candidates.standing($0) != .healthy }) {
            world.fail("backends do not get well")
        }
    }

    private func passTrials(_ health: PoolHealth) {
        for index in 0..<health.candidates.count where health.candidates.standing(index).trial != .none {
            guard let trial = health.candidates.begin(index), trial != .noTrial else {
                world.fail("a trial has not ended with its session")
                return
            }
            health.noteSuccess(index, trial: trial)
        }
    }

    func count(_ coverage: Coverage) {
        for (happening, count) in counts { coverage.add(happening, count) }
    }
}
