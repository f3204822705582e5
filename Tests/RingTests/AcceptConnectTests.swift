// Accepting and connecting, on each kernel.

import CLiburing
import Glibc
import Ring
import Testing

@Suite struct AcceptConnectTests {
    @Test(arguments: Kernel.usable)
    func multishotAcceptGivesEveryConnection(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (listener, address) = listener()
        let early = client(of: address)
        bench.ring.acceptMultishot(listener.number, token: token(1))
        var accepted: [Owned] = []
        var late: [Owned] = []
        for _ in 0..<6 {
            let completion = try bench.next()
            late.append(client(of: address))
            #expect(completion.token == token(1) && completion.hasMore && completion.result >= 0)
            accepted.append(Owned(completion.result))
        }
        for descriptor in accepted {
            #expect(fcntl(descriptor.number, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(descriptor.number, F_GETFD) & FD_CLOEXEC != 0)
        }
        withExtendedLifetime((early, late)) {}
    }

    @Test(arguments: Kernel.usable)
    func singleAcceptGivesOneConnection(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (listener, address) = listener(.unix())
        bench.ring.acceptOne(listener.number, token: token(1))
        #expect(bench.turn().isEmpty)
        let clients = [client(of: address), client(of: address)]
        let completion = try bench.next()
        #expect(completion.result >= 0 && !completion.hasMore)
        close(completion.result)
        #expect(bench.turn().isEmpty)
        withExtendedLifetime(clients) {}
    }

    @Test(arguments: Kernel.usable)
    func twoRingsShareAListener(_ kernel: Kernel) throws {
        let benches = [try Bench(kernel), try Bench(kernel)]
        let (listener, address) = listener()
        for bench in benches {
            bench.ring.acceptMultishot(listener.number, token: token(1))
            #expect(bench.turn().isEmpty)
        }
        for _ in 0..<20 {
            let client = client(of: address)
            var found: [Completion] = []
            while found.isEmpty { found = benches.flatMap { $0.turn() } }
            #expect(found.count == 1 && found[0].result >= 0 && found[0].hasMore)
            close(found[0].result)
            withExtendedLifetime(client) {}
        }
    }

    @Test(arguments: Kernel.usable)
    func acceptOnWhatDoesNotListenFails(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (plain, _) = socketPair()
        let (reader, _) = makePipe()
        bench.ring.acceptMultishot(plain.number, token: token(1))
        bench.ring.acceptMultishot(reader.number, token: token(2))
        bench.ring.acceptMultishot(19_999, token: token(3))
        let found = try bench.collect(3)
        #expect(found[1]?.result == -EINVAL && found[1]?.hasMore == false)
        #expect(found[2]?.result == -ENOTSOCK)
        #expect(found[3]?.result == -EBADF)
    }

    @Test(arguments: Kernel.usable)
    func connectReachesAListener(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for wanted in [Address.loopback(), Address.unix()] {
            for flags in [0, Int32(SOCK_NONBLOCK.rawValue)] {
                let (listener, address) = listener(wanted, backlog: 8)
                defer { listener.end() }
                let socket = Owned(socket(Int32(address.storage.ss_family), streamKind | flags, 0))
                let before = fcntl(socket.number, F_GETFL)
                withUnsafePointer(to: address.storage) {
                    bench.ring.connect(socket.number, to: $0, length: address.length, token: token(1))
                    _ = bench.ring.submitAndWait(timeoutNanoseconds: 0)
                }
                #expect(try bench.next().result == 0)
                #expect(fcntl(socket.number, F_GETFL) == before)
                if wanted.storage.ss_family == AF_UNIX { break }
            }
        }
    }

    @Test(arguments: Kernel.usable)
    func connectTellsOfARefusal(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for wanted in [Address.loopback(), Address.unix()] {
            let (listener, address) = listener(wanted)
            listener.end()
            let socket = Owned(socket(Int32(address.storage.ss_family), streamKind, 0))
            withUnsafePointer(to: address.storage) {
                bench.ring.connect(socket.number, to: $0, length: address.length, token: token(1))
                _ = bench.ring.submitAndWait(timeoutNanoseconds: 0)
            }
            #expect(try bench.next().result == -ECONNREFUSED)
        }
    }

    /// Fills a listener's queue until a connection has to wait.
    private func fill(_ address: Address) -> [Owned] {
        var fillers: [Owned] = []
        while true {
            let kind = streamKind | Int32(SOCK_NONBLOCK.rawValue)
            let socket = Owned(socket(Int32(address.storage.ss_family), kind, 0))
            fillers.append(socket)
            if address.withGeneric({ connect(socket.number, $0, address.length) }) == 0 { continue }
            if errno == EAGAIN { return fillers }
            // A TCP connection that the queue has room for is there within this poll on loopback.
            var query = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
            if poll(&query, 1, 50) == 0 { return fillers }
        }
    }

    @Test(arguments: Kernel.usable)
    func aConnectThatWaitsCanBeCancelled(_ kernel: Kernel) throws {
        try cancelWaitingConnect(kernel, .loopback())
    }

    /// The real kernel tries such a connect over and over and then in a thread of its own: whether a cancel
    /// finds it there is a matter of luck.
    @Test func aUnixConnectThatWaitsCanBeCancelled() throws {
        try cancelWaitingConnect(.emulated, .unix())
    }

    private func cancelWaitingConnect(_ kernel: Kernel, _ wanted: Address) throws {
        let bench = try Bench(kernel)
        let (listener, address) = listener(wanted, backlog: 0)
        let fillers = fill(address)
        let socket = Owned(socket(Int32(address.storage.ss_family), streamKind, 0))
        withUnsafePointer(to: address.storage) {
            bench.ring.connect(socket.number, to: $0, length: address.length, token: token(1))
            #expect(bench.turn().isEmpty)
        }
        bench.ring.cancel(token(1), token: token(2))
        let found = try bench.collect(2)
        #expect(found[2]?.result == 0)
        #expect(found[1]?.result == -ECANCELED)
        withExtendedLifetime((listener, fillers)) {}
    }

    @Test(arguments: Kernel.usable)
    func aUnixConnectWaitsForRoomInTheQueue(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (listener, address) = listener(.unix(), backlog: 0)
        let fillers = fill(address)
        let socket = Owned(socket(AF_UNIX, streamKind, 0))
        withUnsafePointer(to: address.storage) {
            bench.ring.connect(socket.number, to: $0, length: address.length, token: token(1))
            #expect(bench.turn().isEmpty)
        }
        while bench.ring.pending().count == 0 {
            let made = Owned(accept(listener.number, nil, nil))
            _ = bench.ring.submitAndWait(timeoutNanoseconds: 20_000_000)
            made.end()
            if bench.ring.pending().count > 0 { break }
            var query = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
            if poll(&query, 1, 0) == 0 { break }
        }
        #expect(try bench.next().result == 0)
        withExtendedLifetime(fillers) {}
    }
}
