// Opens the sockets that listeners bind: one for each worker where the kernel can spread connections
// (SO_REUSEPORT), else one for all. Also takes sockets that systemd hands over, and those of the process whose place
// this one takes (Upgrade/).

import Base
import Configuration
import Dataplane
import Glibc

/// One address that is listened on.
struct BoundAddress {
    /// As the file has it.
    let asked: Address
    /// With the port that the kernel gave for port 0.
    let actual: Address
    /// One for each worker, or one for all. More than there are workers where another process had more: none may be
    /// closed, or clients in its queue would be reset.
    var descriptors: [Int32]
    /// All workers accept on one descriptor; the control thread closes it at the end.
    let isShared: Bool
    /// A unix socket that this process made: its path is removed at the end.
    var unixPath: String?
    /// Index of its listener in the configuration.
    var listener: Int

    /// What one of so many workers accepts on.
    func descriptors(ofWorker worker: Int, of workers: Int) -> [Int32] {
        if isShared { return descriptors }
        return stride(from: worker, to: descriptors.count, by: workers).map { descriptors[$0] }
    }
}

/// Every socket that is listened on.
struct Listening {
    private(set) var bound: [BoundAddress] = []
    private let workers: Int
    /// Bound for workers that the process before did not have. Were they to listen before it is clear that this process
    /// serves, clients could be lost in their queues.
    private var toListen: [Int32] = []

    /// Binds all or nothing. What was handed over and is not among the addresses stays as it is.
    static func open(
        _ configuration: Configuration, workers: Int, inherited: [InheritedSocket],
        handed: [HandedSocket] = []
    ) throws(Failure) -> Listening {
        var listening = Listening(workers: workers)
        let old = taken(handed)
        do throws(Failure) {
            try listening.bindAll(configuration, keeping: old, inherited)
        } catch {
            listening.removeUnixSockets(but: Set(old.flatMap(\.descriptors)))
            throw error
        }
        return listening
    }

    /// What was handed over, by address.
    private static func taken(_ handed: [HandedSocket]) -> [BoundAddress] {
        var old: [BoundAddress] = []
        for socket in handed where socket.owner == .listener {
            if let index = old.firstIndex(where: { $0.asked == socket.asked && !$0.isShared }) {
                old[index].descriptors.append(socket.descriptor)
                continue
            }
            var path: String?
            if case .unix(let own) = socket.asked, socket.ownsPath { path = own }
            old.append(
                BoundAddress(
                    asked: socket.asked, actual: socket.actual, descriptors: [socket.descriptor],
                    isShared: socket.isShared, unixPath: path, listener: 0))
        }
        return old
    }

    /// What another process needs to go on with them.
    var handed: [HandedSocket] {
        bound.flatMap { address in
            address.descriptors.map {
                HandedSocket(
                    owner: .listener, asked: address.asked, actual: address.actual,
                    isShared: address.isShared, ownsPath: address.unixPath != nil, descriptor: $0)
            }
        }
    }

    /// Makes those listen that were bound only. Fails where the kernel has changed its mind.
    mutating func listenOnAll() throws(Failure) {
        for descriptor in toListen where Glibc.listen(descriptor, Int32(Worker.backlog)) != 0 {
            throw Failure("cannot listen: \(errorText(errno))")
        }
        toListen = []
    }

    /// The same for another configuration: addresses that it has too stay as they are. Where it fails, nothing has
    /// changed.
    func next(_ configuration: Configuration) throws(Failure) -> Listening {
        var next = Listening(workers: workers)
        do throws(Failure) {
            try next.bindAll(configuration, keeping: bound, [])
        } catch {
            let fresh = next.dropped(to: self)
            fresh.flatMap { Set($0.descriptors) }.forEach { close($0) }
            fresh.compactMap(\.unixPath).forEach { unlink($0) }
            throw error
        }
        return next
    }

    private init(workers: Int) { self.workers = workers }

    /// What `other` does not listen on.
    func dropped(to other: Listening) -> [BoundAddress] {
        bound.filter { one in !other.bound.contains { $0.descriptors == one.descriptors } }
    }

    /// What a worker accepts on.
    func sockets(ofWorker worker: Int) -> [ListeningSocket] {
        bound.flatMap { address in
            address.descriptors(ofWorker: worker, of: workers).map {
                ListeningSocket(
                    descriptor: $0, listener: address.listener, isShared: address.isShared,
                    port: address.actual.port)
            }
        }
    }

    /// What a listener is bound to, by its index in the configuration.
    func addresses(of listener: Int) -> [Address] {
        bound.filter { $0.listener == listener }.map(\.actual)
    }

    /// Descriptors that several workers accept on.
    var shared: [Int32] { bound.filter(\.isShared).map { $0.descriptors[0] } }

    /// Removes the paths of the unix sockets that were made, once: what is there later is somebody else's. Those of
    /// `successor` are another process's now, and stay.
    mutating func removeUnixSockets(but successor: Set<Int32> = []) {
        for index in bound.indices {
            guard let path = bound[index].unixPath else { continue }
            bound[index].unixPath = nil
            if !successor.contains(bound[index].descriptors[0]) { unlink(path) }
        }
    }

    private mutating func bindAll(
        _ configuration: Configuration, keeping old: [BoundAddress], _ inherited: [InheritedSocket]
    ) throws(Failure) {
        var (inherited, old) = (inherited, old)
        for (index, listener) in configuration.listeners.enumerated() {
            for address in listener.bind {
                if let position = inherited.firstIndex(where: { $0.address == address }) {
                    let socket = inherited.remove(at: position)
                    share(socket.descriptor, address, listener: index, unixPath: nil)
                } else if let position = old.firstIndex(where: { $0.asked == address }) {
                    var kept = old.remove(at: position)
                    kept.listener = index
                    try bindMissing(&kept, owner: "listener \(listener.name)")
                    bound.append(kept)
                } else {
                    try bind(address, listener: index, name: listener.name)
                }
            }
        }
        if let unused = inherited.first {
            throw Failure(
                "systemd hands over a socket on \(unused.address) that no listener binds; "
                    + "add it to a listener or take it out of the .socket unit")
        }
    }

