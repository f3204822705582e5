// The sockets that the admin API is reached at, and what is known of who connects to them.

import CLinux
import Configuration
import Glibc

/// Who is at the other end.
enum AdminPeer {
    /// Through a unix socket, root or the user that Weir runs as: needs nothing else.
    case owner
    /// Through a unix socket, anybody else.
    case stranger
    /// Over TCP.
    case network
}

/// One listening socket.
struct AdminSocket {
    let descriptor: Int32
    /// What it is bound to; port 0 of the configuration is the kernel's choice here.
    let address: Address
    /// Of the path, so that at the end nobody else's socket is removed.
    private let file: (device: UInt, node: UInt)?

    init(_ address: Address) throws(Failure) {
        if case .unix(let path) = address { try Listening.removeStale(path, owner: "admin") }
        descriptor = try Listening.listen(address, owner: "admin", reusePort: false)
        guard case .unix(let path) = address else {
            self.address = Address(boundTo: descriptor) ?? address
            file = nil
            return
        }
        self.address = address
        // Only for those whom this does not stop: each peer is asked who it is.
        chmod(path, 0o600)
        file = Self.file(at: path)
    }

    /// Takes over what another process listens on.
    init(_ handed: HandedSocket) {
        (descriptor, address) = (handed.descriptor, handed.actual)
        if case .unix(let path) = address, handed.ownsPath { file = Self.file(at: path) } else { file = nil }
    }

    /// For the process that takes this one's place; `asked` is as the file has it.
    func handed(asked: Address) -> HandedSocket {
        HandedSocket(
            owner: .admin, asked: asked, actual: address, isShared: true, ownsPath: file != nil,
            descriptor: descriptor)
    }

    func accept() -> (descriptor: Int32, peer: AdminPeer)? {
        let accepted = weir_accept_nonblocking(descriptor)
        return accepted < 0 ? nil : (accepted, peer(of: accepted))
    }

    /// Takes its path away, where it is still its own.
    func removePath() {
        guard case .unix(let path) = address, let file, let now = Self.file(at: path), now == file else {
            return
        }
        unlink(path)
    }

    private static func file(at path: String) -> (device: UInt, node: UInt)? {
        var status = stat()
        return lstat(path, &status) == 0 ? (UInt(status.st_dev), UInt(status.st_ino)) : nil
    }

    private func peer(of accepted: Int32) -> AdminPeer {
        guard case .unix = address else { return .network }
        var user: UInt32 = 0
        guard weir_peer_user(accepted, &user) == 0 else { return .stranger }
        return user == 0 || user == geteuid() ? .owner : .stranger
    }
}
