// What is asked of /lb/log, and its answer. Filters are looked for in the records' own octets, as the format writes
// them, so that nothing has to be parsed.

import Configuration
import LogReading
import Telemetry

/// Both logs of the process.
final class RecentLogs: @unchecked Sendable {
    let access: RecentLog
    let events: RecentLog

    private static let accessBytes = 2 << 20
    private static let eventBytes = 512 << 10

    init(_ threads: [WorkerThread], _ logs: LogFiles, _ events: RecentEvents, startedAtSince1970: Double) {
        // Microseconds, so that whoever followed the process before this one goes on with all that is new.
        let first = Int(startedAtSince1970 * 1e6)
        access = RecentLog(
            threads.map(\.logMemory.access), nil, format: logs.access.format,
            isOn: logs.access.descriptor >= 0, limitBytes: Self.accessBytes, firstNumber: first)
        self.events = RecentLog(
            threads.map(\.logMemory.events), events, format: logs.events.format,
            isOn: logs.events.descriptor >= 0, limitBytes: Self.eventBytes, firstNumber: first)
    }

    func answer(
        _ parameters: inout AdminParameters, sample: Double, uptimeMicroseconds: UInt64
    ) throws(AdminRefusal) -> AdminAnswer {
        let kind = try parameters.text("kind") ?? "access"
        guard kind == "access" || kind == "events" else {
            throw AdminRefusal(400, "`kind` must be access or events")
        }
        let log = kind == "access" ? access : events
        let found = log.find(try RecentLog.Query(&parameters, log.format))
        return .json { writer in
            writer.object { object in
                object.string("kind", kind)
                object.number("uptime_us", uptimeMicroseconds)
                object.flag("on", log.isOn)
                object.string("format", log.format == .json ? "json" : "text")
                object.string("sample", Quantities.shareText(kind == "access" ? sample : 1))
                object.number("kept", log.count)
                object.string("oldest", orNull: log.oldestTime)
                object.number("last", found.last)
                object.flag("gap", found.hasGap)
                object.array("records") { array in
                    for record in found.records {
                        if log.format == .json {
                            array.raw(record)
                        } else {
                            array.string(nil, String(decoding: record, as: UTF8.self))
                        }
                    }
                }
            }
        }
    }
}

extension RecentLog.Query {
    /// More than are ever kept.
    private static let mostRecords = 100_000

    fileprivate init(_ parameters: inout AdminParameters, _ format: RecordFormat) throws(AdminRefusal) {
        since = try parameters.number("since", within: 0...Int.max - 1) ?? since
        limit = try parameters.number("limit", within: 1...Self.mostRecords) ?? limit
        if let status = try parameters.text("status") {
            wanted.append(try Self.wanted(status: status, format))
        }
        for key: StaticString in ["listener", "pool", "backend"] {
            guard let name = try parameters.text(key.description) else { continue }
            wanted.append(try Self.wanted(key, name, format))
        }
        if let words = try parameters.text("text") {
            // As JSON has it in either format: text that needs no quotes has nothing to escape.
            let octets = try Self.record(.json) { $0.text("", words) }
            text = octets.dropFirst("{\"\":\"".utf8.count).dropLast("\"}\n".utf8.count)
                .map(RecentLog.lowered)
        }
        try parameters.finish()
    }

    /// `503`, or `5xx`.
    private static func wanted(status: String, _ format: RecordFormat) throws(AdminRefusal) -> [UInt8] {
        guard let codes = StatusRange(status)?.codes,
            codes.count == 1 || codes.count == 100 && codes.lowerBound.isMultiple(of: 100)
        else {
            throw AdminRefusal(400, "`status` must be as 503 or 5xx")
        }
        let digits = codes.count == 1 ? codes.lowerBound : codes.lowerBound / 100
        return Array((format == .json ? "\"status\":\(digits)" : " status=\(digits)").utf8)
    }

    /// A member whose value is a text, as records have it.
    private static func wanted(
        _ key: StaticString, _ value: String, _ format: RecordFormat
    ) throws(AdminRefusal) -> [UInt8] {
        let line = try record(format) { $0.text(key, value) }
        let space = UInt8(ascii: " ")
        return format == .json ? line.dropFirst().dropLast(2) : [space] + line.dropLast() + [space]
    }

    /// A line with one member.
    private static func record(
        _ format: RecordFormat, _ write: (inout RecordWriter) -> Void
    ) throws(AdminRefusal) -> [UInt8] {
        let octets = withUnsafeTemporaryAllocation(byteCount: LogBuffer.recordLimitBytes, alignment: 8) {
            var record = RecordWriter(into: $0.baseAddress!, capacity: $0.count, format: format)
            write(&record)
            return Array($0.prefix(record.finish()))
        }
        if octets.isEmpty { throw AdminRefusal(400, "no record is as long as what is looked for") }
        return octets
    }
}