    /// Another process had fewer workers.
    private mutating func bindMissing(_ kept: inout BoundAddress, owner: String) throws(Failure) {
        while !kept.isShared, kept.descriptors.count < workers {
            let descriptor = try Self.bound(kept.actual, owner: owner, reusePort: true)
            kept.descriptors.append(descriptor)
            toListen.append(descriptor)
        }
    }

    private mutating func bind(_ asked: Address, listener: Int, name: String) throws(Failure) {
        let owner = "listener \(name)"
        if case .unix(let path) = asked {
            try Self.removeStale(path, owner: owner)
            let descriptor = try Self.listen(asked, owner: owner, reusePort: false)
            share(descriptor, asked, listener: listener, unixPath: path)
            return
        }
        // A first bind without SO_REUSEPORT finds out whether anybody else has the port: another Weir of the
        // same user would otherwise share it in silence.
        let probe = try Self.bound(asked, owner: owner, reusePort: false)
        // Port 0 becomes the port that the kernel gave, the same for all workers.
        let actual = Address(boundTo: probe) ?? asked
        close(probe)
        var descriptors: [Int32] = []
        for _ in 0..<workers {
            do throws(Failure) {
                descriptors.append(try Self.listen(actual, owner: owner, reusePort: true))
            } catch {
                descriptors.forEach { close($0) }
                throw error
            }
        }
        bound.append(
            BoundAddress(
                asked: asked, actual: actual, descriptors: descriptors, isShared: false, unixPath: nil,
                listener: listener))
    }

    private mutating func share(
        _ descriptor: Int32, _ address: Address, listener: Int, unixPath: String?
    ) {
        bound.append(
            BoundAddress(
                asked: address, actual: address, descriptors: [descriptor], isShared: true,
                unixPath: unixPath, listener: listener))
    }

    /// A unix socket that refuses is what a crashed process left: it is removed. Any other answer is an error:
    /// somebody may be there.
    static func removeStale(_ path: String, owner: String) throws(Failure) {
        guard let address = SocketAddress(unixPath: path) else {
            throw Failure(
                "\(owner): the path \(path) is longer than "
                    + "\(SocketAddress.unixPathLimitBytes) bytes, which unix sockets do not allow")
        }
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(
                "\(owner): \(path) exists and is no socket; move it or bind another path")
        }
        // Non-blocking: a server whose queue is full would hold up the start.
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let probe = socket(AF_UNIX, kind, 0)
        defer { close(probe) }
        let code = probe >= 0 && address.with({ connect(probe, $0, $1) }) == 0 ? 0 : errno
        switch code {
        case ECONNREFUSED: unlink(path)
        case 0, EAGAIN: throw Failure("\(owner): another process listens on \(path)")
        default:
            throw Failure(
                "\(owner): cannot tell who has \(path): \(errorText(code)); "
                    + "remove it or bind another path")
        }
    }

    /// `owner` begins what is said where it fails.
    static func listen(
        _ address: Address, owner: String, reusePort: Bool
    ) throws(Failure) -> Int32 {
        let descriptor = try bound(address, owner: owner, reusePort: reusePort)
        guard Glibc.listen(descriptor, Int32(Worker.backlog)) == 0 else {
            let code = errno
            close(descriptor)
            if case .unix(let path) = address { unlink(path) }
            throw bindFailure(code, address, owner)
        }
        return descriptor
    }

    private static func bound(
        _ address: Address, owner: String, reusePort: Bool
    ) throws(Failure) -> Int32 {
        guard let raw = address.socketAddress else {
            throw Failure("\(owner): \(address) is no address to bind")
        }
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(raw.family, kind, 0)
        guard descriptor >= 0 else { throw bindFailure(errno, address, owner) }
        if raw.family != AF_UNIX {
            set(descriptor, SOL_SOCKET, SO_REUSEADDR)
            if reusePort { set(descriptor, SOL_SOCKET, SO_REUSEPORT) }
            // Accepted sockets inherit it.
            set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
            // [::] and 0.0.0.0 can both be bound, each for its own family.
            if raw.family == AF_INET6 { set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
        }
        guard raw.with({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
            let code = errno
            close(descriptor)
            throw bindFailure(code, address, owner)
        }
        return descriptor
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32) {
        var on: Int32 = 1
        setsockopt(descriptor, level, name, &on, UInt32(MemoryLayout<Int32>.size))
    }

    private static func bindFailure(_ code: Int32, _ address: Address, _ owner: String) -> Failure {
        let advice =
            switch code {
            case EADDRINUSE: "another process has it; `ss -ltnp` shows which"
            case EACCES where address.isPrivileged:
                "ports below 1024 need root or CAP_NET_BIND_SERVICE "
                    + "(systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
            case EACCES: "this user may not create the socket there"
            case EADDRNOTAVAIL: "no interface of this host has that address; `ip address` lists them"
            case ENOENT: "the directory does not exist"
            case EAFNOSUPPORT: "this host has no such address family (is IPv6 off?)"
            case EMFILE, ENFILE: "no file descriptors left; raise LimitNOFILE"
            default: "the kernel refuses it"
            }
        return Failure("\(owner): cannot bind \(address): \(errorText(code)): \(advice)", code: code)
    }
}
