import Telemetry
import Testing

@testable import Control

/// Records of several threads become one sequence; what one thread wrote is never turned round in it.
@Suite struct RecentLogTests {
    /// A worker's memory and its buffer, whose sink takes everything at once.
    private struct Writer: ~Copyable {
        let memory = LogMemory(byteCount: 8 * LogBuffer.recordLimitBytes)
        var buffer: LogBuffer

        init() { buffer = LogBuffer(memory) }

        /// A record that was made so many seconds, less than ten, after midnight.
        mutating func write(_ second: Int, _ name: String) {
            let line = "{\"time\":\"2026-01-31T00:00:0\(second).000000Z\",\"name\":\"\(name)\"}\n"
            buffer.reserve()!.copyMemory(from: Array(line.utf8), byteCount: line.utf8.count)
            buffer.commit(bytes: line.utf8.count)
            while let octets = buffer.nextWrite(limitBytes: Int.max) { buffer.completed(Int32(octets.count)) }
        }
    }

    private func names(_ found: RecentLog.Found) -> String {
        found.records.map { String(decoding: $0.dropLast(2).suffix(2), as: UTF8.self) }.joined(separator: " ")
    }

    private func log(_ memories: [LogMemory]) -> RecentLog {
        RecentLog(memories, nil, format: .json, isOn: true, limitBytes: 1 << 20, firstNumber: 1)
    }

    @Test func recordsOfTwoWorkersAreInTheOrderOfTheirTimes() {
        var one = Writer()
        var other = Writer()
        let log = log([one.memory, other.memory])
        for second in [1, 4, 5] { one.write(second, "a\(second)") }
        for second in [2, 3, 6] { other.write(second, "b\(second)") }
        #expect(names(log.find(RecentLog.Query())) == "a1 b2 b3 a4 a5 b6")
    }

    @Test func aClockThatIsSetBackTurnsNoRecordsRound() {
        var one = Writer()
        var other = Writer()
        let log = log([one.memory, other.memory])
        one.write(1, "a1")
        let first = log.find(RecentLog.Query())
        for (index, second) in [7, 8, 5, 6, 9].enumerated() { one.write(second, "a\(index + 2)") }
        for (index, second) in [6, 9].enumerated() { other.write(second, "b\(index + 1)") }
        let followed = log.find(RecentLog.Query(since: first.last))
        #expect(names(followed) == "b1 a2 a3 a4 a5 a6 b2")
        #expect(!followed.hasGap && followed.last == 8)
    }
}
