// A backend for `weir demo`: answers every HTTP request with its name. One thread, one poll(2) loop,
// bounded in connections and in bytes; for showing, not for serving.

import Base
import CLinux
import Configuration
import Glibc

enum SampleBackend {
    private static let connectionLimit = 256
    private static let requestLimitBytes = 16 * 1024

    /// Starts one on a free port of the loopback interface. Answers the port.
    static func start(name: String) throws(Failure) -> UInt16 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let listener = socket(AF_INET, kind, 0)
        let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)
        guard listener >= 0, loopback.with({ bind(listener, $0, $1) }) == 0, listen(listener, 128) == 0,
            case .ipv4(_, let port)? = Address(boundTo: listener)
        else { throw Failure("cannot start a sample backend: \(errorText(errno))") }
        let body = "hello from \(name)\n"
        let response =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        let context = Unmanaged.passRetained(Loop(listener: listener, response: Array(response.utf8)))
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
        private let response: [UInt8]
        /// The listener first, then the connections.
        private var polled: [pollfd]
        /// What each connection sent since its last answered request.
        private var requests: [[UInt8]] = [[]]
        private var chunk = [UInt8](repeating: 0, count: 4096)

        init(listener: Int32, response: [UInt8]) {
            self.response = response
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
                    requests.remove(at: index)
                }
                if polled[0].revents != 0 { accept() }
            }
        }

        private func accept() {
            let descriptor = weir_accept_nonblocking(polled[0].fd)
            guard descriptor >= 0 else { return }
            polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
            requests.append([])
        }

        /// Reads, and answers each whole request head. False where the connection is over.
        private func serve(_ index: Int) -> Bool {
            let count = read(polled[index].fd, &chunk, chunk.count)
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            if count == 0 { return false }
            requests[index] += chunk[..<count]
            while let end = endOfHead(requests[index]) {
                requests[index].removeFirst(end)
                // A client that does not read its answers has had its turn.
                guard send(polled[index].fd, response, response.count, 0) == response.count
                else { return false }
            }
            return requests[index].count <= SampleBackend.requestLimitBytes
        }

        private func endOfHead(_ bytes: [UInt8]) -> Int? {
            let end: [UInt8] = [13, 10, 13, 10]
            guard bytes.count >= end.count else { return nil }
            for start in 0...(bytes.count - end.count)
            where bytes[start..<start + end.count].elementsEqual(end) {
                return start + end.count
            }
            return nil
        }
    }
}
