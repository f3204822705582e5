// Starts the program anew and lets the new process take this one's place, on SIGUSR2 or `POST /lb/upgrade`. Where that
// fails, this process goes on as if nobody had asked.
//
//   wanted -> starting (Successor.swift) -> it serves: workers stop accepting -> it is left alone -> draining
//                \-> failed: idle again
//
// For a moment both accept, so that there is none in which nobody does, whichever of them dies. A client for whom the
// kernel woke the one that left waits in a queue, and nothing but another client would wake the other: so whoever is
// left looks at the queues anew (`lookAtQueues`). docs/upgrade.md is for operators.

import Configuration
import Dataplane
import Glibc
import Telemetry

/// Where an upgrade is.
struct Upgrade {
    enum Phase {
        case idle
        case starting(Successor)
        /// Workers let go of their accepts, until that time (monotonic seconds) at most. `aside` is where this process is
        /// reached from now on.
        case lettingGo(Successor, aside: Address?, until: Double)
        /// The successor serves alone.
        case done(Successor)
    }

    var phase = Phase.idle
    var isWanted = false
    /// Somebody asked this process to end when the successor was about to serve alone.
    var endsSuccessor = false
    /// The command that asked, where it was one.
    var letter: AdminMailbox.Letter?
    var sockets: [HandedSocket] = []

    /// Nothing else may begin: the sockets, and all that the new process is told, are not to change.
    var isUnderWay: Bool {
        switch phase {
        case .idle: isWanted
        case .starting, .lettingGo: true
        case .done: false
        }
    }

    /// The successor waits for a word of this process, which is not to end before.
    var isAwaited: Bool { if case .lettingGo = phase { true } else { false } }

    var hasHappened: Bool { if case .done = phase { true } else { false } }
}

extension Server {
    private static var lookMilliseconds: Int32 { 1 }
    private static var letGoSeconds: Double { 2 }

    /// In milliseconds; nil where nothing is to be looked after.
    func timeUntilUpgradeLook() -> Int32? {
        if case .lettingGo = upgrade.phase { Self.lookMilliseconds } else { nil }
    }

    /// Somebody asks for it. It begins when no reload is under way.
    func requestUpgrade(_ letter: AdminMailbox.Letter? = nil) {
        guard !upgrade.isUnderWay, shared.pointee.command == .run else {
            events.write(.warning, "upgrade_refused") { record in
                record.word("cause", upgrade.isUnderWay ? "an upgrade is under way" : "this process drains")
            }
            return
        }
        upgrade.isWanted = true
        upgrade.letter = letter
    }

    /// Once a turn of the control thread.
    func checkUpgrade() {
        switch upgrade.phase {
        case .idle:
            if upgrade.isWanted, reload.beganAt == nil { beginUpgrade() }
        case .starting(let successor):
            switch successor.state {
            case .starting: break
            case .serving(let taken): letGo(to: successor, taken)
            case .failed(let cause):
                lookAtQueues()
                upgradeFailed(cause)
            }
        case .lettingGo(let successor, let aside, let until):
            guard shared.pointee.acceptingWorkers == 0 || monotonicSeconds() >= until else { return }
            finishUpgrade(successor, aside)
        case .done(let successor):
            guard let ending = successor.ending() else { return }
            events.write(.error, "successor_ended") { record in
                record.number("successor", UInt64(successor.identifier))
                record.text("cause", "it \(ending)")
            }
        }
    }

    /// This process is asked to end: so does the one that it has started.
    func abandonUpgrade() {
        upgrade.isWanted = false
        guard case .starting(let successor) = upgrade.phase else { return }
        successor.signal(SIGKILL)
    }

    private func beginUpgrade() {
        upgrade.isWanted = false
        do throws(Failure) {
            guard let program else { throw Failure("/proc does not say which program this is") }
            upgrade.sockets = listening.handed + (admin?.handed ?? [])
            let successor = try Successor(
                program, upgrade.sockets, unusable: HealthKeeping.unusable(generations.current),
                operated: reload.operated.words(over: reload.file), reports: reports)
            upgrade.phase = .starting(successor)
            events.write(.info, "upgrading") { record in
                record.text("program", program.path)
                record.number("successor", UInt64(successor.identifier))
            }
        } catch {
            upgradeFailed(error.message)
        }
    }

    private func upgradeFailed(_ cause: String) {
        let isEnding = shared.pointee.command != .run
        let why = isEnding ? "this process was asked to end" : cause
        events.write(.error, "upgrade_failed") { $0.text("cause", why) }
        upgrade.phase = .idle
        answer(.error(422, why))
    }

    /// The successor serves: nobody is accepted here any more.
    private func letGo(to successor: Successor, _ taken: Set<Int>) {
        guard shared.pointee.command == .run else {
            // Asked to end in the meantime.
            successor.signal(SIGKILL)
            successor.letGo()
            upgradeFailed("")
            return
        }
        let descriptors = Set(taken.map { upgrade.sockets[$0].descriptor })
        upgrade.sockets = []
        let aside = admin?.moveAside(taken: descriptors)
        upgrade.phase = .lettingGo(successor, aside: aside, until: monotonicSeconds() + Self.letGoSeconds)
        drain(seconds: options.upgradeDrainTimeoutSeconds, successor: descriptors)
    }

    private func finishUpgrade(_ successor: Successor, _ aside: Address?) {
        // Before the successor says something itself: the service manager listens to the main process alone.
        Systemd.notify("MAINPID=\(successor.identifier)\nREADY=1\nSTATUS=serving")
        upgrade.phase = .done(successor)
        successor.letGo()
        events.write(.info, "upgraded") { record in
            record.number("pid", UInt64(getpid()))
            record.number("successor", UInt64(successor.identifier))
            record.number("sessions", UInt64(max(shared.pointee.sessionCount, 0)))
            if let aside { record.text("admin", aside.description) }
        }
        if upgrade.endsSuccessor { successor.signal(SIGTERM) }
        // The successor may have read the file before it changed.
        if reload.wantedBy != nil { successor.signal(SIGHUP) }
        answer(
            .json { writer in
                writer.object { object in
                    object.number("pid", Int(successor.identifier))
                    object.number("predecessor", Int(getpid()))
                    object.string("predecessor_admin", aside?.description ?? "")
                    object.number("sessions", max(shared.pointee.sessionCount, 0))
                }
            })
    }

    private func answer(_ answer: AdminAnswer) {
        guard let letter = upgrade.letter else { return }
        upgrade.letter = nil
        admin?.mailbox.answer(letter, answer)
    }
}
