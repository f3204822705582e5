// Going back to an older configuration: because somebody asks for it, or by itself, where too much fails after a reload.
// It becomes a new numbered configuration, and stays until the file changes or somebody applies something else.

import Configuration
import Dataplane

/// What is counted of the time after a reload.
struct Outcomes {
    /// At backends, as for alerts.
    var tries: UInt64 = 0
    var failedTries: UInt64 = 0
    /// Of http listeners; those that Weir answers itself with 5xx too.
    var requests: UInt64 = 0
    var answers5xx: UInt64 = 0

    /// Through all versions of each backend and listener that is there now.
    init(_ generation: Generation) {
        let snapshot = generation.snapshot
        for index in generation.configuration.pools.indices {
            let pool = snapshot.pool(index).pointee
            for backend in 0..<pool.candidates.count {
                tries += pool.backends[backend].total(.tries)
                failedTries += pool.backends[backend].total(.failures)
            }
        }
        for index in generation.configuration.listeners.indices {
            requests += snapshot.listener(index).pointee.total(.requests)
            answers5xx += snapshot.listener(index).pointee.total(.responses5xx)
        }
    }
}

/// Watches over a configuration that was just applied.
struct RollbackWatch {
    /// More failed than may.
    struct Verdict {
        let failed: UInt64
        let of: UInt64
        let what: StaticString
    }

    /// The configuration to go back to.
    let number: Int
    private let percent: UInt64
    private let minimum: UInt64
    private let beganAt: Double
    private let endsAt: Double
    private let before: Outcomes

    /// nil where the configuration does not want it. `number` is the one that was in force before it.
    init?(_ generation: Generation, backTo number: Int, now: Double) {
        guard let settings = generation.configuration.reload else { return nil }
        self.number = number
        percent = UInt64(settings.rollbackAbovePercent)
        minimum = UInt64(settings.minimum)
        beganAt = now
        endsAt = now + Double(settings.withinNanoseconds) / 1e9
        before = Outcomes(generation)
    }

    func isOver(now: Double) -> Bool { now >= endsAt }

    func lastedSeconds(now: Double) -> UInt64 { UInt64(max(now - beganAt, 0).rounded(.up)) }

    func verdict(_ now: Outcomes) -> Verdict? {
        judge(now.failedTries &- before.failedTries, of: now.tries &- before.tries, "tries")
            ?? judge(now.answers5xx &- before.answers5xx, of: now.requests &- before.requests, "requests")
    }

    private func judge(_ failed: UInt64, of total: UInt64, _ what: StaticString) -> Verdict? {
        guard total >= minimum, failed * 100 > percent * total else { return nil }
        return Verdict(failed: failed, of: total, what: what)
    }
}

extension Server {
    /// What was in force under a number is in force again, under a new number.
    func rollBack(
        to older: (file: Configuration, operated: RuntimeChanges), source: ChangeSource
    ) throws(Failure) {
        try apply(older.file, older.operated, source: source)
        // Whatever the file says now was known when somebody went back: it counts from its next change on.
        reload.watched = FileStamp(options.configurationName)
        reload.wantedBy = nil
    }

    /// Once a turn of the control thread.
    func checkRollback() {
        guard let watch = reload.rollbackWatch, reload.beganAt == nil, shared.pointee.command == .run,
            !upgrade.isUnderWay
        else { return }
        let now = monotonicSeconds()
        guard let verdict = watch.verdict(Outcomes(generations.current)) else {
            if watch.isOver(now: now) { reload.rollbackWatch = nil }
            return
        }
        reload.rollbackWatch = nil
        let failedNumber = generations.current.number
        guard let configuration = reload.history.configuration(watch.number) else { return }
        do throws(Failure) {
            try rollBack(to: configuration, source: .automaticRollback(to: watch.number))
        } catch {
            // The log has it, and trying again would not help.
            return
        }
        events.write(.error, "rolled_back") { record in
            record.number("from", UInt64(failedNumber))
            record.number("to", UInt64(watch.number))
            record.number("number", UInt64(generations.current.number))
            record.number("failed", verdict.failed)
            record.number(verdict.what, verdict.of)
            record.number("within_s", watch.lastedSeconds(now: now))
        }
    }
}
