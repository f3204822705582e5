// The thread that asks the backends of `balance: prequal` for their load and writes what they say into the pools'
// shared memory. Whom to ask and when is decided in `Balancing/ProbeBook.swift`; the exchanges are `Probing`'s.

import Balancing
import Base
import CLinux
import Configuration
import Dataplane
import EmulatedKernel
import Glibc
import Probing
import Ring
import Synchronization

final class LoadProbing: @unchecked Sendable {
    /// One pool whose backends are asked.
    private struct ProbedPool {
        let name: String
        /// Without backups, in the order of the plan.
        let backends: [Backend]
        let probes: [Probe]
        var book: ProbeBook
    }

    private static let tickNanoseconds: UInt64 = 20_000_000
    /// What is older counts for nothing.
    private static let timeoutNanoseconds = ProbePool.ageLimitNanoseconds
    private static let inFlightLimit = 32
    /// Those, a ring (the emulated one has two), and what wakes it.
    static let descriptorLimit = inFlightLimit + 3
    private static let answerLimitBytes = 8 * 1024
    private static let stopLimitNanoseconds: UInt64 = 1_000_000_000

    /// Kept as long as its backends are asked.
    private let generation: Generation
    private let engine: Engine
    private let events: EventLog
    private let wakeDescriptor: Int32
    private let shouldStop = Atomic<Bool>(false)
    private var thread = pthread_t()

    /// nil where no pool wants it.
    init?(_ generation: Generation, _ engine: Engine, _ events: EventLog) {
        guard generation.configuration.pools.contains(where: { $0.balance == .prequal }) else { return nil }
        self.generation = generation
        self.engine = engine
        self.events = events
        wakeDescriptor = weir_eventfd()
    }

    deinit { close(wakeDescriptor) }

    func start() throws(Failure) {
        guard wakeDescriptor >= 0 else { throw Failure("cannot open an eventfd: \(errorText(errno))") }
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<LoadProbing>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, context)
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
    }

    /// Returns when nothing of it is left, in about a second at most.
    func stop() {
        shouldStop.store(true, ordering: .relaxed)
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
        pthread_join(thread, nil)
    }

    // MARK: On its thread

    private func main() {
        do throws(RingSetUpError) {
            let kernel = engine.kind == .epoll ? EmulatedKernel() : nil
            var settings = ProberSettings()
            settings.inFlightLimit = Self.inFlightLimit
            settings.answerLimitBytes = Self.answerLimitBytes
            settings.wakeDescriptor = wakeDescriptor
            let prober = try Prober(port: kernel?.port ?? .real, settings)
            let code = run(prober)
            if code != 0 { reportFailure("the ring stopped working", code) }
            withExtendedLifetime(kernel) {}
        } catch {
            reportFailure(error.step, error.errno)
        }
    }

    /// Workers choose without probes then.
    private func reportFailure(_ step: StaticString, _ code: Int32) {
        events.write(.error, "load_probing_failed") { $0.text("cause", "\(step): \(errorText(code))") }
    }

    private func run(_ prober: Prober) -> Int32 {
        var pools = generation.configuration.pools.indices.compactMap { probedPool($0, now: prober.now) }
        var tickAt = prober.now
        while !shouldStop.load(ordering: .relaxed) {
            if prober.now >= tickAt {
                for number in pools.indices { ask(&pools[number], number, prober) }
                tickAt = prober.now + Self.tickNanoseconds
            }
            let code = prober.turn(waitingUntil: tickAt)
            if code != 0 { return code }
            while let result = prober.nextResult() {
                take(result, of: &pools[Int(result.reference >> 32)], now: prober.now)
            }
        }
        prober.stop()
        let limit = prober.now + Self.stopLimitNanoseconds
        while !prober.isIdle, prober.now < limit {
            let code = prober.turn(waitingUntil: limit)
            if code != 0 { return code }
        }
        return 0
    }

    private func probedPool(_ index: Int, now: UInt64) -> ProbedPool? {
        let pool = generation.configuration.pools[index]
        guard let prequal = pool.prequal else { return nil }
        let plan = generation.snapshot.pool(index)
        var seed: UInt64 = 0
        _ = weir_random_bytes(&seed, 8)
        guard
            let book = ProbeBook(
                plan.pointee.balance, mostPerSecond: prequal.probesPerSecond, seed: seed, now: now)
        else { return nil }
        let backends = pool.backends.filter { !$0.isBackup }
        let probes = backends.indices.map { place in
            let address = plan.pointee.backends[place].address
            let host = address.family == AF_UNIX ? "localhost" : backends[place].address.description
            return Probe.load(
                target: prequal.path, host: host, to: address, timeoutNanoseconds: Self.timeoutNanoseconds)
        }
        return ProbedPool(name: pool.name, backends: backends, probes: probes, book: book)
    }

    private func ask(_ pool: inout ProbedPool, _ number: Int, _ prober: Prober) {
        for _ in 0..<pool.book.probesDue(now: prober.now) {
            guard let backend = pool.book.nextBackend() else { return }
            // Where too many wait, the servers or this thread are too slow for the rate: it is less then.
            _ = prober.submit(
                pool.probes[backend], reference: UInt64(number) << 32 | UInt64(backend))
        }
    }

    private func take(_ result: ProbeResult, of pool: inout ProbedPool, now: UInt64) {
        let backend = Int(result.reference & 0xFFFF_FFFF)
        guard result.cause.isOfServer else { return }
        if result.cause == .ok, let load = BackendLoad(answer: result.answer) {
            let isNews = pool.book.answered(
                backend, inFlight: load.inFlight, latencyMicroseconds: load.latencyMicroseconds, now: now)
            if isNews { report(.info, "load_told", pool, backend, result) }
            return
        }
        // Who cannot be asked has another problem than that it does not know the question.
        guard result.cause == .unexpectedAnswer || result.cause == .closed else {
            pool.book.forget(backend)
            return
        }
        if pool.book.isWithoutLoad(backend) { report(.warning, "load_not_told", pool, backend, result) }
    }

    private func report(
        _ level: EventLog.Level, _ event: StaticString, _ pool: ProbedPool, _ backend: Int,
        _ result: ProbeResult
    ) {
        events.write(level, event) { record in
            record.text("pool", pool.name)
            record.text("backend", pool.backends[backend].name)
            guard result.cause != .ok else { return }
            record.word("cause", result.cause.name)
            if !result.detail.isEmpty { record.text("detail", result.detail) }
            record.word("fallback", Policy.peakEWMA.name)
        }
    }
}
