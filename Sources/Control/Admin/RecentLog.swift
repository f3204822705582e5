// The newest records of one of the two logs, of all workers and of the control side, in one sequence: what /lb/log
// answers from. Nothing is collected until somebody asks; workers notice nothing of it.

import Telemetry

/// Of the admin thread only.
final class RecentLog {
    /// What is asked for: the newest records behind a number, as far as they match.
    struct Query {
        var since = 0
        var limit = 200
        /// Octets that a line must have, all of them.
        var wanted: [[UInt8]] = []
        /// The same in letters of any case (ASCII); here in lower case.
        var text: [UInt8] = []

        fileprivate func matches(_ line: [UInt8]) -> Bool {
            wanted.allSatisfy { Self.contains(line, $0) { $0 } }
                && Self.contains(line, text, RecentLog.lowered)
        }

        private static func contains(
            _ line: [UInt8], _ wanted: [UInt8], _ read: (UInt8) -> UInt8
        ) -> Bool {
            guard let first = wanted.first else { return true }
            guard line.count >= wanted.count else { return false }
            for start in 0...(line.count - wanted.count) where read(line[start]) == first {
                var matched = 1
                while matched < wanted.count, read(line[start + matched]) == wanted[matched] { matched += 1 }
                if matched == wanted.count { return true }
            }
            return false
        }
    }

    struct Found {
        let records: ArraySlice<[UInt8]>
        /// The number of the newest record of all.
        let last: Int
        /// Records behind `since` are missing here: overwritten before they were collected, or beyond the limit.
        let hasGap: Bool
    }

    /// A record on its way here, and when it is taken to have been made.
    private struct Arrival {
        let line: [UInt8]
        let time: ArraySlice<UInt8>
    }

    let format: RecordFormat
    /// False where the log is off: there are no records.
    let isOn: Bool
    private let memories: [LogMemory]
    private let events: RecentEvents?
    private let limitBytes: Int
    private var positions: [UInt64]
    private var hasLooked = false
    /// The oldest first.
    private var records: [[UInt8]] = []
    private var byteCount = 0
    /// Of the oldest record that is kept, or of the next one to come.
    private var firstNumber: Int
    /// Before the record with this number some are missing that nobody will ever see; 0 for none.
    private var numberBehindGap = 0

    /// - Parameters:
    ///   - memories: of the workers.
    ///   - events: of the control side, where there are any.
    ///   - firstNumber: greater than any number that another process gave at this address before.
    init(
        _ memories: [LogMemory], _ events: RecentEvents?, format: RecordFormat, isOn: Bool, limitBytes: Int,
        firstNumber: Int
    ) {
        self.memories = memories
        self.events = events
        self.format = format
        self.isOn = isOn
        self.limitBytes = limitBytes
        self.firstNumber = firstNumber
        positions = Array(repeating: 0, count: memories.count)
    }

    var count: Int { records.count }

    /// When the oldest record that is kept was made, as its line says it.
    var oldestTime: String? { records.first.map { String(decoding: timeOctets($0), as: UTF8.self) } }

    func find(_ query: Query) -> Found {
        collect()
        let next = firstNumber + records.count
        let fresh = records[max(0, min(query.since, next - 1) + 1 - firstNumber)...]
        var matching = fresh
        if !query.wanted.isEmpty || !query.text.isEmpty {
            // In text format a space ends every member but the last.
            let end = format == .json ? [] : [UInt8(ascii: " ")]
            matching = fresh.filter { query.matches($0 + end) }[...]
        }
        let isCut = matching.count > query.limit
        matching = matching.suffix(query.limit)
        let isBehind = query.since + 1 < firstNumber || query.since < numberBehindGap
        return Found(
            records: matching, last: next - 1, hasGap: query.since > 0 && (isCut || isBehind))
    }

    // MARK: - Collecting

    private func collect() {
        var fresh: [Arrival] = []
        var hasLost = false
        for (index, memory) in memories.enumerated() {
            var lines: [[UInt8]] = []
            let (next, hasMissed) = memory.read(from: positions[index]) { lines.append(Array($0)) }
            positions[index] = next
            fresh += arrivals(lines)
            if hasMissed { hasLost = true }
        }
        if let events {
            let taken = events.take()
            fresh += arrivals(taken.lines)
            if taken.hasLost { hasLost = true }
        }
        // What was there before anybody asked is no gap.
        if hasLost, hasLooked { numberBehindGap = firstNumber + records.count }
        hasLooked = true
        // Several threads write: in the order of their records' times.
        fresh.sort { $0.time.lexicographicallyPrecedes($1.time) }
        append(fresh.map(\.line))
    }

    /// What one thread wrote stays in its order, also where its clock was set back meanwhile.
    private func arrivals(_ lines: [[UInt8]]) -> [Arrival] {
        var latest: ArraySlice<UInt8> = []
        return lines.map { line in
            let time = timeOctets(line)
            if latest.lexicographicallyPrecedes(time) { latest = time }
            return Arrival(line: line, time: latest)
        }
    }

    private func append(_ fresh: [[UInt8]]) {
        records += fresh
        byteCount += fresh.reduce(0) { $0 + $1.count }
        var old = 0
        while byteCount > limitBytes {
            byteCount -= records[old].count
            old += 1
        }
        records.removeFirst(old)
        firstNumber += old
    }

    /// Every record begins with its time, whose length is always the same.
    private func timeOctets(_ line: [UInt8]) -> ArraySlice<UInt8> {
        let start = format == .json ? "{\"time\":\"".utf8.count : "time=".utf8.count
        return line.dropFirst(start).prefix("2026-01-31T12:00:00.123456Z".utf8.count)
    }

    static func lowered(_ octet: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(octet) ? octet | 0x20 : octet
    }
}
