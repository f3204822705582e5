// The thread of the admin API: one poll(2) loop over its sockets and a bounded number of connections, each with a
// deadline. It reads what workers count and shares nothing with them but memory that they write anyway; what only they
// know it asks them for (SessionSearch.swift). It changes nothing itself: commands go through the mailbox to the control
// thread, and connections wait there for the answer.

import CLinux
import Configuration
import Glibc
import Synchronization

final class AdminServer: @unchecked Sendable {
    static let connectionLimit = 32
    private static let acceptPauseSeconds = 0.1

    private struct Sockets {
        var open: [AdminSocket] = []
        /// Another process's now: the thread lets go of them when it does not wait for them.
        var left: [AdminSocket] = []
    }

    private let settings: AdminSettings
    private let door: AdminDoor
    let mailbox: AdminMailbox
    private let sockets = Mutex(Sockets())
    private let facts: Mutex<AdminFacts?>
    /// Written before the thread starts.
    private var gate: Gate?
    // Of the thread.
    private var connections: [AdminConnection] = []
    private var searches = SessionSearches()
    /// For other threads.
    private let connectionCount = Atomic<Int>(0)
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
    var addresses: [Address] { sockets.withLock { $0.open.map(\.address) } }

    /// Binds all addresses that were not handed over.
    func open(handed: [HandedSocket] = []) throws(Failure) {
        for address in settings.bind {
            let socket: AdminSocket
            if let taken = handed.first(where: { $0.owner == .admin && $0.asked == address }) {
                socket = AdminSocket(taken)
            } else {
                socket = try AdminSocket(address)
            }
            sockets.withLock { $0.open.append(socket) }
        }
    }

    /// What another process needs to go on with the sockets.
    var handed: [HandedSocket] {
        sockets.withLock { sockets in
            zip(settings.bind, sockets.open).map { asked, socket in socket.handed(asked: asked) }
        }
    }

    /// Another process has the sockets of these descriptors. This one is reached at the address that is answered: the
    /// first path with its process number behind it; nil where it has none.
    func moveAside(taken: Set<Int32>) -> Address? {
        let path = settings.bind.lazy.compactMap { if case .unix(let path) = $0 { path } else { nil } }.first
        let aside = path.flatMap { try? AdminSocket(.unix(path: "\($0).\(getpid())")) }
        sockets.withLock { sockets in
            for socket in sockets.open where !taken.contains(socket.descriptor) { socket.removePath() }
            sockets.left += sockets.open
            sockets.open = aside.map { [$0] } ?? []
        }
        mailbox.wakeAdmin()
        return aside?.address
    }

    /// Returns when nobody is being answered any more, or after so long.
    func waitForAnswers(seconds: Double) {
        let until = monotonicSeconds() + seconds
        while connectionCount.load(ordering: .acquiring) > 0, monotonicSeconds() < until { usleep(2000) }
    }

    /// Serves from here on until the process ends; accepts when the gate opens.
    func start(_ first: AdminFacts, gate: Gate?) throws(Failure) {
        self.gate = gate
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

    /// At the end of the process. What was handed over to this one belongs to `predecessor` still, where it fails.
    func removePaths(but predecessor: Set<Int32> = []) {
        for socket in sockets.withLock({ $0.open }) where !predecessor.contains(socket.descriptor) {
            socket.removePath()
        }
    }

    // MARK: - The thread

    private func main() {
        gate?.wait()
        while true { turn() }
    }

    private func turn() {
        let sockets = currentSockets()
        var now = monotonicSeconds()
        let accepts: Int16 = now >= acceptAt ? Int16(POLLIN) : 0
        var polled = sockets.map { pollfd(fd: $0.descriptor, events: accepts, revents: 0) }
        polled.append(pollfd(fd: mailbox.answersDescriptor, events: Int16(POLLIN), revents: 0))
        polled += connections.map { pollfd(fd: $0.descriptor, events: $0.wants, revents: 0) }
        var wakeAt = connections.map(\.deadline).min() ?? .infinity
        if accepts == 0 { wakeAt = min(wakeAt, acceptAt) }
        if !searches.isEmpty { wakeAt = min(wakeAt, now + SessionSearches.lookSeconds) }
        let wait = wakeAt == .infinity ? -1 : Int32(max(0, (wakeAt - now) * 1000).rounded(.up))
        poll(&polled, nfds_t(polled.count), wait)
        now = monotonicSeconds()
        for (connection, found) in zip(connections, polled.dropFirst(sockets.count + 1))
        where found.revents != 0 {
            connection.progress(now: now, self)
        }
        for (number, answer) in mailbox.takeAnswers() {
            connections.first { $0.awaited == .command(number) }?.say(answer, now)
        }
        while !searches.isEmpty, let (number, answer) = facts.withLock({ searches.next($0!, now: now) }) {
            connections.first { $0.awaited == .sessions(number) }?.say(answer, now)
        }
        for connection in connections { connection.stopWaiting(now: now, mailbox) }
        connections.removeAll { $0.closeIfOver(now: now) }
        for (socket, found) in zip(sockets, polled) where found.revents != 0 { accept(from: socket, now) }
        connectionCount.store(connections.count, ordering: .releasing)
    }

    private func currentSockets() -> [AdminSocket] {
        sockets.withLock { sockets in
            for socket in sockets.left { close(socket.descriptor) }
            sockets.left = []
            return sockets.open
        }
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
            let answer = try facts.withLock { (facts) throws(AdminRefusal) in
                try facts!.answer(path, request)
            }
            if let answer { return .now(answer) }
            return try search(request)
        }
        let actions = try AdminAction.actions(at: request.path)
        guard let (action, names) = actions.first(where: { $0.action.method == request.method }) else {
            return .now(AdminFacts.notFound)
        }
        var parameters = try AdminParameters(query: request.query, body: request.body)
        let command = try action.command(names, &parameters, from: peer)
        try parameters.finish()
        guard let letter = mailbox.post(command) else { return .now(.busy) }
        return .later(.command(letter))
    }

    private func search(_ request: AdminRequest) throws(AdminRefusal) -> AdminReply {
        var parameters = try AdminParameters(query: request.query, body: [])
        let query = try SessionSearch.Query(&parameters)
        return searches.add(query, isHead: request.isHead).map { .later(.sessions($0)) }
            ?? .now(.later("others wait for lists of sessions"))
    }
}
