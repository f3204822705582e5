// Which kernel interface carries the data plane. io_uring is tried for real, with the very features that
// the workers need, because a version number says nothing about what a container or an administrator
// forbids.

import Base
import CLiburing
import Configuration
import EmulatedKernel
import Glibc
import Ring

/// The interface in use, and why.
public struct Engine: Sendable {
    public enum Kind: Sendable {
        case ioUring
        case epoll
    }

    public let kind: Kind
    /// Why this one, for the log and `weir check`.
    public let why: String

    public var name: StaticString { kind == .ioUring ? "io_uring" : "epoll" }

    /// Follows the configuration; fails where io_uring is demanded and does not work.
    public static func choose(_ choice: EngineChoice) throws(Failure) -> Engine {
        if choice == .epoll { return Engine(kind: .epoll, why: "the configuration says so") }
        switch (choice, obstacleToIOUring()) {
        case (_, nil): return Engine(kind: .ioUring, why: "this kernel has all that is needed")
        case (.ioUring, let obstacle?):
            throw Failure("engine: io_uring does not work here: \(obstacle). Use `engine: auto` or `epoll`.")
        case (_, let obstacle?): return Engine(kind: .epoll, why: obstacle)
        }
    }

    /// nil where a ring with provided buffers and multishot receives works.
    static func obstacleToIOUring() -> String? {
        do throws(RingSetUpError) {
            let ring = try Ring(port: .real, submissionEntries: 8, completionEntries: 16)
            var buffers = try BufferRing(ring: ring, group: 0, limit: 2, bufferSizeBytes: 64)
            return obstacleToMultishot(ring, &buffers)
        } catch {
            return describe(error)
        }
    }

    private static func obstacleToMultishot(_ ring: borrowing Ring, _ buffers: inout BufferRing) -> String? {
        var pair: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &pair) { pointer in
            pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
                socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, $0)
            }
        }
        guard made == 0 else { return "no socket pair to try it with (\(errorText(errno)))" }
        defer {
            close(pair.0)
            close(pair.1)
        }
        ring.receiveMultishot(pair.0, group: 0, token: Token(operation: 1, generation: 0, slot: 0))
        guard write(pair.1, "x", 1) == 1 else { return "no bytes through a socket pair" }
        let result = ring.submitAndWait(timeoutNanoseconds: 1_000_000_000)
        guard result >= 0 else { return "submitting fails (\(errorText(-result)))" }
        let (first, count) = ring.pending()
        guard count > 0 else { return "a receive does not complete" }
        let completion = ring.completion(at: first)
        ring.consume(count)
        if completion.result == -EINVAL { return "this kernel has no multishot receive (Linux 6.0 has)" }
        guard completion.result == 1, completion.buffer != nil, completion.hasMore else {
            return "a multishot receive answers \(completion.result)"
        }
        return nil
    }

    private static func describe(_ error: RingSetUpError) -> String {
        switch error.errno {
        case EPERM, EACCES:
            "io_uring is forbidden here (\(error.step): \(errorText(error.errno))); "
                + "a seccomp profile or the sysctl kernel.io_uring_disabled does that"
        case ENOSYS: "this kernel has no io_uring, or a seccomp profile hides it"
        case ENOMEM: "no memory for the ring; raise the limit of locked memory (LimitMEMLOCK)"
        case EINVAL: "this kernel is too old (\(error.step)); Linux 6.0 or later has what is needed"
        default: "\(error.step) fails: \(errorText(error.errno))"
        }
    }
}
