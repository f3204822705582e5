// The prober against sockets of this host, on io_uring (where it is allowed) and on epoll.

import Base
import CLinux
import EmulatedKernel
import Glibc
import Probing
import Ring
import Testing

private enum Engine: String, CaseIterable {
    case real, emulated

    static let usable: [Engine] = {
        do throws(RingSetUpError) {
            _ = try Ring(port: .real, submissionEntries: 4, completionEntries: 8)
            return allCases
        } catch {
            return [.emulated]
        }
    }()

    func prober(_ settings: ProberSettings = ProberSettings()) throws -> Prober {
        // The emulated kernel lives until its ring is set up, and from there on by itself.
        let emulated = EmulatedKernel()
        defer { withExtendedLifetime(emulated) {} }
        return try Prober(port: self == .real ? .real : emulated.port, settings)
    }
}

/// A listening socket; nothing is accepted that a test does not accept.
private final class Listener {
    let descriptor: Int32
    let address: SocketAddress
    private let path: String?

    init(backlog: Int32 = 64) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var storage = SocketAddress(ipv4: 0x7F00_0001, port: 0).storage
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) | listen(descriptor, backlog)
                    | getsockname(descriptor, generic, &length)
            }
        }
        precondition(result == 0)
        address = SocketAddress(storage: storage, length: length)
        path = nil
    }

    init(unixPath: String, backlog: Int32) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        address = SocketAddress(unixPath: unixPath)!
        path = unixPath
        unlink(unixPath)
        let result = withUnsafePointer(to: address.storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, address.length) }
        }
        precondition(result == 0 && listen(descriptor, backlog) == 0)
    }

    deinit {
        close(descriptor)
        if let path { unlink(path) }
    }

    /// Takes one connection, reads what is asked, and does `body` with it.
    func serve(_ body: @escaping @Sendable (Int32) -> Void) -> OneAnswer { OneAnswer(descriptor, body) }
}

/// A thread that takes one connection.
private final class OneAnswer {
    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private var thread = pthread_t()

