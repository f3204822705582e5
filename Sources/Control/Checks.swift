// Active checks: what each backend is asked, and the thread that asks, on a ring of its own. It knows nothing of
// states: results go to the control thread, whose keeper makes verdicts of them.

import Base
import CLinux
import Configuration
import Dataplane
import EmulatedKernel
import Glibc
import Health
import Probing
import Ring
import Synchronization

/// One check that has ended.
struct CheckResult: Sendable {
    var pool: Int
    /// As in the pool's candidates.
    var backend: Int
    /// nil: it passed.
    var failure: String?
}

final class Checks: @unchecked Sendable {
    private struct Target {
        var pool: Int
        var backend: Int
        var probe: Probe
        var intervalNanoseconds: UInt64
        var jitterPercent: Int
        /// 0 while nobody asks.
        var askedAt: UInt64 = 0
    }

    // Of the thread.
    private var targets: [Target]
    private let engine: Engine
    // Of both.
    private let results = Mutex<[CheckResult]>([])
    private let failure = Mutex<String?>(nil)
    private let turnedAt = Atomic<UInt64>(0)
    private let overdue = Atomic<Int>(0)
    private let shouldStop = Atomic<Bool>(false)

    /// Checks at a time; the others wait in order.
    private static let inFlightLimit = 256
    /// Those that are due within this time are asked together: that halves what they cost.
    private static let togetherNanoseconds: UInt64 = 20_000_000
    private static let longestTurnNanoseconds: UInt64 = 500_000_000

    /// nil where no pool has checks.
    init?(_ configuration: Configuration, _ snapshot: Snapshot, _ engine: Engine) {
        targets = []
        self.engine = engine
        for (number, pool) in configuration.pools.enumerated() {
            guard let active = pool.health.active else { continue }
            for (index, backend) in pool.backendsBackupsLast.enumerated() where backend.state != .disabled {
                let address = snapshot.pool(number).pointee.backends[index].address
                targets.append(
                    Target(
                        pool: number, backend: index, probe: Self.probe(active, backend, address),
                        intervalNanoseconds: active.intervalNanoseconds, jitterPercent: active.jitterPercent))
            }
        }
        if targets.isEmpty { return nil }
    }

    private static func probe(_ active: ActiveSettings, _ backend: Backend, _ address: SocketAddress) -> Probe
    {
        let timeout = active.timeoutNanoseconds
        if let http = active.http {
            var exchange = HTTPExchange(host: http.host ?? host(backend.address))
            exchange.target = http.path
            exchange.usesHead = http.method == .head
            exchange.headers = http.headers.map { ($0.name, $0.value) }
            exchange.expectedStatuses = http.expect.map(\.statuses)
            exchange.expectedText = Array((http.body ?? "").utf8)
            return .http(exchange, to: address, timeoutNanoseconds: timeout)
        }
        if active.redis != nil { return .redisPing(to: address, timeoutNanoseconds: timeout) }
        if active.postgres != nil { return .postgresSSLRequest(to: address, timeoutNanoseconds: timeout) }
        if let expect = active.expect {
            return .exchange(
                with: address, sending: Array((active.send ?? "").utf8), expectingOneOf: [Array(expect.utf8)],
                timeoutNanoseconds: timeout)
        }
        return .connection(to: address, timeoutNanoseconds: timeout)
    }

    private static func host(_ address: Address) -> String {
        if case .unix = address { return "localhost" }
        return address.description
    }

    /// Sockets of checks that run at the same time, and the ring of their thread.
    static func descriptors(of configuration: Configuration) -> Int {
        let count = configuration.pools.reduce(0) { $0 + ($1.health.active == nil ? 0 : $1.backends.count) }
        return count == 0 ? 0 : min(count, inFlightLimit) + 2
    }

    // MARK: - What the control thread asks

