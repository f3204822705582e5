// The process that is to take this one's place, as this one sees it. A thread of its own starts it, hands the sockets
// over and hears that it is ready and that it serves, so that the control thread goes on with its work.
//
//   starting -> serving ; or failed: it ended, took too long (and was killed), or took what it was not given

import CLinux
import Configuration
import Glibc
import Synchronization

final class Successor: @unchecked Sendable {
    enum State: Sendable {
        case starting
        /// It accepts, as this process does still. The indices are of the sockets that it took.
        case serving(taken: Set<Int>)
        /// It is gone.
        case failed(String)
    }

    private struct Process {
        var state = State.starting
        /// It was waited for: its number may be another process's.
        var isReaped = false
    }

    let identifier: pid_t
    private let sockets: [HandedSocket]
    /// Pool, backend and state of those that take nothing now.
    private let unusable: [[String]]
    private let operated: [[String]]
    private let channel: HandoverChannel
    /// What it writes to its standard error before it has ours.
    private let said: Int32
    private let reports: Int32
    private let process = Mutex(Process())

    // Of the thread.
    private var deadline = monotonicSeconds() + HandoverChannel.limitSeconds
    private var isReady = false

    private static let saidLimitBytes = 2000
    private static let exitMilliseconds = 1000
    private static let lookMilliseconds: Int32 = 5

    /// Starts the program. `reports` is written to when it serves or has failed.
    init(
        _ program: StartedProgram, _ sockets: [HandedSocket], unusable: [[String]], operated: [[String]],
        reports: Int32
    ) throws(Failure) {
        var ends: [Int32] = [-1, -1]
        var pipe: [Int32] = [-1, -1]
        guard weir_message_pair(&ends) == 0 else { throw Failure("no socket pair: \(errorText(errno))") }
        guard weir_pipe(&pipe) == 0 else {
            ends.forEach { close($0) }
            throw Failure("no pipe: \(errorText(errno))")
        }
        defer {
            close(ends[1])
            close(pipe[1])
        }
        do throws(Failure) {
            identifier = try program.spawn(handover: ends[1], standardError: pipe[1])
        } catch {
            close(ends[0])
            close(pipe[0])
            throw error
        }
        (channel, said) = (HandoverChannel(descriptor: ends[0]), pipe[0])
        (self.sockets, self.unusable, self.operated) = (sockets, unusable, operated)
        self.reports = reports
        startThread()
    }

    var state: State { process.withLock { $0.state } }

    /// This process accepts no more, which is what the other one waits for.
    func letGo() { close(channel.descriptor) }

    func signal(_ number: Int32) {
        process.withLock { process in
            if !process.isReaped { _ = kill(identifier, number) }
        }
    }

    /// How it ended, once, while this process lives on; nil where it runs.
    func ending() -> String? {
        var status: Int32 = 0
        let hasEnded = process.withLock { process in
            if process.isReaped || waitpid(identifier, &status, WNOHANG) != identifier { return false }
            process.isReaped = true
            return true
        }
        return hasEnded ? Self.text(ofStatus: status) : nil
    }

    // MARK: - The thread

    private func startThread() {
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Successor>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard result == 0 else {
            Unmanaged.passUnretained(self).release()
            end(because: "cannot start a thread: \(errorText(result))")
            return
        }
        pthread_detach(thread)
    }

    private func main() {
        do throws(HandoverChannel.Lost) {
            try handOver()
            guard let taken = try takenSockets() else {
                end(because: "it took other sockets than it was given")
                return
            }
            isReady = true
            deadline = monotonicSeconds() + HandoverChannel.limitSeconds
            try channel.send(["go"], before: deadline)
            guard try channel.receive(before: deadline).words == ["serving"] else {
                end(because: "it says something else than that it serves")
                return
            }
            close(said)
            become(.serving(taken: taken))
        } catch {
            let limit = "\(Int(HandoverChannel.limitSeconds)) s"
            let late = isReady ? "did not serve \(limit) after it was ready" : "was not ready after \(limit)"
            end(because: error.isLate ? "it \(late)" : nil)
        }
    }

    private func handOver() throws(HandoverChannel.Lost) {
        try channel.send(
            ["weir-handover", HandoverChannel.version, String(getpid()), String(sockets.count)],
            fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : -1, before: deadline)
        for socket in sockets { try channel.send(socket.words, socket.descriptor, before: deadline) }
        for words in unusable { try channel.send(["unusable"] + words, before: deadline) }
        for words in operated { try channel.send(["operated"] + words, before: deadline) }
        try channel.send(["end"], before: deadline)
    }

    /// Each socket that it took, by index and address, until it is ready; nil where one is none of ours.
    private func takenSockets() throws(HandoverChannel.Lost) -> Set<Int>? {
        var taken: Set<Int> = []
        while true {
            let words = try channel.receive(before: deadline).words
            if words == ["ready"] { return taken }
            guard words.count == 3, words[0] == "took", let index = Int(words[1]),
                sockets.indices.contains(index), sockets[index].actual.description == words[2],
                taken.insert(index).inserted
            else { return nil }
        }
    }

    /// Waits for its end, or kills it. `cause` is nil where it ended by itself.
    private func end(because cause: String?) {
        var status: Int32 = 0
        let hasEnded = cause == nil && waitForExit(&status)
        process.withLock { process in
            if !hasEnded {
                kill(identifier, SIGKILL)
                waitpid(identifier, &status, 0)
            }
            process.isReaped = true
        }
        let why =
            hasEnded
            ? "it \(Self.text(ofStatus: status)) before it \(isReady ? "served" : "was ready")"
            : "\(cause ?? "it let go of the handover"), and was killed"
        let words = readSaid()
        close(said)
        close(channel.descriptor)
        become(.failed(words.isEmpty ? why : "\(why): \(words)"))
    }

    /// It has closed its end of the handover: mostly because it ends.
    private func waitForExit(_ status: inout Int32) -> Bool {
        for _ in 0..<Self.exitMilliseconds / Int(Self.lookMilliseconds) {
            if waitpid(identifier, &status, WNOHANG) == identifier { return true }
            poll(nil, 0, Self.lookMilliseconds)
        }
        return false
    }

    /// The last words, without waiting: whoever it started may hold the pipe open.
    private func readSaid() -> String {
        var octets: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        var ready = pollfd(fd: said, events: Int16(POLLIN), revents: 0)
        while poll(&ready, 1, 0) == 1, octets.count < 65_536 {
            let count = read(said, &piece, piece.count)
            if count <= 0 { break }
            octets += piece[..<count]
        }
        while octets.last == UInt8(ascii: "\n") { octets.removeLast() }
        return String(decoding: octets.prefix(Self.saidLimitBytes), as: UTF8.self)
    }

    private func become(_ state: State) {
        process.withLock { $0.state = state }
        var one: UInt64 = 1
        _ = write(reports, &one, 8)
    }

    /// As WIFEXITED and its kin take it apart, which are macros.
    private static func text(ofStatus status: Int32) -> String {
        let signal = status & 0x7F
        return signal != 0 ? "was ended by signal \(signal)" : "ended with status \(status >> 8 & 0xFF)"
    }
}
