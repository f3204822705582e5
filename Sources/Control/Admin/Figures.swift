// All that is counted, at one moment, as plain values: read once out of the workers' memory, then written as JSON or
// as metrics. Counters that are written meanwhile are read either before or after; none is torn.

import Balancing
import Configuration
import Dataplane
import Glibc
import Telemetry

struct Figures {
    struct WorkerFigures {
        let state: WorkerThread.State
        /// By `Counter`.
        let counters: [UInt64]
    }

    struct ListenerFigures {
        let name: String
        let mode: ListenerMode
        let addresses: [String]
        let sessions: Int
        let sessionLimit: Int?
        /// By `ListenerCounter`.
        let counters: [UInt64]
        /// By bucket of `DurationBuckets`.
        let durations: [UInt64]

        subscript(_ counter: ListenerCounter) -> UInt64 { counters[counter.rawValue] }
    }

    struct BackendFigures {
        let name: String
        let address: String
        let state: BackendState
        /// Of its weight, in 256ths: less than 256 while it is warming up or degraded.
        let share: Int
        let weight: Int
        let maxSessions: Int?
        let isBackup: Bool
        /// Sessions and requests that hold it now.
        let active: Int
        /// Keys in which it differs from the file; `added` where the file does not have it.
        let differs: [String]
        /// Since an operator took it out of rotation; nil where nobody did.
        let takenOutSeconds: Int?
        /// By `BackendCounter`.
        let counters: [UInt64]

        subscript(_ counter: BackendCounter) -> UInt64 { counters[counter.rawValue] }
    }

    struct PoolFigures {
        let name: String
        let balance: String
        let isPanicking: Bool
        let pending: Int
        let full: Int
        let backends: [BackendFigures]
        /// Whom the file has in it and operators removed.
        let removed: [String]
    }

    let status: String
    let drain: Drain?
    let history: History
    let engine: String
    let uptimeMicroseconds: UInt64
    let startedAtSince1970: Double
    let sessions: Int
    let sessionLimit: Int
    let residentBytes: UInt64
    let processorMicroseconds: UInt64
    let workers: [WorkerFigures]
    /// By `Reason`, of all workers.
    let reasons: [UInt64]
    let listeners: [ListenerFigures]
    let pools: [PoolFigures]

    init(_ facts: AdminFacts) {
        let shared = facts.shared
        let snapshot = facts.snapshot
        status = shared.pointee.command.word
        drain = facts.drain
        history = facts.history
        engine = String(describing: facts.engine.name)
        uptimeMicroseconds = UInt64((monotonicSeconds() - facts.startedAt) * 1e6)
        startedAtSince1970 = facts.startedAtSince1970
        sessions = max(shared.pointee.sessionCount, 0)
        sessionLimit = snapshot.sessionLimit
        residentBytes = ProcessFigures.residentBytes
        processorMicroseconds = ProcessFigures.processorMicroseconds
        workers = facts.threads.map { thread in
            WorkerFigures(
                state: thread.currentState, counters: Counter.allCases.map { thread.counters.pointee[$0] })
        }
        reasons = Reason.allCases.map { reason in
            facts.threads.reduce(0) { $0 &+ $1.counters.pointee[reason: Int(reason.rawValue)] }
        }
        listeners = facts.configuration.listeners.enumerated().map { index, listener in
            let plan = snapshot.listener(index)
            return ListenerFigures(
                name: listener.name, mode: listener.mode,
                addresses: facts.addresses[index].map(\.description),
                sessions: plan.pointee.sessionCount,
                sessionLimit: listener.limits.sessions,
                counters: ListenerCounter.allCases.map { plan.pointee.total($0) },
                durations: (0..<DurationBuckets.count).map { plan.pointee.durations(inBucket: $0) })
        }
        pools = facts.configuration.pools.enumerated().map { index, pool in
            PoolFigures(pool, snapshot.pool(index), facts)
        }
    }

    /// Of all workers.
    func total(_ counter: Counter) -> UInt64 { workers.reduce(0) { $0 &+ $1.counters[counter.rawValue] } }
}

extension Figures.PoolFigures {
    init(_ pool: Pool, _ plan: UnsafePointer<PoolPlan>, _ facts: AdminFacts) {
        let now = monotonicSeconds()
        let candidates = plan.pointee.candidates
        name = pool.name
        balance = pool.balance.rawValue
        isPanicking = candidates.isPanicking
        pending = plan.pointee.pendingCount
        full = candidates.fullCount
        removed = facts.operated.removed(from: pool.name)
        backends = pool.backendsBackupsLast.enumerated().map { index, backend in
            let standing = candidates.standing(index)
            let identity = BackendIdentity(pool: pool.name, name: backend.name)
            return Figures.BackendFigures(
                name: backend.name, address: backend.address.description, state: standing.state,
                share: standing.share, weight: backend.weight, maxSessions: backend.maxSessions,
                isBackup: backend.isBackup,
                active: max(candidates[index].active.load(ordering: .relaxed), 0),
                differs: facts.operated.differingKeys(identity),
                takenOutSeconds: facts.takenOut.seconds(identity, now: now),
                counters: BackendCounter.allCases.map { (plan.pointee.backends + index).pointee.total($0) })
        }
    }
}

/// What the operating system says of this process.
private enum ProcessFigures {
    /// proc_pid_statm(5): the second number, in pages. 0 where it cannot be read.
    static var residentBytes: UInt64 {
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = max(read(descriptor, &text, text.count), 0)
        let numbers = String(decoding: text[..<count], as: UTF8.self).split(separator: " ")
        return (numbers.count > 1 ? UInt64(numbers[1]) ?? 0 : 0) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }

    static var processorMicroseconds: UInt64 {
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return UInt64(seconds) * 1_000_000 + UInt64(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }
}
