// The life of `weir run`: take what is needed (descriptors, engine, logs, sockets, addresses), start the
// workers, then wait for signals and commands (Commands.swift). SIGTERM drains and a second one stops; SIGHUP applies
// the file anew (Reload.swift), SIGUSR1 opens the logs anew, SIGUSR2 starts the program anew (Upgrade/).

import Base
import CLinux
import Configuration
import Dataplane
import Glibc
import Ring
import Synchronization
import Telemetry

/// What `weir run` was asked for beyond the file.
public struct ServerOptions: Sendable {
    /// How long sessions may go on after SIGTERM.
    public var drainTimeoutSeconds = 30
    /// How long they may go on after another process has taken this one's place.
    public var upgradeDrainTimeoutSeconds = 86_400
    /// The file's name, for the log.
    public var configurationName = ""

    public init() {}
}

public final class Server {
    let options: ServerOptions
    let events: EventLog
    private let logs: LogFiles
    var listening: Listening
    let shared: UnsafeMutablePointer<SharedState>
    var generations: Generations
    var reload: Reload
    /// Sockets that a worker had at start: what it has room for is sized by it.
    let firstSocketCount: Int
    /// Says how the keys of rate limits are hashed: a secret.
    let seed: UInt64
    var threads: [WorkerThread] = []
    var probing: LoadProbing?
    var upgrade = Upgrade()
    /// nil where /proc does not say.
    let program = StartedProgram()
    let engine: Engine
    let reports: Int32
    private let signals: Int32
    let health: HealthKeeping
    let alerts: Alerts?
    /// nil where nobody may look.
    let admin: AdminServer?
    private let startedAt = monotonicSeconds()
    private let startedAtSince1970 = secondsSince1970()
    private var memory: MemoryWatch?
    /// To be asked for once the workers are there.
    private lazy var recentLogs = RecentLogs(
        threads, logs, events.recent, startedAtSince1970: startedAtSince1970)
    /// While draining: when sessions are cut, when progress is reported next, and when workers that still
    /// wait (for somebody to read their log) are left behind.
    private var draining: Drain?
    private var stopAt = Double.infinity
    private var reportAt = Double.infinity
    private var reportSeconds = Server.firstReportSeconds
    private var leaveAt = Double.infinity
    private var hasClosedShared = false
    private static let firstReportSeconds = 5.0
    /// Progress of a long drain is not news every five seconds.
    private static let longestReportSeconds = 300.0
    private static let patienceSeconds = 2.0
    private static let memoryLookMilliseconds: Int32 = 1000

    /// Starts everything or nothing, in the place of a running Weir where that has started this process. When it
    /// returns, connections are served.
    public convenience init(_ configuration: Configuration, options: ServerOptions) throws(Failure) {
        let predecessor = try Predecessor.find()
        do throws(Failure) {
            try self.init(configuration, options, predecessor)
        } catch {
            predecessor?.failed()
            throw error
        }
    }

    private init(
        _ configuration: Configuration, _ options: ServerOptions, _ predecessor: Predecessor?
    ) throws(Failure) {
        self.options = options
        signals = try Self.takeSignals()
        reports = weir_eventfd()
        let operated = RuntimeChanges(predecessor?.operated ?? [], over: configuration)
        reload = Reload(configuration, operated, file: options.configurationName)
        var configuration = reload.configured
        let sizing = Sizing(configuration, backlog: Worker.backlog)
        let configuredSessions = configuration.limits.sessions
        configuration.limits.sessions = sizing.sessions
        memory = MemoryWatch(configuration.limits)
        let engine = try Engine.choose(configuration.engine)
        logs = try LogFiles(configuration.logs)
        events = EventLog(descriptor: logs.events.descriptor, format: logs.events.format)
        let addresses = try Self.resolve(configuration)
        reload.resolved = addresses
        let inherited = try InheritedSocket.takeAll()
        let handed = predecessor?.sockets ?? []
        listening = try Listening.open(
            configuration, workers: sizing.workers, inherited: inherited, handed: handed)
        var seed: UInt64 = 0
        _ = weir_random_bytes(&seed, 8)
        self.seed = seed
        let sockets = (0..<sizing.workers).map(listening.sockets)
        firstSocketCount = sockets.map(\.count).min() ?? 0
        let first = Generation(
            configuration, sockets: sockets, seed: seed
        ) { $0.address.socketAddress ?? addresses[$0.address]! }
        generations = Generations(first)
        shared = .allocate(capacity: 1)
        shared.initialize(to: SharedState(sessionLimit: configuration.limits.sessions))
        self.engine = engine
        probing = LoadProbing(first, engine, events)
        health = try HealthKeeping(first, engine, events)
        alerts = Alerts(
            first, engine, events,
            webhook: configuration.alerts?.webhook.map { $0.address.socketAddress ?? addresses[$0.address]! })
        admin = if let settings = configuration.admin { try AdminServer(settings) } else { nil }
        if let predecessor { health.adopt(predecessor.unusable) }
        report(configuration, engine, sizing, predecessor, configuredSessions: configuredSessions)
        do throws(Failure) {
            let gate = predecessor == nil ? nil : try Gate()
            try admin?.open(handed: handed)
            try startWorkers(configuration, engine, sizing, gate)
            try probing?.start()
            try alerts?.start()
            try startAdmin(gate)
            try predecessor?.ready(taken: takenSockets)
            try listening.listenOnAll()
            gate?.open()
            try waitForWorkers(past: .ready)
        } catch {
            let foreign = Set(handed.map(\.descriptor))
            listening.removeUnixSockets(but: foreign)
            admin?.removePaths(but: foreign)
            throw error
        }
        if let predecessor {
            predecessor.serving()
            lookAtQueues()
        }
        Systemd.notify("READY=1\nSTATUS=serving")
    }

