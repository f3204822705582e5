// What the control thread has to say: start, stop, reload, errors. Workers write their own events through
// their rings; this one writes at once, and gives up rather than wait for a reader that does not read.

import Glibc
import Telemetry

/// The control thread's way to the event log.
struct EventLog {
    enum Level {
        case info
        case warning
        case error

        var name: StaticString {
            switch self {
            case .info: "info"
            case .warning: "warning"
            case .error: "error"
            }
        }
    }

    /// -1: off.
    let descriptor: Int32
    let format: RecordFormat
    /// Where the newest stay for who asks.
    let recent = RecentEvents()

    /// Writes one event. `fields` adds to the record.
    func write(_ level: Level, _ event: StaticString, _ fields: (inout RecordWriter) -> Void = { _ in }) {
        guard descriptor >= 0 else { return }
        let record = Self.bytes(level, event, format, fields)
        if record.isEmpty { return }
        recent.add(record)
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&ready, 1, 0) == 1 else { return }
        _ = Glibc.write(descriptor, record, record.count)
    }

    /// The line of an event; none where it is too long.
    static func bytes(
        _ level: Level, _ event: StaticString, _ format: RecordFormat,
        _ fields: (inout RecordWriter) -> Void = { _ in }
    ) -> [UInt8] {
        withUnsafeTemporaryAllocation(byteCount: LogBuffer.recordLimitBytes, alignment: 8) { memory in
            var record = RecordWriter(into: memory.baseAddress!, capacity: memory.count, format: format)
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            record.time("time", UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec))
            record.word("level", level.name)
            record.word("event", event)
            fields(&record)
            return Array(memory.prefix(record.finish()))
        }
    }
}
