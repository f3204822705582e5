// Between the configuration's addresses and the kernel's: conversion, printing, and looking up names.

import Base
import Configuration
import Glibc

extension SocketAddress {
    /// Lends the address to a system call.
    func with<Answer>(_ body: (UnsafePointer<sockaddr>, UInt32) -> Answer) -> Answer {
        withUnsafePointer(to: storage) {
            body(UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), length)
        }
    }
}

extension Address {
    /// nil for a host name, and for a unix path that is too long.
    var socketAddress: SocketAddress? {
        switch self {
        case .ipv4(let address, let port): SocketAddress(ipv4: address, port: port)
        case .ipv6(let high, let low, let port): SocketAddress(ipv6High: high, low: low, port: port)
        case .unix(let path): SocketAddress(unixPath: path)
        case .name: nil
        }
    }

    /// True for a port that only privileged processes may bind.
    var isPrivileged: Bool {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port), .name(_, let port): port < 1024
        case .unix: false
        }
    }

    /// What a socket is bound to; nil for a family that Weir does not speak.
    init?(boundTo descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = UInt32(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            getsockname(
                descriptor, UnsafeMutableRawPointer($0).assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard result == 0 else { return nil }
        self.init(storage, length: length)
    }

    init?(_ storage: sockaddr_storage, length: UInt32) {
        let parsed: Address? = withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = bytes.load(as: sockaddr_in.self)
                return .ipv4(
                    UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
            case AF_INET6:
                let offset = MemoryLayout<sockaddr_in6>.offset(of: \sockaddr_in6.sin6_addr)!
                return .ipv6(
                    high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)),
                    port: UInt16(bigEndian: bytes.load(as: sockaddr_in6.self).sin6_port))
            case AF_UNIX:
                let path = bytes[2..<max(2, min(Int(length), bytes.count))].prefix { $0 != 0 }
                return .unix(path: String(decoding: path, as: UTF8.self))
            default: return nil
            }
        }
        guard let parsed else { return nil }
        self = parsed
    }
}

/// Looks up the backends' host names, once, at start.
enum NameLookup {
    /// The first address that the system's resolver gives.
    static func resolve(_ name: String, port: UInt16) throws(Failure) -> SocketAddress {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(name, String(port), &hints, &list)
        guard result == 0, let first = list else {
            throw Failure("the name `\(name)` leads nowhere: \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(list) }
        var storage = sockaddr_storage()
        memcpy(&storage, first.pointee.ai_addr, Int(first.pointee.ai_addrlen))
        return SocketAddress(storage: storage, length: first.pointee.ai_addrlen)
    }
}
