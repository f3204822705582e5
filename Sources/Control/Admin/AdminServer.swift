// The thread of the admin API: one poll(2) loop over its sockets and a bounded number of connections, each with a
// deadline. It reads what workers count and shares nothing with them but memory that they write anyway. It changes
// nothing itself: commands go through the mailbox to the control thread, and connections wait there for the answer.

import CLinux
import Configuration
import Glibc
import Synchronization

final class AdminServer: @unchecked Sendable {
    static let connectionLimit = 32
    private static let acceptPauseSeconds = 0.1

    private let settings: AdminSettings
    private let door: AdminDoor
    let mailbox: AdminMailbox
    private var sockets: [AdminSocket] = []
    private let facts: Mutex<AdminFacts?>
    // Of the thread.
    private var connections: [AdminConnection] = []
    /// Descriptors ran out: until then nobody is accepted.
    private var acceptAt = 0.0

    init(_ settings: AdminSettings) throws(Failure) {
        self.settings = settings
        mailbox = try AdminMailbox()
        door = AdminDoor(token: settings.token)
        facts = Mutex(nil)
    }

    /// How many descriptors it has at most.
    static func descriptorLimit(_ settings: AdminSettings) -> Int {
        settings.bind.count + connectionLimit + AdminMailbox.descriptorLimit
    }

    /// What it is reached at, once it is open.
    var addresses: [Address] { sockets.map(\.address) }

    /// Binds all addresses.
    func open() throws(Failure) {
        for address in settings.bind { sockets.append(try AdminSocket(address)) }
    }

    /// Serves from here on until the process ends.
    func start(_ first: AdminFacts) throws(Failure) {
        show(first)
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<AdminServer>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, context)
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
        pthread_detach(thread)
    }

    /// What is shown from here on. When it returns, nobody reads what was shown before.
    func show(_ new: AdminFacts) { facts.withLock { $0 = new } }

    /// At the end of the process.
    func removeSockets() { sockets.forEach { $0.remove() } }

    // MARK: - The thread

    private func main() {
        while true { turn() }
    }

    private func turn() {
        var now = monotonicSeconds()
        let accepts: Int16 = now >= acceptAt ? Int16(POLLIN) : 0
        var polled = sockets.map { pollfd(fd: $0.descriptor, events: accepts, revents: 0) }
        polled.append(pollfd(fd: mailbox.answersDescriptor, events: Int16(POLLIN), revents: 0))
        polled += connections.map { pollfd(fd: $0.descriptor, events: $0.wants, revents: 0) }
        var wakeAt = connections.map(\.deadline).min() ?? .infinity
        if accepts == 0 { wakeAt = min(wakeAt, acceptAt) }
        let wait = wakeAt == .infinity ? -1 : Int32(max(0, (wakeAt - now) * 1000).rounded(.up))
        poll(&polled, nfds_t(polled.count), wait)
        now = monotonicSeconds()
        for (connection, found) in zip(connections, polled.dropFirst(sockets.count + 1))
        where found.revents != 0 {
            connection.progress(now: now, self)
        }
        for (number, answer) in mailbox.takeAnswers() {
            connections.first { $0.letter == number }?.say(answer, now)
        }
        for connection in connections { connection.stopWaiting(now: now, mailbox) }
        connections.removeAll { $0.closeIfOver(now: now) }
        for (socket, found) in zip(sockets, polled) where found.revents != 0 { accept(from: socket, now) }
    }

    private func accept(from socket: AdminSocket, _ now: Double) {
        guard let (descriptor, peer) = socket.accept() else {
            if errno == EMFILE || errno == ENFILE { acceptAt = now + Self.acceptPauseSeconds }
            return
        }
        if connections.count >= Self.connectionLimit {
            // Who has taken longest makes way: somebody who holds all places holds up nobody.
            let index = connections.indices.min { connections[$0].deadline < connections[$1].deadline }!
            connections.remove(at: index).close()
        }
        connections.append(AdminConnection(descriptor, peer, now: now))
    }

    // MARK: - Requests

    /// Who asks, for what, and how it looks, before any of its body is read; nil where all of that is in order.
    func refusal(of request: AdminRequest, from peer: AdminPeer) throws(AdminRefusal) -> AdminAnswer? {
        if let refusal = door.refusal(of: request, from: peer) { return refusal }
        let actions = try AdminAction.actions(at: request.path).map(\.action)
        let isShown = AdminPath(rawValue: request.path) != nil
        if !isShown && actions.isEmpty { return AdminFacts.notFound }
        if isShown && (request.method == .get || request.method == .head) {
            return request.hasBody ? .error(413, "a request for this has no body") : nil
        }
        guard actions.contains(where: { $0.method == request.method }) else {
            return .allowing(
                ((isShown ? ["GET, HEAD"] : []) + actions.map(\.methodName)).joined(separator: ", "))
        }
        return door.refusal(ofChange: request, from: peer)
    }

    /// To a request that is whole and was not refused.
    func reply(to request: AdminRequest, from peer: AdminPeer) throws(AdminRefusal) -> AdminReply {
        if let path = AdminPath(rawValue: request.path), request.method == .get || request.method == .head {
            return .now(facts.withLock { $0!.answer(path, request) })
        }
        let actions = try AdminAction.actions(at: request.path)
        guard let (action, names) = actions.first(where: { $0.action.method == request.method }) else {
            return .now(AdminFacts.notFound)
        }
        var parameters = try AdminParameters(query: request.query, body: request.body)
        let command = try action.command(names, &parameters, from: peer)
        try parameters.finish()
        guard let letter = mailbox.post(command) else { return .now(.busy) }
        return .later(letter: letter)
    }
}
