// Runs an origin: binds, says where it listens, serves until SIGINT or SIGTERM, then tells its counts.

import Base
import Glibc
import Ring

public enum Origin {
    private static let backlog: Int32 = 4096

    /// Serves until a signal comes. `isListening` is called with the address, where port 0 has become the port
    /// that the kernel gave. Answers the counts as JSON.
    public static func run(
        _ options: OriginOptions, isListening: (String) -> Void
    ) throws(BenchError) -> String {
        try options.check()
        signal(SIGPIPE, SIG_IGN)
        let signals = SignalDescriptor()
        let isReal = BenchKernel.isRealUsable()
        let listener = try listen(on: options.listen)
        defer { if options.listen.isUnix { unlink(String(options.listen.text.dropFirst(5))) } }
        var worker = try OriginWorker(
            options, listener: listener, signalDescriptor: signals.descriptor, isReal: isReal)
        isListening(boundAddress(listener, options.listen))
        let failure = worker.run()
        if failure != 0 { throw BenchError("the ring stopped working: \(errorText(failure))") }
        return json(worker.counts, options, engine: isReal ? "io_uring" : "epoll")
    }

    private static func listen(on target: Target) throws(BenchError) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(target.address.family, kind, 0)
        var on: Int32 = 1
        let length = UInt32(MemoryLayout<Int32>.size)
        if descriptor >= 0, !target.isUnix {
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, length)
            // Accepted sockets inherit it.
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, length)
        }
        guard descriptor >= 0, target.with({ bind(descriptor, $0, $1) }) == 0,
            Glibc.listen(descriptor, backlog) == 0
        else {
            throw BenchError("cannot listen on \(target.text): \(errorText(errno))")
        }
        return descriptor
    }

    private static func boundAddress(_ listener: Int32, _ target: Target) -> String {
        guard !target.isUnix, let colon = target.text.lastIndex(of: ":") else { return target.text }
        var storage = sockaddr_storage()
        var length = UInt32(MemoryLayout<sockaddr_storage>.size)
        let port = withUnsafeMutablePointer(to: &storage) { pointer in
            let raw = UnsafeMutableRawPointer(pointer)
            getsockname(listener, raw.assumingMemoryBound(to: sockaddr.self), &length)
            // The port stands at the same place in both families.
            return UInt16(bigEndian: raw.load(fromByteOffset: 2, as: UInt16.self))
        }
        return target.text[..<colon] + ":\(port)"
    }

    private static func json(
        _ counts: OriginWorker.Counts, _ options: OriginOptions, engine: String
    ) -> String {
        object([
            ("name", quoted(options.name)), ("mode", quoted(options.mode.rawValue)),
            ("engine", quoted(engine)), ("connections", "\(counts.connections)"),
            ("requests", "\(counts.requests)"), ("responses", "\(counts.responses)"),
            ("delayed", "\(counts.delayed)"), ("refused", "\(counts.refused)"),
            ("broken", "\(counts.broken)"), ("bytes_received", "\(counts.bytesReceived)"),
            ("bytes_sent", "\(counts.bytesSent)"),
        ]) + "\n"
    }
}