    func start() throws(Failure) {
        turnedAt.store(clock(.real), ordering: .relaxed)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Checks>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context)
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
        pthread_detach(thread)
    }

    /// The thread ends by itself, soon; what it still learns is nobody's.
    func stop() { shouldStop.store(true, ordering: .relaxed) }

    /// Those that have ended since the last time.
    func takeResults() -> [CheckResult] {
        results.withLock { results in
            defer { results = [] }
            return results
        }
    }

    /// Whether checks still happen.
    func look(_ watch: inout CheckWatch, now: UInt64) -> CheckWatch.News? {
        watch.look(
            now: now, turnedAt: turnedAt.load(ordering: .relaxed), overdue: overdue.load(ordering: .relaxed),
            failure: failure.withLock { $0 })
    }

    // MARK: - The thread

    private func run() {
        do throws(RingSetUpError) {
            let kernel = engine.kind == .epoll ? EmulatedKernel() : nil
            var settings = ProberSettings()
            settings.inFlightLimit = min(Self.inFlightLimit, targets.count)
            settings.waitingLimit = targets.count
            let port = kernel?.port ?? .real
            let prober = try Prober(port: port, settings)
            let code = ask(prober, port)
            if code == 0 { return withExtendedLifetime(kernel) {} }
            failure.withLock { $0 = "the ring stopped working: \(errorText(code))" }
            withExtendedLifetime(kernel) {}
        } catch {
            failure.withLock { $0 = "\(error.step) failed: \(errorText(error.errno))" }
        }
    }

    /// For as long as the ring works, until it is to stop; answers the errno with which that ended.
    private func ask(_ prober: Prober, _ port: KernelPort) -> Int32 {
        var seed: UInt64 = 0
        _ = weir_random_bytes(&seed, 8)
        var schedule = CheckSchedule(
            targets.map { ($0.intervalNanoseconds, $0.jitterPercent) }, seed: seed, now: clock(port))
        var askedAt: UInt64 = 0
        var lookedAt: UInt64 = 0
        while !shouldStop.load(ordering: .relaxed) {
            let now = clock(port)
            turnedAt.store(now, ordering: .relaxed)
            if now >= askedAt + Self.togetherNanoseconds {
                askedAt = now
                while let target = schedule.next(now: now) { ask(target, prober, now) }
            }
            if now >= lookedAt + Self.longestTurnNanoseconds {
                lookedAt = now
                lookForOverdue(now)
            }
            let next = max(schedule.nextAt, askedAt + Self.togetherNanoseconds)
            let code = prober.turn(waitingUntil: min(next, now + Self.longestTurnNanoseconds))
            if code != 0 { return code }
            takeResults(of: prober)
        }
        prober.stop()
        let limit = clock(port) + Self.longestTurnNanoseconds
        while !prober.isIdle, clock(port) < limit {
            let code = prober.turn(waitingUntil: limit)
            if code != 0 { return code }
        }
        return 0
    }

    private func ask(_ target: Int, _ prober: Prober, _ now: UInt64) {
        // One that has not ended yet will say so in its time.
        guard targets[target].askedAt == 0 else { return }
        if prober.submit(targets[target].probe, reference: UInt64(target)) { targets[target].askedAt = now }
    }

    private func takeResults(of prober: Prober) {
        var ended: [CheckResult] = []
        while let result = prober.nextResult() {
            let target = Int(result.reference)
            targets[target].askedAt = 0
            guard result.cause.isOfServer else { continue }
            let detail = result.detail.isEmpty ? "" : " (\(result.detail))"
            ended.append(
                CheckResult(
                    pool: targets[target].pool, backend: targets[target].backend,
                    failure: result.cause == .ok ? nil : "\(result.cause.name)\(detail)"))
        }
        if !ended.isEmpty { results.withLock { $0 += ended } }
    }

    private func lookForOverdue(_ now: UInt64) {
        let count = targets.count { target in
            target.askedAt != 0
                && now > target.askedAt + target.probe.timeoutNanoseconds + CheckWatch.patienceNanoseconds
        }
        overdue.store(count, ordering: .relaxed)
    }

    private func clock(_ port: KernelPort) -> UInt64 { port.monotonicNow(port.context) }
}
