// SIGINT and SIGTERM as something to wait for: a pipe that becomes readable. A handler rather than a
// signalfd, because it also ends a write that a stopped terminal (Ctrl-S) holds up.

import Glibc

enum Interruption {
    /// The pipe's ends; set before any handler may run, and never again.
    nonisolated(unsafe) private static var readEnd: Int32 = -1
    nonisolated(unsafe) fileprivate static var writeEnd: Int32 = -1

    /// Readable once a signal came. To be called once.
    static func watch() -> Int32 {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "a process that has just begun has descriptors")
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { number in
            var byte = UInt8(truncatingIfNeeded: number)
            let code = errno
            _ = write(Interruption.writeEnd, &byte, 1)
            errno = code
        }
        // Without SA_RESTART.
        for number in [SIGINT, SIGTERM, SIGCONT] { sigaction(number, &action, nil) }
        return readEnd
    }

    /// The signals since last asked.
    static func take() -> [Int32] {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(readEnd, &bytes, bytes.count)
        return count > 0 ? bytes[..<count].map(Int32.init) : []
    }
}
