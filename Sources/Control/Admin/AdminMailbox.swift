// Commands on their way from the admin thread to the control thread, and answers on their way back. Neither thread
// waits for the other: each has an eventfd that the other writes to.
//
//   post -> waiting -> next -> (carried out, Commands.swift) -> answer -> takeAnswers
//              \-> withdraw, where whoever asked has waited long enough

import CLinux
import Glibc
import Synchronization

final class AdminMailbox: Sendable {
    /// A command and what its answer is told apart by.
    struct Letter: Sendable {
        let number: Int
        let command: AdminCommand
    }

    /// More than these do not wait: whoever comes then is asked to come back.
    static let waitingLimit = 8
    /// Of both eventfds.
    static let descriptorLimit = 2

    private struct Box {
        var lastNumber = 0
        /// The oldest first.
        var waiting: [Letter] = []
        var answers: [(number: Int, answer: AdminAnswer)] = []
    }

    /// Readable when there is something for the control thread, and for the admin thread.
    let commandsDescriptor: Int32
    let answersDescriptor: Int32
    private let box = Mutex(Box())

    init() throws(Failure) {
        commandsDescriptor = weir_eventfd()
        answersDescriptor = weir_eventfd()
        guard commandsDescriptor >= 0, answersDescriptor >= 0 else {
            throw Failure("cannot open an eventfd: \(errorText(errno))")
        }
    }

    // MARK: - The admin thread's side

    /// Answers the letter's number; nil where too many wait.
    func post(_ command: AdminCommand) -> Int? {
        let number: Int? = box.withLock { box in
            guard box.waiting.count < Self.waitingLimit else { return nil }
            box.lastNumber += 1
            box.waiting.append(Letter(number: box.lastNumber, command: command))
            return box.lastNumber
        }
        if number != nil { Self.signal(commandsDescriptor) }
        return number
    }

    /// True where the command had not been taken up, and now never will be.
    func withdraw(_ number: Int) -> Bool {
        box.withLock { box in
            let count = box.waiting.count
            box.waiting.removeAll { $0.number == number }
            return box.waiting.count < count
        }
    }

    func takeAnswers() -> [(number: Int, answer: AdminAnswer)] {
        Self.clear(answersDescriptor)
        return box.withLock { box in
            let answers = box.answers
            box.answers = []
            return answers
        }
    }

    // MARK: - The control thread's side

    /// The oldest command that waits.
    func next() -> Letter? {
        Self.clear(commandsDescriptor)
        return box.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
    }

    func answer(_ letter: Letter, _ answer: AdminAnswer) {
        box.withLock { $0.answers.append((letter.number, answer)) }
        Self.signal(answersDescriptor)
    }

    /// The admin thread is to look around.
    func wakeAdmin() { Self.signal(answersDescriptor) }

    // MARK: - Eventfds

    private static func signal(_ descriptor: Int32) {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    private static func clear(_ descriptor: Int32) {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
