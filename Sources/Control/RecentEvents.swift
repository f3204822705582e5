// The newest events of the control side, for whoever asks the admin API. Those of workers are in their own memory
// (Telemetry/LogMemory.swift).

import Synchronization
import Telemetry

/// Lines that any thread adds and the admin thread takes.
final class RecentEvents: Sendable {
    private struct Lines {
        var all: [[UInt8]] = []
        var byteCount = 0
        var hasLost = false
    }

    private static let limitBytes = 256 * 1024
    private let lines = Mutex(Lines())

    /// A record with its line's end. The newest stay where nobody takes them.
    func add(_ record: [UInt8]) {
        lines.withLock { lines in
            lines.all.append(record.dropLast())
            lines.byteCount += record.count
            var old = 0
            while lines.byteCount > Self.limitBytes {
                lines.byteCount -= lines.all[old].count + 1
                old += 1
            }
            if old > 0 { lines.hasLost = true }
            lines.all.removeFirst(old)
        }
    }

    /// What came since this was last asked, and whether something was lost meanwhile.
    func take() -> (lines: [[UInt8]], hasLost: Bool) {
        lines.withLock { lines in
            defer { lines = Lines() }
            return (lines.all, lines.hasLost)
        }
    }
}
