// Looks at the pools from the control thread, writes alerts to the event log and hands them to whoever is to be told.
// What an alert is, is decided in `Health/AlertWatch.swift`; how it gets out, in `AlertSender.swift`.

import Base
import Configuration
import Dataplane
import Glibc
import Health
import Telemetry

final class Alerts {
    private struct WatchedPool {
        let name: String
        var watch: AlertWatch
    }

    private var generation: Generation
    private let errorRatePercent: Int
    private let events: EventLog
    /// nil where nobody but the log is told.
    private let sender: AlertSender?
    private var pools: [WatchedPool]
    private var lookAt: UInt64 = 0
    private static let lookNanoseconds: UInt64 = 250_000_000

    /// nil where nobody wants them. `webhook` is where that one's address leads.
    init?(
        _ generation: Generation, _ engine: Engine, _ events: EventLog, webhook: SocketAddress?
    ) {
        guard let settings = generation.configuration.alerts else { return nil }
        self.generation = generation
        errorRatePercent = settings.errorRatePercent
        self.events = events
        let now = Server.workerClock
        pools = generation.configuration.pools.map { pool in
            WatchedPool(
                name: pool.name,
                watch: AlertWatch(errorRatePercent: settings.errorRatePercent, now: now))
        }
        sender = AlertSender(settings, engine, events, webhook: webhook)
    }

    func start() throws(Failure) { try sender?.start() }

    /// Another configuration holds.
    func follow(_ next: Generation) {
        var old = pools
        pools = zip(next.configuration.pools, next.successions).map { pool, succession in
            guard let before = succession.before else {
                let watch = AlertWatch(errorRatePercent: errorRatePercent, now: Server.workerClock)
                return WatchedPool(name: pool.name, watch: watch)
            }
            var watched = old[before]
            if !succession.isSame { watched.watch.countAnew() }
            return watched
        }
        let staying = Set(next.successions.compactMap(\.before))
        for index in old.indices where !staying.contains(index) {
            for alert in old[index].watch.end() { tell(alert, old[index].name) }
        }
        generation = next
    }

    /// About every tenth of a second.
    func tick() {
        let now = Server.workerClock
        if now < lookAt { return }
        lookAt = now + Self.lookNanoseconds
        for index in pools.indices {
            for alert in pools[index].watch.look(sight(index), now: now) { tell(alert, pools[index].name) }
        }
    }

    private func sight(_ index: Int) -> PoolSight {
        let pool = generation.snapshot.pool(index).pointee
        var sight = PoolSight(usable: 0, backends: 0, tries: 0, failures: 0)
        for backend in 0..<pool.candidates.count {
            sight.tries += pool.backends[backend].total(.tries)
            sight.failures += pool.backends[backend].total(.failures)
            guard pool.candidates[backend].weight > 0 else { continue }
            sight.backends += 1
            if !pool.candidates.standing(backend).state.takesNothing { sight.usable += 1 }
        }
        return sight
    }

    private func tell(_ alert: Alert, _ pool: String) {
        let event: StaticString = alert.isOver ? "alert_over" : "alert"
        let fields = { (record: inout RecordWriter) in
            record.text("pool", pool)
            record.word("condition", alert.condition.name)
            record.text("cause", alert.text)
            record.number("usable", UInt64(alert.usable))
            record.number("backends", UInt64(alert.backends))
            record.number("failed", alert.failures)
            record.number("tries", alert.tries)
            if alert.isOver { record.number("lasted_ms", alert.lastedNanoseconds / 1_000_000) }
        }
        let level: EventLog.Level = alert.isOver ? .info : .error
        events.write(level, event, fields)
        sender?.send(EventLog.bytes(level, event, .json, fields))
    }
}
