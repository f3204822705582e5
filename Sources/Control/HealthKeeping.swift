// Drives the keeper of all pools' health from the control thread, hands it the results of checks, and writes what it
// reports to the event log. Also notices when checks stand still.

import Balancing
import Configuration
import Dataplane
import Health
import Ring

/// The health of all pools, of the configuration that is served.
final class HealthKeeping {
    private var keeper: Keeper
    private var pools: [NamedPool]
    private let events: EventLog
    /// nil where there are none.
    private var checks: Checks?
    private let engine: Engine
    private var watch = CheckWatch()

    private struct NamedPool {
        var name: String
        /// In the order of the candidates.
        var backends: [String]
    }

    /// Nothing can ever change.
    private(set) var isIdle: Bool

    /// Checks begin at once.
    init(_ generation: Generation, _ engine: Engine, _ events: EventLog) throws(Failure) {
        keeper = Keeper(generation.snapshot.healthOfPools)
        isIdle = Self.isIdle(generation)
        pools = Self.names(generation)
        self.events = events
        self.engine = engine
        checks = Checks(generation.configuration, generation.snapshot, engine)
        try checks?.start()
    }

    /// Another configuration holds, before any worker takes it. Checks go on where nothing of them has changed.
    func follow(_ generation: Generation) throws(Failure) {
        keeper.tick(now: Server.workerClock) { report($0) }
        pools = Self.names(generation)
        keeper.follow(generation.successions, now: Server.workerClock) { report($0) }
        isIdle = Self.isIdle(generation)
        let isSame = generation.successions.enumerated().allSatisfy { $1.isSame && $1.before == $0 }
        guard !isSame || checks == nil else { return }
        checks?.stop()
        checks = Checks(generation.configuration, generation.snapshot, engine)
        watch = CheckWatch()
        try checks?.start()
    }

    /// Pool, backend and state of those that health lets take nothing now, by name.
    static func unusable(_ generation: Generation) -> [[String]] {
        zip(names(generation), generation.snapshot.healthOfPools).flatMap { pool, health in
            pool.backends.enumerated().compactMap { index, backend in
                let state = health.candidates.standing(index).state
                return state == .unhealthy || state == .ejected ? [pool.name, backend, "\(state.name)"] : nil
            }
        }
    }

    /// What `unusable` answered in the process whose place this one takes.
    func adopt(_ unusable: [[String]]) {
        for words in unusable where words.count == 3 {
            guard let pool = pools.firstIndex(where: { $0.name == words[0] }),
                let backend = pools[pool].backends.firstIndex(of: words[1]),
                let state = BackendState.allCases.first(where: { "\($0.name)" == words[2] })
            else { continue }
            keeper.adopt(state, pool: pool, backend: backend, now: Server.workerClock) { report($0) }
        }
    }

    /// Of a pool that is in no configuration any more nothing is to be looked at.
    private static func isIdle(_ generation: Generation) -> Bool {
        generation.snapshot.healthOfPools.allSatisfy {
            $0.rules.passive == nil && $0.rules.checks == nil && $0.rules.slowStartNanoseconds == 0
        }
    }

    private static func names(_ generation: Generation) -> [NamedPool] {
        generation.configuration.pools.map { pool in
            NamedPool(name: pool.name, backends: pool.backendsBackupsLast.map(\.name))
        }
    }

    /// How long the control thread may sleep.
    static let tickMilliseconds: Int32 = 100

    /// About that often.
    func tick() {
        if isIdle { return }
        let now = Server.workerClock
        keeper.tick(now: now) { report($0) }
        guard let checks else { return }
        for result in checks.takeResults() {
            keeper.noteCheck(pool: result.pool, backend: result.backend, failure: result.failure, now: now) {
                report($0)
            }
        }
        switch checks.look(&watch, now: now) {
        case .began(let trouble): events.write(.error, "checks_stalled") { $0.text("cause", trouble.text) }
        case .over: events.write(.info, "checks_resumed")
        case nil: break
        }
    }

    private func report(_ event: HealthEvent) {
        switch event {
        case .change(let change):
            events.write(change.to.takesNothing || change.to == .degraded ? .warning : .info, "health") {
                record in
                record.text("pool", pools[change.pool].name)
                record.text("backend", pools[change.pool].backends[change.backend])
                record.word("from", change.from.name)
                record.word("to", change.to.name)
                record.text("cause", change.text)
                if change.to == .ejected {
                    record.number("back_in_ms", change.backInNanoseconds / 1_000_000)
                    record.number("repetition", UInt64(change.repetition))
                }
            }
        case .trial(let pool, let backend, let elapsed):
            events.write(.info, "trial") { record in
                record.text("pool", pools[pool].name)
                record.text("backend", pools[pool].backends[backend])
                record.number("ejected_ms", elapsed / 1_000_000)
            }
        case .panic(let pool, let isOn, let usable, let count):
            events.write(isOn ? .error : .info, isOn ? "panic" : "panic_over") { record in
                record.text("pool", pools[pool].name)
                record.number("usable", UInt64(usable))
                record.number("backends", UInt64(count))
            }
        }
    }
}
