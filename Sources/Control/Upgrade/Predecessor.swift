// The running Weir, as the one sees it that is to take its place: takes what is handed over, says when all is set up and
// when it accepts, and waits until the other one accepts no more.

import CLinux
import Configuration
import Glibc

/// Whoever is ready waits here until all may serve.
struct Gate {
    private let descriptor: Int32

    init() throws(Failure) {
        descriptor = weir_eventfd()
        guard descriptor >= 0 else { throw Failure("cannot open an eventfd: \(errorText(errno))") }
    }

    /// For good.
    func open() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    func wait() {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&wanted, 1, -1) < 1 {}
    }
}

final class Predecessor {
    let process: Int
    /// In the order in which they came.
    let sockets: [HandedSocket]
    /// Pool, backend and state of those that took nothing.
    let unusable: [[String]]
    /// What operators had changed of backends: `RuntimeChanges.words`.
    let operated: [[String]]
    private let channel: HandoverChannel
    /// Where failures are read until this process is ready.
    private let pipe: Int32

    private static let socketLimit = 65_536

    /// nil where this process takes nobody's place. From here on standard error is that of the running one.
    static func find() throws(Failure) -> Predecessor? {
        guard let text = environmentVariable(HandoverChannel.variable) else { return nil }
        unsetenv(HandoverChannel.variable)
        guard let descriptor = Int32(text), fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            throw Failure("\(HandoverChannel.variable) is `\(text)`, which is no open descriptor; unset it")
        }
        return try Predecessor(HandoverChannel(descriptor: descriptor))
    }

    private init(_ channel: HandoverChannel) throws(Failure) {
        let deadline = monotonicSeconds() + HandoverChannel.limitSeconds
        func next() throws(Failure) -> (words: [String], descriptor: Int32) {
            do throws(HandoverChannel.Lost) {
                return try channel.receive(before: deadline)
            } catch {
                throw Failure(
                    "the running Weir hands nothing over: it is gone, or "
                        + "\(HandoverChannel.variable) is set by mistake")
            }
        }
        let (hello, standardError) = try next()
        guard hello.count == 4, hello[0] == "weir-handover", hello[1] == HandoverChannel.version,
            let process = Int(hello[2]), let count = Int(hello[3]), (0...Self.socketLimit).contains(count)
        else {
            throw Failure(
                "the running Weir is of another version and hands over differently "
                    + "(`\(hello.joined(separator: " "))`): restart it instead")
        }
        var sockets: [HandedSocket] = []
        for _ in 0..<count {
            let (words, descriptor) = try next()
            sockets.append(try HandedSocket(words, descriptor))
        }
        var unusable: [[String]] = []
        var words = try next().words
        while words.first == "unusable", words.count == 4 {
            unusable.append(Array(words.dropFirst()))
            words = try next().words
        }
        var operated: [[String]] = []
        while words.first == "operated", words.count == 5 {
            operated.append(Array(words.dropFirst()))
            words = try next().words
        }
        guard words == ["end"] else {
            throw Failure("the running Weir hands over more than the \(count) sockets that it has")
        }
        (self.channel, self.process, self.sockets) = (channel, process, sockets)
        (self.unusable, self.operated) = (unusable, operated)
        pipe = weir_duplicate(STDERR_FILENO)
        guard standardError >= 0 else { return }
        dup2(standardError, STDERR_FILENO)
        close(standardError)
    }

    /// Something has failed: what is printed about it is to be read by the running process.
    func failed() { dup2(pipe, STDERR_FILENO) }

    /// Says that all is set up, with these of the sockets; the others are closed. Returns when the running process wants
    /// to be helped with accepting.
    func ready(taken: Set<Int32>) throws(Failure) {
        let deadline = monotonicSeconds() + HandoverChannel.limitSeconds
        do throws(HandoverChannel.Lost) {
            for (index, socket) in sockets.enumerated() {
                if taken.contains(socket.descriptor) {
                    let words = ["took", String(index), socket.actual.description]
                    try channel.send(words, before: deadline)
                } else {
                    close(socket.descriptor)
                }
            }
            try channel.send(["ready"], before: deadline)
            guard try channel.receive(before: deadline).words == ["go"] else {
                throw HandoverChannel.Lost(isLate: false)
            }
        } catch {
            throw Failure("the running Weir does not say that this process may serve")
        }
    }

    /// Says that this process accepts. Returns when the running one does no more: it lets go of the handover then, and
    /// so does the kernel where it dies.
    func serving() {
        let deadline = monotonicSeconds() + HandoverChannel.limitSeconds
        do throws(HandoverChannel.Lost) {
            try channel.send(["serving"], before: deadline)
            _ = try channel.receive(before: deadline)
        } catch {}
        close(channel.descriptor)
        close(pipe)
    }
}
