// A socket address as the kernel takes it, built from parsed parts. Listeners bind to one, sessions
// connect to one.

import Glibc

/// `sockaddr_in`, `sockaddr_in6` or `sockaddr_un` with its length.
public struct SocketAddress: @unchecked Sendable {
    public var storage: sockaddr_storage
    /// Bytes of `storage` that count.
    public var length: UInt32

    /// AF_INET, AF_INET6 or AF_UNIX.
    public var family: Int32 { Int32(storage.ss_family) }

    /// The longest path of a unix socket, in bytes (unix(7)).
    public static let unixPathLimitBytes = 107

    /// An IPv4 address in host byte order.
    public init(ipv4 address: UInt32, port: UInt16) {
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = address.bigEndian
        self.init(raw)
    }

    /// An IPv6 address as two halves in host byte order.
    public init(ipv6High high: UInt64, low: UInt64, port: UInt16) {
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &raw.sin6_addr) { octets in
            octets.storeBytes(of: high.bigEndian, as: UInt64.self)
            octets.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        self.init(raw)
    }

    /// A unix socket's path; nil where it is longer than `unixPathLimitBytes`.
    public init?(unixPath path: String) {
        let bytes = Array(path.utf8)
        guard bytes.count <= Self.unixPathLimitBytes else { return nil }
        var raw = sockaddr_un()
        raw.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: bytes) }
        self.init(raw)
    }

    /// From what getsockname(2) and its like filled in.
    public init(storage: sockaddr_storage, length: UInt32) {
        self.storage = storage
        self.length = length
    }

    private init<Raw>(_ raw: Raw) {
        storage = sockaddr_storage()
        length = UInt32(MemoryLayout<Raw>.size)
        withUnsafeBytes(of: raw) { source in
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
        }
    }
}
