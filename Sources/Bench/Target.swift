// Addresses as they stand on the command line: `127.0.0.1:8080`, `[::1]:8080`, `name:8080`, `unix:/run/a.sock`.

import Base
import Glibc

public struct Target: Sendable {
    /// As it was written.
    public let text: String
    public let address: SocketAddress

    /// Looks a name up with the system's resolver.
    public init(_ text: String) throws(BenchError) {
        self.text = text
        if text.hasPrefix("unix:") {
            guard let address = SocketAddress(unixPath: String(text.dropFirst(5))) else {
                throw BenchError("the path of `\(text)` is too long for a unix socket")
            }
            self.address = address
            return
        }
        guard let colon = text.lastIndex(of: ":"), UInt16(text[text.index(after: colon)...]) != nil,
            colon > text.startIndex
        else { throw BenchError("`\(text)` is no address: write HOST:PORT or unix:PATH") }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(String(host), String(text[text.index(after: colon)...]), &hints, &list)
        guard result == 0, let first = list else {
            throw BenchError("`\(host)` leads nowhere: \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(list) }
        var storage = sockaddr_storage()
        memcpy(&storage, first.pointee.ai_addr, Int(first.pointee.ai_addrlen))
        address = SocketAddress(storage: storage, length: first.pointee.ai_addrlen)
    }

    var isUnix: Bool { address.family == AF_UNIX }

    /// Lends the address to a system call.
    func with<Answer>(_ body: (UnsafePointer<sockaddr>, UInt32) -> Answer) -> Answer {
        withUnsafePointer(to: address.storage) {
            body(UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), address.length)
        }
    }
}
