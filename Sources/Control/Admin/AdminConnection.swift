// One connection to the admin API: one request, one answer. It waits for nobody beyond its deadline and takes no more
// than a head and a small body.
//
//   reading (head) -> readingBody -> waiting (for other threads) -> writing -> lingering -> over
//               \-----------\----------------------------------------->

import Glibc
import HTTP1

/// What becomes of a request that was not refused.
enum AdminReply {
    case now(AdminAnswer)
    case later(AdminAwaited)
}

/// Whose answer a connection waits for, under a number.
enum AdminAwaited: Equatable {
    /// The control thread's.
    case command(Int)
    /// The workers'.
    case sessions(Int)
}

final class AdminConnection {
    private enum State {
        case reading
        case readingBody(AdminRequest, AdminBody)
        /// Nothing is read: only that the client has gone would be noticed.
        case waiting(AdminAwaited)
        case writing
        /// All is said; what still comes is read and dropped, so that the answer is not lost to a reset.
        case lingering
        case over
    }

    let descriptor: Int32
    private(set) var deadline: Double
    private let peer: AdminPeer
    private var state = State.reading
    private var input: [UInt8] = []
    private var scan = HeadScan()
    private var output: [UInt8] = []
    private var sent = 0
    private var dropped = 0
    private var isClosed = false

    private static let readSeconds = 5.0
    private static let waitSeconds = 30.0
    private static let writeSeconds = 30.0
    private static let lingerSeconds = 1.0
    private static let dropLimitBytes = 1 << 20
    private static let pieceBytes = 4096
    /// What a request's head may have.
    static let limits = HeadLimits(headBytes: 16 * 1024, targetBytes: 2048, fields: 100)

    init(_ descriptor: Int32, _ peer: AdminPeer, now: Double) {
        self.descriptor = descriptor
        self.peer = peer
        deadline = now + Self.readSeconds
    }

    /// Events of poll(2).
    var wants: Int16 {
        switch state {
        case .writing: Int16(POLLOUT)
        case .waiting: 0
        default: Int16(POLLIN)
        }
    }

    /// What it waits for.
    var awaited: AdminAwaited? { if case .waiting(let awaited) = state { awaited } else { nil } }

    /// Does what can be done without waiting.
    func progress(now: Double, _ server: AdminServer) {
        switch state {
        case .reading: readHead(now, server)
        case .readingBody(let request, let body):
            input = []
            guard receive() != nil else { return }
            take(input[...], of: request, body, now, server)
        // The client has gone. What it asked for is done all the same.
        case .waiting: state = .over
        case .writing: write(now)
        case .lingering: drop()
        case .over: break
        }
    }

    /// A command takes too long: says how it stands.
    func stopWaiting(now: Double, _ mailbox: AdminMailbox) {
        guard now >= deadline, case .command(let letter)? = awaited else { return }
        say(
            mailbox.withdraw(letter) ? .busy : .json(202) { $0.object { $0.string("status", "under way") } },
            now)
    }

    /// True where it is over, or out of time.
    func closeIfOver(now: Double) -> Bool {
        var isOver = now >= deadline
        if case .over = state { isOver = true }
        if isOver { close() }
        return isOver
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        Glibc.close(descriptor)
    }

    // MARK: - States

    private func readHead(_ now: Double, _ server: AdminServer) {
        guard let count = receive(), count > 0 else { return }
        let limits = Self.limits
        let progress = input.withUnsafeBufferPointer {
            scan.advance($0.baseAddress!, count: $0.count, limits: limits)
        }
        switch progress {
        case .incomplete: return
        case .refused(let refusal): say(.refusing(refusal), now)
        case .complete(let length):
            do throws(Refusal) {
                let request = try AdminRequest(input, headLength: length)
                consider(request, input[length...], now, server)
            } catch {
                say(.refusing(error), now)
            }
        }
    }

    /// The head is whole; `rest` is what came behind it.
    private func consider(
        _ request: AdminRequest, _ rest: ArraySlice<UInt8>, _ now: Double, _ server: AdminServer
    ) {
        do throws(AdminRefusal) {
            if var refusal = try server.refusal(of: request, from: peer) {
                refusal.leavesOutBody = request.isHead
                say(refusal, now)
                return
            }
            let body = try AdminBody(request.framing)
            if request.expectsContinue, !body.isWhole, rest.isEmpty {
                let octets = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                _ = send(descriptor, octets, octets.count, Int32(MSG_NOSIGNAL))
            }
            take(rest, of: request, body, now, server)
        } catch {
            say(error.answer(to: request), now)
        }
    }

    private func take(
        _ piece: ArraySlice<UInt8>, of request: AdminRequest, _ body: AdminBody, _ now: Double,
        _ server: AdminServer
    ) {
        do throws(AdminRefusal) {
            var (request, body) = (request, body)
            try body.take(piece)
            guard body.isWhole else {
                state = .readingBody(request, body)
                return
            }
            request.body = body.octets
            switch try server.reply(to: request, from: peer) {
            case .now(var answer):
                answer.leavesOutBody = request.isHead
                say(answer, now)
            case .later(let awaited):
                state = .waiting(awaited)
                deadline = now + Self.waitSeconds
            }
        } catch {
            say(error.answer(to: request), now)
        }
    }

    /// The answer, of other threads too.
    func say(_ answer: AdminAnswer, _ now: Double) {
        output = answer.octets
        state = .writing
        deadline = now + Self.writeSeconds
        write(now)
    }

    private func write(_ now: Double) {
        let count = output.withUnsafeBytes {
            send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
        }
        if count < 0 {
            if !Self.mayTryAgain { state = .over }
            return
        }
        sent += count
        guard sent == output.count else { return }
        output = []
        shutdown(descriptor, Int32(SHUT_WR))
        state = .lingering
        deadline = now + Self.lingerSeconds
    }

    private func drop() {
        input = []
        guard let count = receive() else { return }
        dropped += count
        if dropped > Self.dropLimitBytes { state = .over }
    }

    /// Appends to the input; nil where nothing came. At the end of what the client sends it is over.
    private func receive() -> Int? {
        let count = withUnsafeTemporaryAllocation(byteCount: Self.pieceBytes, alignment: 8) { piece in
            let count = recv(descriptor, piece.baseAddress!, piece.count, 0)
            if count > 0 { input += piece[..<count] }
            return count
        }
        if count > 0 { return count }
        if count == 0 || !Self.mayTryAgain { state = .over }
        return nil
    }

    private static var mayTryAgain: Bool { errno == EAGAIN || errno == EINTR }
}