    init(_ listener: Int32, _ body: @escaping @Sendable (Int32) -> Void) {
        let box = Unmanaged.passRetained(
            Box {
                let connection = accept(listener, nil, nil)
                body(connection)
                close(connection)
            })
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

private func readSome(_ descriptor: Int32) {
    var octets = [UInt8](repeating: 0, count: 4096)
    _ = recv(descriptor, &octets, octets.count, 0)
}

private func say(_ descriptor: Int32, _ text: String) {
    _ = send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
}

private let seconds: UInt64 = 1_000_000_000

/// Turns until the prober is idle; fails after ten seconds.
private func finish(_ prober: Prober) -> [ProbeResult] {
    var results: [ProbeResult] = []
    let limit = prober.now + 10 * seconds
    while prober.now < limit {
        #expect(prober.turn(waitingUntil: prober.now + seconds / 10) == 0)
        while let result = prober.nextResult() { results.append(result) }
        if prober.isIdle { return results }
    }
    Issue.record("the prober does not come to rest")
    return results
}

private func once(_ engine: Engine, _ probe: Probe) throws -> ProbeResult {
    let prober = try engine.prober()
    #expect(prober.submit(probe, reference: 42))
    let results = finish(prober)
    #expect(results.count == 1 && results[0].reference == 42)
    return results[0]
}

@Suite struct RealSocketTests {
    @Test(arguments: Engine.usable)
    private func aServerIsAskedOverHTTP(engine: Engine) throws {
        let listener = Listener()
        let server = listener.serve { connection in
            readSome(connection)
            say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready")
        }
        var exchange = HTTPExchange(host: "localhost")
        exchange.expectedText = Array("ready".utf8)
        let result = try once(
            engine, .http(exchange, to: listener.address, timeoutNanoseconds: 5 * seconds))
        server.join()
        #expect(result.cause == .ok)
        #expect(result.durationNanoseconds > 0)
    }

    @Test(arguments: Engine.usable)
    private func redisAndPostgresAnswer(engine: Engine) throws {
        let listener = Listener()
        let redis = listener.serve { connection in
            readSome(connection)
            say(connection, "+PO")
            say(connection, "NG\r\n")
        }
        let pong = try once(engine, .redisPing(to: listener.address, timeoutNanoseconds: 5 * seconds))
        redis.join()
        #expect(pong.cause == .ok)
        let postgres = listener.serve { connection in
            readSome(connection)
            say(connection, "N")
        }
        let answer = try once(
            engine, .postgresSSLRequest(to: listener.address, timeoutNanoseconds: 5 * seconds))
        postgres.join()
        #expect(answer.cause == .ok)
    }

    @Test(arguments: Engine.usable)
    private func aServerThatSaysNothingEndsByTheDeadline(engine: Engine) throws {
        // The kernel completes the connection; nobody ever accepts it.
        let listener = Listener()
        let result = try once(
            engine, .redisPing(to: listener.address, timeoutNanoseconds: seconds / 20))
        #expect(result.cause == .timeout)
        #expect(result.durationNanoseconds >= seconds / 20)
        let reached = try once(engine, .connection(to: listener.address, timeoutNanoseconds: seconds))
        #expect(reached.cause == .ok)
    }

    @Test(arguments: Engine.usable)
    private func aClosedPortRefuses(engine: Engine) throws {
        var listener: Listener? = Listener()
        let address = listener!.address
        listener = nil
        let result = try once(engine, .connection(to: address, timeoutNanoseconds: seconds))
        #expect(result.cause == .connectRefused)
        let nowhere = SocketAddress(unixPath: "/tmp/weir-no-such-socket-\(getpid())")!
        let none = try once(engine, .connection(to: nowhere, timeoutNanoseconds: seconds))
        #expect(none.cause == .connectRefused)
    }

    @Test(arguments: Engine.usable)
    private func aFullUnixQueueIsAskedAgainUntilTheDeadline(engine: Engine) throws {
        let listener = Listener(unixPath: "/tmp/weir-probe-\(getpid())-\(engine)", backlog: 0)
        let prober = try engine.prober()
        // One connection fits into a queue of length 0.
        let probe = Probe(
            to: listener.address, judge: { _, _ in .needsMore }, timeoutNanoseconds: seconds / 10)
        for reference in 0..<3 { #expect(prober.submit(probe, reference: UInt64(reference))) }
        let causes = finish(prober).map(\.cause.rawValue).sorted()
        #expect(
            causes
                == [.connectTimeout, .connectTimeout, .timeout].map { (cause: ProbeCause) in cause.rawValue })
    }

    @Test(arguments: Engine.usable)
    private func aServerThatClosesOrResetsIsNamed(engine: Engine) throws {
        let listener = Listener()
        let closing = listener.serve { readSome($0) }
        let closed = try once(engine, .redisPing(to: listener.address, timeoutNanoseconds: 5 * seconds))
        closing.join()
        #expect(closed.cause == .closed)
        let resetting = listener.serve { connection in
            readSome(connection)
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        let reset = try once(engine, .redisPing(to: listener.address, timeoutNanoseconds: 5 * seconds))
        resetting.join()
        #expect(reset.cause == .reset)
    }

    @Test(arguments: Engine.usable)
    private func anotherThreadWakesAndStopsIt(engine: Engine) throws {
        let listener = Listener()
        var settings = ProberSettings()
        settings.wakeDescriptor = weir_eventfd()
        defer { close(settings.wakeDescriptor) }
        let prober = try engine.prober(settings)
        let patient = Probe.redisPing(to: listener.address, timeoutNanoseconds: 3600 * seconds)
        for reference in 0..<20 { #expect(prober.submit(patient, reference: UInt64(reference))) }
        #expect(prober.turn(waitingUntil: prober.now) == 0)
        var one: UInt64 = 1
        #expect(write(settings.wakeDescriptor, &one, 8) == 8)
        for _ in 0..<100 where !prober.wasWoken {
            #expect(prober.turn(waitingUntil: prober.now + 10 * seconds) == 0)
        }
        #expect(prober.wasWoken)
        prober.stop()
        let results = finish(prober)
        #expect(results.count == 20 && results.allSatisfy { $0.cause == .stopped })
    }
}
