// A backend for `weir demo`: answers every HTTP request with its name and the request's head as it came, so
// that one sees what Weir made of it. One thread, one poll(2) loop, bounded in connections and in bytes; for
// showing, not for serving.

import Base
import CLinux
import Configuration
import Glibc
import HTTP1

enum SampleBackend {
    private static let connectionLimit = 256

    /// Starts one on a free port of the loopback interface. Answers the port.
    static func start(name: String) throws(Failure) -> UInt16 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let listener = socket(AF_INET, kind, 0)
        let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)
        guard listener >= 0, loopback.with({ bind(listener, $0, $1) }) == 0, listen(listener, 128) == 0,
            case .ipv4(_, let port)? = Address(boundTo: listener)
        else { throw Failure("cannot start a sample backend: \(errorText(errno))") }
        let context = Unmanaged.passRetained(Loop(listener: listener, name: name))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Loop>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
        pthread_detach(thread)
        return port
    }

    private final class Loop {
        private let name: String
        /// The listener first, then the connections.
        private var polled: [pollfd]
        /// Of each connection; the listener has an unused one.
        private var inputs = [SampleInput()]
        private var chunk = [UInt8](repeating: 0, count: 4096)

        init(listener: Int32, name: String) {
            self.name = name
            polled = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
        }

        func run() {
            while true {
                polled[0].events = polled.count <= SampleBackend.connectionLimit ? Int16(POLLIN) : 0
                poll(&polled, nfds_t(polled.count), -1)
                for index in stride(from: polled.count - 1, through: 1, by: -1)
                where polled[index].revents != 0 && !serve(index) {
                    close(polled[index].fd)
                    polled.remove(at: index)
                    inputs.remove(at: index)
                }
                if polled[0].revents != 0 { accept() }
            }
        }

        private func accept() {
            let descriptor = weir_accept_nonblocking(polled[0].fd)
            guard descriptor >= 0 else { return }
            polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
            inputs.append(SampleInput())
        }

        /// Reads, and answers each whole request. False where the connection is over.
        private func serve(_ index: Int) -> Bool {
            let count = read(polled[index].fd, &chunk, chunk.count)
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            if count == 0 { return false }
            inputs[index].add(chunk[..<count])
            while true {
                switch inputs[index].next() {
                case .nothing: return true
                case .refused: return false
                case .wantsContinue:
                    let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                    guard send(polled[index].fd, interim, interim.count, 0) == interim.count
                    else { return false }
                case .request(let head, let isHEAD):
                    // A client that does not read its answers has had its turn.
                    let response = response(to: head, isHEAD: isHEAD)
                    guard send(polled[index].fd, response, response.count, 0) == response.count
                    else { return false }
                }
            }
        }

        private func response(to head: [UInt8], isHEAD: Bool) -> [UInt8] {
            let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
            let body = "hello from \(name), who got:\n" + lines.map { "    \($0)\n" }.joined()
            let start =
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n"
            return Array((isHEAD ? start : start + body).utf8)
        }
    }
}

/// What one connection of a sample backend has sent: heads, and bodies that nobody wants.
private struct SampleInput {
    enum Next {
        /// More has to come.
        case nothing
        case refused
        /// The client holds its body back until it is asked for (RFC 9110, section 10.1.1).
        case wantsContinue
        case request(head: [UInt8], isHEAD: Bool)
    }

    private var octets: [UInt8] = []
    /// A request whose body has not all come.
    private var waiting: (head: [UInt8], isHEAD: Bool)?
    private var expectsContinue = false
    private var bodyOctetsLeft: UInt64 = 0
    private var chunks: ChunkedBody?
    private static let limits = HeadLimits(headBytes: 16 * 1024)

    mutating func add(_ piece: ArraySlice<UInt8>) { octets += piece }

    mutating func next() -> Next {
        do throws(Refusal) {
            if waiting == nil {
                guard try takeHead() else { return .nothing }
                if expectsContinue, octets.isEmpty { return .wantsContinue }
            }
            guard try takeBody(), let request = waiting else { return .nothing }
            waiting = nil
            return .request(head: request.head, isHEAD: request.isHEAD)
        } catch {
            return .refused
        }
    }

    /// False where the head is not whole.
    private mutating func takeHead() throws(Refusal) -> Bool {
        var scan = HeadScan()
        let limits = Self.limits
        switch octets.withUnsafeBufferPointer({ view in
            view.isEmpty
                ? .incomplete : scan.advance(view.baseAddress!, count: view.count, limits: limits)
        }) {
        case .incomplete: return false
        case .refused(let refusal): throw refusal
        case .complete(let length):
            let memory = UnsafeMutablePointer<Field>.allocate(capacity: Int(limits.fields))
            defer { memory.deallocate() }
            let table = FieldTable(memory, capacity: Int(limits.fields))
            let view = octets
            let head = try RequestHead.parse(
                view, count: view.count, length: length, limits: limits, into: table)
            waiting = (Array(octets[..<length]), head.method == .head)
            expectsContinue = head.expectsContinue
            octets.removeFirst(length)
            switch head.framing {
            case .length(let count): bodyOctetsLeft = count
            case .chunked: chunks = ChunkedBody()
            case .none, .untilClose: break
            }
            return true
        }
    }

    /// False where the body is not whole.
    private mutating func takeBody() throws(Refusal) -> Bool {
        if var body = chunks {
            let step = try body.process(&octets, count: octets.count, mode: .identity)
            octets.removeFirst(step.consumed)
            chunks = body.isDone ? nil : body
            return body.isDone
        }
        let count = min(bodyOctetsLeft, UInt64(octets.count))
        octets.removeFirst(Int(count))
        bodyOctetsLeft -= count
        return bodyOctetsLeft == 0
    }
}