    /// Every socket that is accepted on.
    private var takenSockets: Set<Int32> {
        Set(listening.bound.flatMap(\.descriptors) + (admin?.handed.map(\.descriptor) ?? []))
    }

    /// Serves until a signal ends it. Answers the exit code.
    public func wait() -> Int32 {
        while true {
            if let failed = threads.first(where: { $0.currentState == .failed }) {
                events.write(.error, "worker_failed") { $0.text("cause", failed.failure) }
                listening.removeUnixSockets()
                admin?.removePaths()
                return 1
            }
            let hasEnded =
                threads.allSatisfy { $0.currentState == .ended } || monotonicSeconds() >= leaveAt
            if hasEnded, !upgrade.isAwaited { break }
            waitForSomething()
        }
        probing?.stop()
        // Whoever asked for the upgrade is to hear of it.
        if upgrade.hasHappened { admin?.waitForAnswers(seconds: Self.patienceSeconds) }
        summarise()
        listening.removeUnixSockets()
        admin?.removePaths()
        return 0
    }

    // MARK: Starting

    /// Holds back the signals that a server answers to, in this thread and in those it starts from here on.
    @discardableResult
    static func holdSignals() -> sigset_t {
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2] { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        return set
    }

    /// From here on signals come as bytes of a descriptor.
    private static func takeSignals() throws(Failure) -> Int32 {
        var set = holdSignals()
        let descriptor = weir_signalfd(&set)
        guard descriptor >= 0 else { throw Failure("cannot wait for signals: \(errorText(errno))") }
        return descriptor
    }

    /// Host names; those of `known` are not asked for again.
    static func resolve(
        _ configuration: Configuration, known: [Address: SocketAddress] = [:]
    ) throws(Failure) -> [Address: SocketAddress] {
        var found = known
        for pool in configuration.pools {
            for backend in pool.backends {
                if case .unix(let path) = backend.address, backend.address.socketAddress == nil {
                    throw Failure(
                        "pool \(pool.name): the path \(path) is longer than "
                            + "\(SocketAddress.unixPathLimitBytes) bytes, which unix sockets do not allow")
                }
                guard case .name(let name, let port) = backend.address, found[backend.address] == nil
                else { continue }
                do throws(Failure) {
                    found[backend.address] = try NameLookup.resolve(name, port: port)
                } catch {
                    throw Failure("pool \(pool.name), backend \(backend.name): \(error.message)")
                }
            }
        }
        if case .name(let name, let port)? = configuration.alerts?.webhook?.address {
            do throws(Failure) {
                found[.name(name, port: port)] = try NameLookup.resolve(name, port: port)
            } catch {
                throw Failure("alerts: \(error.message)")
            }
        }
        return found
    }

    private func report(
        _ configuration: Configuration, _ engine: Engine, _ sizing: Sizing, _ predecessor: Predecessor?,
        configuredSessions: Int
    ) {
        events.write(.info, "starting") { record in
            record.text("version", Version.text)
            record.word("engine", engine.name)
            record.text("engine_why", engine.why)
            record.number("workers", UInt64(sizing.workers))
            record.number("pid", UInt64(getpid()))
            record.text("configuration", options.configurationName)
            if let predecessor { record.number("in_place_of", UInt64(predecessor.process)) }
        }
        for index in configuration.listeners.indices { reportListener(configuration, index) }
        guard sizing.isShortOfDescriptors else { return }
        // Who left the default asks for nothing that is missed.
        let isDefault = configuredSessions == ProcessLimits().sessions
        events.write(isDefault ? .info : .warning, "sessions_limited") { record in
            record.number("configured", UInt64(configuredSessions))
            record.number("sessions", UInt64(sizing.sessions))
            record.number("descriptors", UInt64(sizing.descriptorLimit))
            record.word("advice", "raise LimitNOFILE (ulimit -n) or lower limits.sessions")
        }
    }

