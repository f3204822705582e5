// One try at a read or a write, on whatever the descriptor is: eventfd, pipe, terminal, socket, file. Only a
// file may make the thread wait, for its disk. Called by the machine as the socket operations are; cold
// (wake-ups, log lines), so it asks what the descriptor is each time instead of keeping it.

import CLiburing
import Glibc

extension Machine {
    private enum Direction {
        case read, write
    }

    /// No more than a pipe takes whole when poll(2) calls it writable.
    private static let writeLimitBytes: UInt32 = 4096
    /// The descriptor's own position.
    private static let ownPosition = UInt64.max

    func attemptRead(_ operation: Operation) -> Outcome { attempt(operation, .read) }

    func attemptWrite(_ operation: Operation) -> Outcome { attempt(operation, .write) }

    private func attempt(_ operation: Operation, _ direction: Direction) -> Outcome {
        var status = stat()
        if fstat(operation.descriptor, &status) != 0 { return .done(result: -errno) }
        let kind = status.st_mode & Glibc.S_IFMT
        if kind == Glibc.S_IFREG || kind == Glibc.S_IFDIR || kind == Glibc.S_IFBLK {
            return .done(result: transfer(operation, direction, mayBlock: true))
        }
        let readiness: Readiness = direction == .read ? .readable : .writable
        let result = transfer(operation, direction, mayBlock: false)
        if result == -EAGAIN { return .waits(readiness) }
        if result != -EOPNOTSUPP { return .done(result: result) }
        // No such thing as a read or write without waiting here (terminals; pipes before Linux 6.5).
        let found = poll(operation.descriptor, events: UInt32(direction == .read ? POLLIN : POLLOUT))
        if found == 0 { return .waits(readiness) }
        if found < 0 { return .done(result: found) }
        var limited = operation
        if direction == .write { limited.length = min(limited.length, Self.writeLimitBytes) }
        let moved = transfer(limited, direction, mayBlock: true)
        return moved == -EAGAIN ? .waits(readiness) : .done(result: moved)
    }

    /// Bytes, or a negative errno.
    private func transfer(_ operation: Operation, _ direction: Direction, mayBlock: Bool) -> Int32 {
        var vector = iovec(
            iov_base: UnsafeMutableRawPointer(bitPattern: UInt(operation.address)),
            iov_len: Int(operation.length))
        let flags = mayBlock ? 0 : Int32(RWF_NOWAIT)
        var position = Int(bitPattern: UInt(operation.offset))
        while true {
            let moved =
                direction == .read
                ? preadv2(operation.descriptor, &vector, 1, position, flags)
                : pwritev2(operation.descriptor, &vector, 1, position, flags)
            if moved >= 0 { return Int32(truncatingIfNeeded: moved) }
            let failure = errno
            if failure == ESPIPE, position != -1 {
                // What has no positions takes any, as in the kernel.
                position = -1
            } else if failure != EINTR {
                return -failure
            }
        }
    }
}
