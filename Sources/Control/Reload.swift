// Applies another configuration: the file anew, on SIGHUP or when it has changed on the disk, or what a command asks for
// (Commands.swift). All of it, or nothing.
//
//   wanted -> (read, resolve, bind; an error ends it here) -> published -> every worker has taken it -> reported
//
// One at a time; what is asked for meanwhile comes afterwards. docs/reload.md says what becomes of whom.

import Base
import Configuration
import Dataplane
import Glibc
import Telemetry

/// Which version of a file this is, as far as stat(2) tells.
struct FileStamp: Equatable {
    private let device: UInt64
    private let inode: UInt64
    private let byteCount: Int
    private let seconds: Int
    private let nanoseconds: Int

    /// nil where there is none.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode, byteCount) = (UInt64(status.st_dev), UInt64(status.st_ino), Int(status.st_size))
        (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }
}

/// Where a reload is.
struct Reload {
    /// Who wants the file to be applied anew.
    var wantedBy: ChangeSource?
    /// What runs, as a file would have it: sizes are those that were asked for.
    var configured: Configuration
    /// The same without what operators changed of backends.
    var file: Configuration
    var operated: RuntimeChanges
    var takenOut = TakenOut()
    /// Host names that were looked up last.
    var resolved: [Address: SocketAddress] = [:]
    var history: History
    /// What the file said when it was read last; nil where it could not be.
    var fileSays: Configuration?
    /// Too many failures take the configuration back that was applied last.
    var rollbackWatch: RollbackWatch?
    /// The number of the configuration that it will go back to, while workers take the new one.
    var goBackTo: Int?
    /// Workers are taking it since then.
    var beganAt: Double?
    /// The command whose answer is true when every worker has taken it.
    var answer: (letter: AdminMailbox.Letter, answer: AdminAnswer)?
    var source = ChangeSource.start
    var changes: [ConfigurationChange] = []
    /// Sockets that are listened on no more.
    var dropped: [BoundAddress] = []
    /// The file as it was read last, or tried to.
    var watched: FileStamp?
    /// As it was at the last look: a file that is being written is left to settle for one look.
    var seen: FileStamp?

    /// What the process begins with: what its file says, and what operators had changed in the process before it.
    init(_ first: Configuration, _ operated: RuntimeChanges, file: String) {
        configured = operated.applied(to: first)
        self.file = first
        self.operated = operated
        fileSays = first
        takenOut.follow(configured, now: monotonicSeconds())
        history = History(first, operated, file: file)
        history.differsFromFile = !operated.isEmpty
        watched = FileStamp(file)
    }
}

extension Server {
    private static var takingMilliseconds: Int32 { 2 }
    private static var lookMilliseconds: Int32 { 500 }
    /// A socket that the last reload took away may be closing still.
    private static var bindAttempts: Int { 50 }

    /// nil where nothing is to be looked after.
    func timeUntilReloadLook() -> Int32? {
        if reload.beganAt != nil { return Self.takingMilliseconds }
        if reload.rollbackWatch != nil { return HealthKeeping.tickMilliseconds }
        return generations.hasReplaced || generations.current.configuration.watch
            ? Self.lookMilliseconds : nil
    }

    /// Once a turn of the control thread.
    func checkReload() {
        finishReload()
        if generations.hasReplaced { generations.reclaim() }
        guard reload.beganAt == nil, shared.pointee.command == .run, !upgrade.isUnderWay else { return }
        lookAtFile()
        guard let source = reload.wantedBy else { return }
        reload.wantedBy = nil
        do throws(Failure) {
            try applyFile(options.configurationName, source: source)
        } catch {
            // The log has it.
        }
    }

    private func lookAtFile() {
        guard generations.current.configuration.watch else { return }
        let stamp = FileStamp(options.configurationName)
        defer { reload.seen = stamp }
        if let stamp, stamp != reload.watched, stamp == reload.seen { reload.wantedBy = .watch }
    }

    /// Reads a file and applies what it says. Where it fails, nothing has changed.
    /// `discards`: what operators changed of backends does not hold over it.
    func applyFile(_ path: String, source: ChangeSource, discards: Bool = false) throws(Failure) {
        let isOwn = path == options.configurationName
        // Whatever the file says now was known: where another one is applied, it counts from its next change on.
        reload.watched = FileStamp(options.configurationName)
        if isOwn { reload.fileSays = nil }
        let wanted: Configuration
        do throws(Failure) {
            if path.isEmpty { throw Failure("there is no file that it came from") }
            wanted = try ConfigurationFile.read(path)
        } catch {
            report(error, source)
            throw error
        }
        if isOwn { reload.fileSays = wanted }
        let before = generations.current.number
        let operated =
            discards ? RuntimeChanges() : reload.operated.carried(from: reload.file, to: wanted)
        try apply(wanted, operated, source: source)
        if reload.changes.contains(where: { !$0.needsRestart }) { reload.goBackTo = before }
    }

    private func report(_ error: Failure, _ source: ChangeSource) {
        events.write(.error, "reload_failed") { record in
            record.word("source", source.name)
            record.text("configuration", path(source))
            record.number("number", UInt64(generations.current.number))
            record.text("cause", error.message)
        }
        reload.history.failed(error.message, source)
        compareWithFile()
        showToAdmin(generations.current)
    }

    /// For the log: the file that a configuration is of, or was meant to be.
    private func path(_ source: ChangeSource) -> String {
        if case .reload(let file) = source { file } else { options.configurationName }
    }

