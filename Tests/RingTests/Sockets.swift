// Sockets, pipes and files for the tests, by plain system calls, closed when their owner goes.

import CLiburing
import Glibc
import Testing

/// A descriptor that a test owns.
final class Owned {
    private(set) var number: Int32

    init(_ number: Int32) {
        precondition(number >= 0, "a system call of the test's own failed, errno \(errno)")
        self.number = number
    }

    deinit { end() }

    /// Closes it now.
    func end() {
        if number >= 0 { close(number) }
        number = -1
    }

    /// Somebody else closes it.
    func giveUp() -> Int32 {
        defer { number = -1 }
        return number
    }

    func write(_ bytes: [UInt8], flags: Int32 = 0) {
        let sent = send(number, bytes, bytes.count, flags | Int32(MSG_NOSIGNAL))
        #expect(sent == bytes.count)
    }

    /// What is there now, up to `limit` bytes; nil where there is nothing yet, empty at the end.
    func readNow(limit: Int = 65_536) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(number, &bytes, limit, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : Array(bytes.prefix(count))
    }
}

let streamKind = Int32(SOCK_STREAM.rawValue)

/// Two connected stream sockets of the unix family.
func socketPair(kind: Int32 = streamKind) -> (Owned, Owned) {
    var numbers: [Int32] = [0, 0]
    precondition(socketpair(AF_UNIX, kind, 0, &numbers) == 0)
    return (Owned(numbers[0]), Owned(numbers[1]))
}

/// A blocking pipe.
func makePipe() -> (reader: Owned, writer: Owned) {
    var numbers: [Int32] = [0, 0]
    precondition(pipe2(&numbers, O_CLOEXEC) == 0)
    return (Owned(numbers[0]), Owned(numbers[1]))
}

/// A file without a name.
func temporaryFile() -> Owned {
    var path = Array("/tmp/weir-test-XXXXXX".utf8CString)
    let owned = Owned(mkstemp(&path))
    unlink(path)
    return owned
}

/// Both sides of a pseudo-terminal. (The system module leaves openpty(3) out.)
func terminal() -> (master: Owned, slave: Owned) {
    typealias Open =
        @convention(c) (
            UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>, UnsafeMutableRawPointer?,
            UnsafeMutableRawPointer?, UnsafeMutableRawPointer?
        ) -> Int32
    let open = unsafeBitCast(dlsym(nil, "openpty")!, to: Open.self)
    var (master, slave): (Int32, Int32) = (-1, -1)
    precondition(open(&master, &slave, nil, nil, nil) == 0)
    return (Owned(master), Owned(slave))
}

/// A socket address in the form that the ring takes.
struct Address {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    /// 127.0.0.1, any port.
    static func loopback() -> Address {
        var address = Address()
        address.length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address.storage) { bytes in
            var internet = sockaddr_in()
            internet.sin_family = sa_family_t(AF_INET)
            internet.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            bytes.storeBytes(of: internet, as: sockaddr_in.self)
        }
        return address
    }

    /// A name in the abstract unix space that no other test has.
    static func unix() -> Address {
        var address = Address()
        let name = "weir-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        address.length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.utf8.count)
        withUnsafeMutableBytes(of: &address.storage) { bytes in
            bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
            for (index, byte) in name.utf8.enumerated() { bytes[3 + index] = byte }
        }
        return address
    }

    /// Calls `body` with the address as the socket calls take it.
    func withGeneric(_ body: (UnsafePointer<sockaddr>) -> Int32) -> Int32 {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
        }
    }
}

/// A listening socket (blocking, as a foreign process might hand it over) and where it is.
func listener(_ wanted: Address = .loopback(), backlog: Int32 = 64) -> (Owned, Address) {
    var address = wanted
    let owned = Owned(socket(Int32(address.storage.ss_family), streamKind, 0))
    precondition(address.withGeneric { bind(owned.number, $0, address.length) } == 0)
    precondition(listen(owned.number, backlog) == 0)
    address.length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &address.storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            getsockname(owned.number, $0, &address.length)
        }
    }
    precondition(result == 0)
    return (owned, address)
}

/// A socket connected to a listener whose backlog has room.
func client(of address: Address) -> Owned {
    let owned = Owned(socket(Int32(address.storage.ss_family), streamKind, 0))
    precondition(address.withGeneric { connect(owned.number, $0, address.length) } == 0)
    return owned
}

/// Two connected TCP sockets.
func tcpPair() -> (Owned, Owned) {
    let (listener, address) = listener()
    let near = client(of: address)
    return (near, Owned(accept(listener.number, nil, nil)))
}

/// Closing the socket resets its connection.
func resetOnClose(_ socket: Owned) {
    var option = linger(l_onoff: 1, l_linger: 0)
    let length = socklen_t(MemoryLayout<linger>.size)
    precondition(setsockopt(socket.number, SOL_SOCKET, SO_LINGER, &option, length) == 0)
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: UInt8 = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    var first = Int(seed)
    while bytes.count < count {
        bytes += patternBlock[first..<min(patternBlock.count, first + count - bytes.count)]
        first = 0
    }
    return bytes
}

/// A prime number of bytes, so that no buffer size hides an exchange of two buffers.
private let patternBlock = (0..<4099).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

/// Runs `body` on another thread; `join` waits for its end.
final class OtherThread {
    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        let result = pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        precondition(result == 0)
    }

    func join() { pthread_join(thread, nil) }
}
