// The two things that systemd and Weir say to each other: sockets that are handed over at start
// (sd_listen_fds(3)) and that Weir is ready or stopping (sd_notify(3)). Both are small enough to need no
// library.

import Base
import Configuration
import Glibc

/// A listening socket that was open before Weir started.
struct InheritedSocket {
    let descriptor: Int32
    let address: Address

    /// More than any set of listeners needs.
    private static let limit: Int32 = 1024

    /// What systemd hands over, if it does; the variables are removed, so that nothing started by Weir
    /// takes them for its own.
    static func takeAll() throws(Failure) -> [InheritedSocket] {
        defer {
            unsetenv("LISTEN_PID")
            unsetenv("LISTEN_FDS")
            unsetenv("LISTEN_FDNAMES")
        }
        guard let pid = environmentVariable("LISTEN_PID"), pid == String(getpid()),
            let text = environmentVariable("LISTEN_FDS")
        else { return [] }
        guard let count = Int32(text), (0...limit).contains(count) else {
            throw Failure(
                "LISTEN_FDS is `\(text)`: systemd may hand over at most \(limit) sockets; "
                    + "take some out of the .socket units")
        }
        var sockets: [InheritedSocket] = []
        for descriptor in 3..<3 + count {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
            var isListening: Int32 = 0
            var length = UInt32(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &length)
            guard isListening == 1, let address = Address(boundTo: descriptor) else {
                throw Failure(
                    "descriptor \(descriptor) from systemd is no listening stream socket of a known family")
            }
            var on: Int32 = 1
            // Fails on unix sockets, which need it not.
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, length)
            sockets.append(InheritedSocket(descriptor: descriptor, address: address))
        }
        return sockets
    }
}

/// A variable of the process's environment.
func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

enum Systemd {
    /// Tells the service manager, where there is one. One that does not read misses it: nobody waits for it.
    static func notify(_ state: String) {
        guard let path = environmentVariable("NOTIFY_SOCKET"), !path.isEmpty else { return }
        // A leading @ means the abstract namespace: the kernel's form begins with a zero byte.
        guard var address = SocketAddress(unixPath: path) else { return }
        if path.hasPrefix("@") {
            withUnsafeMutableBytes(of: &address.storage) { $0[2] = 0 }
        }
        address.length = UInt32(2 + path.utf8.count)
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        _ = address.with { sendto(descriptor, state, state.utf8.count, Int32(MSG_DONTWAIT), $0, $1) }
    }
}
