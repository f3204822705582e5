// Carries out what the admin API is asked to change, on the control thread, one command after the other.

import Configuration
import Glibc

extension Server {
    /// While workers are taking a configuration, or another process takes this one's place, commands wait.
    private var takesCommands: Bool { reload.beganAt == nil && !upgrade.isUnderWay }

    /// Readable when a command waits that can be taken up; -1 where there can be none.
    var commandsDescriptor: Int32 { takesCommands ? admin?.mailbox.commandsDescriptor ?? -1 : -1 }

    /// Once a turn of the control thread.
    func takeCommands() {
        guard let mailbox = admin?.mailbox else { return }
        while takesCommands, let letter = mailbox.next() {
            if case .upgrade = letter.command, shared.pointee.command == .run {
                requestUpgrade(letter)
                continue
            }
            let answer =
                shared.pointee.command == .run
                ? carryOut(letter.command)
                : AdminAnswer.error(503, "Weir is about to end; nothing was changed")
            // What was applied is answered when every worker has taken it.
            if reload.beganAt == nil {
                mailbox.answer(letter, answer)
            } else {
                reload.answer = (letter, answer)
            }
        }
    }

    private func carryOut(_ command: AdminCommand) -> AdminAnswer {
        switch command {
        case .reload(let file, let mayBeAnyFile, let discards): reload(file, mayBeAnyFile, discards)
        case .rollback(let number): rollBack(number)
        case .backend(let name, let pool, let order): change(name, in: pool, order)
        case .upgrade: preconditionFailure("it is answered later")
        }
    }

    private func reload(_ file: String?, _ mayBeAnyFile: Bool, _ discards: Bool) -> AdminAnswer {
        let path = file ?? options.configurationName
        if path != options.configurationName {
            guard mayBeAnyFile else {
                return .error(
                    403, "another file than the one of `weir run` is for the owner, through a unix socket")
            }
            guard path.hasPrefix("/") else { return .error(400, "`file` must be an absolute path") }
        }
        do throws(Failure) {
            try applyFile(path, source: .reload(file: path), discards: discards)
            return appliedAnswer()
        } catch {
            return .refusedConfiguration(error, inForce: generations.current.number)
        }
    }

    private func rollBack(_ wanted: Int?) -> AdminAnswer {
        let history = reload.history
        guard let number = wanted ?? history.before else {
            return .error(409, "there is no configuration before \(generations.current.number) that is known")
        }
        if number == generations.current.number {
            return .error(409, "configuration \(number) is in force")
        }
        guard let configuration = history.configuration(number) else {
            let known = history.entries.compactMap(\.number).map(String.init).joined(separator: ", ")
            return .error(404, "there is no configuration \(number); known are \(known)")
        }
        do throws(Failure) {
            try rollBack(to: configuration, source: .rollback(to: number))
            return appliedAnswer()
        } catch {
            return .refusedConfiguration(error, inForce: generations.current.number)
        }
    }

    /// To a command that made another configuration the one in force.
    func appliedAnswer() -> AdminAnswer {
        .json { writer in
            writer.object { object in
                object.number("number", generations.current.number)
                object.number("restored", orNull: reload.source.restored)
                object.flag("differs_from_file", reload.history.differsFromFile)
                object.array("changes") { array in reload.changes.forEach { $0.write(to: &array) } }
            }
        }
    }
}

extension AdminAnswer {
    /// A configuration was not applied; the one with the number goes on.
    static func refusedConfiguration(_ cause: Failure, inForce number: Int) -> AdminAnswer {
        .json(422) { writer in
            writer.object {
                $0.string("error", cause.message)
                $0.flag("names_its_place", cause.namesItsPlace)
                $0.number("number", number)
            }
        }
    }
}

extension ConfigurationChange {
    func write(to writer: inout JSONWriter) {
        writer.object { object in
            object.string("kind", kind.rawValue)
            object.string("what", description)
            object.flag("needs_restart", needsRestart)
            object.array("details") { array in details.forEach { array.string(nil, $0) } }
        }
    }
}