    func reportListener(_ configuration: Configuration, _ index: Int) {
        let listener = configuration.listeners[index]
        events.write(.info, "listening") { record in
            record.text("listener", listener.name)
            let addresses = listening.addresses(of: index).map(\.description)
            record.text("addresses", addresses.joined(separator: ", "))
            if let pool = listener.pool { record.text("pool", pool) }
        }
    }

    private func startWorkers(
        _ configuration: Configuration, _ engine: Engine, _ sizing: Sizing, _ gate: Gate?
    ) throws(Failure) {
        let cores = Granted.cores()
        var seed: UInt64 = 0
        _ = weir_random_bytes(&seed, 8)
        for index in 0..<sizing.workers {
            let wake = weir_eventfd()
            guard wake >= 0 else { throw Failure("cannot open an eventfd: \(errorText(errno))") }
            var settings = WorkerSettings(
                index: index, port: .real, seed: seed, slots: sizing.slots, buffers: sizing.buffers,
                bufferSizeBytes: configuration.limits.bufferSizeBytes, wakeDescriptor: wake,
                listeners: listening.sockets(ofWorker: index), accessLog: logs.access, eventLog: logs.events,
                logMemory: WorkerLogMemory())
            settings.pipes = sizing.pipes
            settings.descriptorWatermark = Int32(clamping: sizing.descriptorWatermark)
            // More workers than cores share them: pinning would only get in the scheduler's way.
            let core = sizing.workers <= cores.count ? cores[index] : nil
            let thread = WorkerThread(
                settings, epoch: generations.current.epoch(ofWorker: index), shared: shared,
                engine: engine, core: core, reportDescriptor: reports, gate: gate)
            threads.append(thread)
            try thread.start()
        }
        try waitForWorkers(past: .starting)
    }

    private func waitForWorkers(past state: WorkerThread.State) throws(Failure) {
        while threads.contains(where: { $0.currentState == state }) { waitForReport() }
        if let failed = threads.first(where: { $0.currentState == .failed }) {
            throw Failure("a worker cannot start: \(failed.failure)")
        }
    }

    private func startAdmin(_ gate: Gate?) throws(Failure) {
        guard let admin else { return }
        try admin.start(adminFacts(generations.current), gate: gate)
        events.write(.info, "admin_listening") { record in
            record.text("addresses", admin.addresses.map(\.description).joined(separator: ", "))
        }
    }

    /// What the admin API shows from here on.
    func showToAdmin(_ generation: Generation) { admin?.show(adminFacts(generation)) }

    private func adminFacts(_ generation: Generation) -> AdminFacts {
        AdminFacts(
            generation: generation, engine: engine,
            addresses: generation.configuration.listeners.indices.map(listening.addresses), threads: threads,
            shared: shared, startedAt: startedAt, startedAtSince1970: startedAtSince1970,
            history: reload.history, drain: draining, operated: reload.operated, takenOut: reload.takenOut,
            logs: recentLogs)
    }

    private func waitForReport() {
        var wanted = pollfd(fd: reports, events: Int16(POLLIN), revents: 0)
        poll(&wanted, 1, -1)
        var count: UInt64 = 0
        _ = read(reports, &count, 8)
    }

    // MARK: Serving

