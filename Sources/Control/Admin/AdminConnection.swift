// One connection to the admin API: one request, one answer. It waits for nobody beyond its deadline and takes no more
// than a head.
//
//   reading -> writing -> lingering -> over

import Glibc
import HTTP1

final class AdminConnection {
    private enum State {
        case reading
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
    var wants: Int16 { Int16(state == .writing ? POLLOUT : POLLIN) }

    /// Does what can be done without waiting.
    func progress(now: Double, _ answer: (AdminRequest, AdminPeer) -> AdminAnswer) {
        switch state {
        case .reading: read(now, answer)
        case .writing: write(now)
        case .lingering: drop()
        case .over: break
        }
    }

    /// True where it is over, or out of time.
    func closeIfOver(now: Double) -> Bool {
        guard state == .over || now >= deadline else { return false }
        close()
        return true
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        Glibc.close(descriptor)
    }

    // MARK: - States

    private func read(_ now: Double, _ answer: (AdminRequest, AdminPeer) -> AdminAnswer) {
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
                var reply = answer(request, peer)
                if request.isHead { reply.leavesOutBody = true }
                say(reply, now)
            } catch {
                say(.refusing(error), now)
            }
        }
    }

    private func say(_ answer: AdminAnswer, _ now: Double) {
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