    private func compareWithFile() {
        let differs = reload.fileSays.map {
            !reload.configured.changes(to: reload.configured.reloading($0)).isEmpty
        }
        reload.history.differsFromFile = differs ?? true
    }

    /// Makes a configuration, as a file would have it, with what operators changed of its backends, the one in force: the
    /// one place where that happens. Returns when the workers have been told; `reload.beganAt` is nil again when all of them have taken it. Where it fails,
    /// nothing has changed. Call it only while `reload.beganAt` is nil.
    func apply(
        _ file: Configuration, _ operated: RuntimeChanges, source: ChangeSource
    ) throws(Failure) {
        precondition(reload.beganAt == nil)
        let wanted = operated.applied(to: file)
        let changes = reload.configured.changes(to: wanted)
        do throws(Failure) {
            // Nobody who drains a backend wants to wait for DNS.
            let known = source.isOfBackends ? reload.resolved : [:]
            try publish(generations.current.configuration.reloading(wanted), known)
        } catch {
            report(error, source)
            throw error
        }
        reload.file = reload.configured.reloading(file)
        reload.configured = reload.configured.reloading(wanted)
        reload.operated = operated
        reload.takenOut.follow(reload.configured, now: monotonicSeconds())
        (reload.source, reload.changes) = (source, changes)
        (reload.rollbackWatch, reload.goBackTo) = (nil, nil)
        reload.history.applied(generations.current.number, reload.file, operated, source, changes)
        compareWithFile()
        showToAdmin(generations.current)
    }

    private func publish(
        _ configuration: Configuration, _ known: [Address: SocketAddress]
    ) throws(Failure) {
        let addresses = try Self.resolve(configuration, known: known)
        let next = try bind(configuration)
        let sockets = threads.indices.map(next.sockets)
        guard sockets.allSatisfy({ $0.count <= Worker.socketLimit(atStart: firstSocketCount) }) else {
            next.dropped(to: listening).flatMap { Set($0.descriptors) }.forEach { close($0) }
            throw Failure("more addresses to bind than this process has room for; restart it")
        }
        reload.resolved = addresses
        reload.dropped = listening.dropped(to: next)
        reload.beganAt = monotonicSeconds()
        Systemd.notify("RELOADING=1\nMONOTONIC_USEC=\(UInt64(monotonicSeconds() * 1_000_000))")
        listening = next
        let generation = Generation(configuration, after: generations.current, sockets: sockets, seed: seed) {
            $0.address.socketAddress ?? addresses[$0.address]!
        }
        let isProbedAlike = generation.successions.enumerated().allSatisfy { $1.isSame && $1.before == $0 }
        if probing != nil, !isProbedAlike { probing?.stop() }
        generations.replace(with: generation)
        alerts?.follow(generation)
        followBackends(generation, isProbedAlike)
        generation.publish(shared)
        threads.forEach { $0.wake() }
        // A successor may bind the paths from here on.
        reload.dropped.compactMap(\.unixPath).forEach { unlink($0) }
    }

    /// Whoever asks backends asks those of the new configuration.
    private func followBackends(_ generation: Generation, _ isProbedAlike: Bool) {
        do throws(Failure) {
            try health.follow(generation)
            if isProbedAlike, probing != nil { return }
            probing = LoadProbing(generation, engine, events)
            try probing?.start()
        } catch {
            events.write(.error, "checks_failed") { $0.text("cause", error.message) }
        }
    }

    private func bind(_ configuration: Configuration) throws(Failure) -> Listening {
        for _ in 1..<Self.bindAttempts {
            do throws(Failure) {
                return try listening.next(configuration)
            } catch {
                guard error.code == EADDRINUSE, !reload.dropped.isEmpty else { throw error }
                usleep(2000)
            }
        }
        return try listening.next(configuration)
    }

    /// Every worker has taken it: says so.
    private func finishReload() {
        let generation = generations.current
        guard let beganAt = reload.beganAt, generation.isTaken, generation.hasLetGoOfSockets else { return }
        reload.beganAt = nil
        reload.rollbackWatch = reload.goBackTo.flatMap {
            RollbackWatch(generation, backTo: $0, now: monotonicSeconds())
        }
        reload.dropped.filter(\.isShared).forEach { close($0.descriptors[0]) }
        for change in reload.changes where change.kind != .removed {
            guard case .listener(let name) = change.subject,
                let index = generation.configuration.listeners.firstIndex(where: { $0.name == name })
            else { continue }
            reportListener(generation.configuration, index)
        }
        let kept = reload.changes.filter(\.needsRestart).flatMap(\.details)
        events.write(kept.isEmpty ? .info : .warning, "reloaded") { record in
            record.text("configuration", path(reload.source))
            record.number("number", UInt64(generation.number))
            record.word("source", reload.source.name)
            if let restored = reload.source.restored { record.number("restored", UInt64(restored)) }
            record.number("taken_us", UInt64((monotonicSeconds() - beganAt) * 1_000_000))
            let changes = reload.changes.filter { !$0.needsRestart }
            record.number("changes", UInt64(changes.count))
            // A record has its limit: `weir plan` says all.
            let shown = changes.prefix(16).map(\.description).joined(separator: "; ")
            if !shown.isEmpty { record.text("changed", shown) }
            let differing = reload.operated.count
            if differing > 0 { record.number("differing_backends", UInt64(differing)) }
            if !kept.isEmpty { record.text("needs_restart", kept.joined(separator: "; ")) }
        }
        Systemd.notify("READY=1\nSTATUS=serving")
        if let (letter, answer) = reload.answer {
            reload.answer = nil
            admin?.mailbox.answer(letter, answer)
        }
    }
}