    private func waitForSomething() {
        var wanted = [
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            pollfd(fd: reports, events: Int16(POLLIN), revents: 0),
            pollfd(fd: commandsDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        // A worker that ends reports; that the last session ended, and what backends are due, is looked for.
        poll(&wanted, nfds_t(wanted.count), timeUntilNextLook())
        health.tick()
        alerts?.tick()
        lookAtMemory()
        var count: UInt64 = 0
        _ = read(reports, &count, 8)
        var info = signalfd_siginfo()
        while read(signals, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
            handle(signal: Int32(info.ssi_signo))
        }
        checkReload()
        takeCommands()
        checkRollback()
        checkUpgrade()
        checkDrain()
    }

    /// In milliseconds; -1 for never.
    private func timeUntilNextLook() -> Int32 {
        if let upgrade = timeUntilUpgradeLook() { return upgrade }
        if let reload = timeUntilReloadLook(), reload < HealthKeeping.tickMilliseconds { return reload }
        if shared.pointee.command != .run || !health.isIdle || alerts != nil {
            return HealthKeeping.tickMilliseconds
        }
        if let reload = timeUntilReloadLook() { return reload }
        return memory == nil ? -1 : Self.memoryLookMilliseconds
    }

    private func lookAtMemory() {
        guard memory != nil, memory!.look(), let memory else { return }
        shared.pointee.setMemoryShort(memory.isShort)
        events.write(memory.isShort ? .warning : .info, memory.isShort ? "memory_short" : "memory_enough") {
            $0.number("used", memory.usedBytes)
            $0.number("limit", memory.limitBytes)
        }
    }

    private func handle(signal: Int32) {
        switch signal {
        case SIGTERM, SIGINT:
            if shared.pointee.command == .run {
                abandonUpgrade()
                beginDrain()
            } else if upgrade.isAwaited {
                upgrade.endsSuccessor = true
                stopAt = monotonicSeconds() + Double(options.drainTimeoutSeconds)
            } else {
                stop(upgrade.hasHappened ? "a signal" : "a second signal")
            }
        case SIGHUP: reload.wantedBy = .signal
        case SIGUSR1:
            do throws(Failure) {
                try logs.reopen()
                events.write(.info, "logs_reopened")
            } catch {
                events.write(.error, "logs_not_reopened") { $0.text("cause", error.message) }
            }
        case SIGUSR2: requestUpgrade()
        default: break
        }
    }

    private func beginDrain() {
        Systemd.notify("STOPPING=1\nSTATUS=draining")
        drain(seconds: options.drainTimeoutSeconds)
    }

    /// Sockets in `successor` are another process's from here on.
    func drain(seconds: Int, successor: Set<Int32> = []) {
        let now = monotonicSeconds()
        stopAt = now + Double(seconds)
        reportAt = now + reportSeconds
        draining = Drain(beganAt: now, endsAt: stopAt)
        reportDrain(secondsLeft: Double(seconds))
        ask(.drain)
        showToAdmin(generations.current)
        // Whoever comes after this process may bind the paths from here on. The sockets are closed when the last worker
        // has let go of them.
        listening.removeUnixSockets(but: successor)
    }

    /// No worker accepts any more: whoever connects to a shared socket is refused from here on. A worker that
    /// still has it in its ring, or in its epoll set, would take another socket of the same number for it.
    private func closeSharedSockets() {
        if hasClosedShared { return }
        hasClosedShared = true
        listening.shared.forEach { close($0) }
    }

    private func stop(_ why: StaticString) {
        guard shared.pointee.command != .stop else { return }
        events.write(.warning, "stopping") { record in
            record.word("cause", why)
            record.number("sessions", UInt64(max(shared.pointee.sessionCount, 0)))
        }
        ask(.stop)
        stopAt = .infinity
        leaveAt = monotonicSeconds() + Self.patienceSeconds
    }

    private func ask(_ command: SharedState.Command) {
        shared.pointee.ask(command)
        threads.forEach { $0.wake() }
    }

    /// Another process that accepted on the same sockets does so no more.
    func lookAtQueues() {
        shared.pointee.lookAtQueues()
        threads.forEach { $0.wake() }
    }

    /// While draining: says how far it is, stops when the time is up, and notices when only a log that
    /// nobody reads is left to wait for.
    private func checkDrain() {
        guard shared.pointee.command != .run else { return }
        let now = monotonicSeconds()
        if now >= stopAt { stop("the drain timeout") }
        if shared.pointee.acceptingWorkers == 0 { closeSharedSockets() }
        if shared.pointee.sessionCount == 0 { leaveAt = min(leaveAt, now + Self.patienceSeconds) }
        if now >= reportAt, shared.pointee.command == .drain {
            reportSeconds = min(2 * reportSeconds, Self.longestReportSeconds)
            reportAt = now + reportSeconds
            reportDrain(secondsLeft: max(stopAt - now, 0))
        }
    }

    private func reportDrain(secondsLeft: Double) {
        events.write(.info, "draining") { record in
            record.number("pid", UInt64(getpid()))
            record.number("sessions", UInt64(max(shared.pointee.sessionCount, 0)))
            record.number("timeout_s", UInt64(secondsLeft))
        }
    }

    private func summarise() {
        func total(_ counter: Counter) -> UInt64 {
            threads.reduce(0) { $0 + $1.counters.pointee[counter] }
        }
        events.write(.info, "stopped") { record in
            record.number("pid", UInt64(getpid()))
            record.number("accepted", total(.accepted))
            record.number("sessions", total(.finished))
            record.number("bytes_in", total(.bytesIn))
            record.number("bytes_out", total(.bytesOut))
            record.number("refused", total(.refused))
            record.number("log_records_dropped", total(.logDropped))
            record.number("uptime_s", UInt64(monotonicSeconds() - startedAt))
            record.beginObject("reasons")
            for reason in Reason.allCases {
                let count = threads.reduce(0) {
                    $0 + $1.counters.pointee[reason: Int(reason.rawValue)]
                }
                if count > 0 { record.number(reason.name, count) }
            }
            record.endObject()
        }
    }
}

func secondsSince1970() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

extension Server {
    /// Nanoseconds, as the workers have them.
    static var workerClock: UInt64 {
        let port = KernelPort.real
        return port.monotonicNow(port.context)
    }
}

func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
