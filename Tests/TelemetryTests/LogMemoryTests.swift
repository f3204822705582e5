import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Telemetry

@Suite struct LogMemoryTests {
    private static let lapBytes = 8 * LogBuffer.recordLimitBytes

    private static func append(_ line: String, to buffer: inout LogBuffer) {
        guard let memory = buffer.reserve() else { return }
        let bytes = Array((line + "\n").utf8)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        buffer.commit(bytes: bytes.count)
        // A sink that takes everything at once.
        while let bytes = buffer.nextWrite(limitBytes: Int.max) { buffer.completed(Int32(bytes.count)) }
    }

    private func read(_ memory: LogMemory, from position: UInt64) -> (
        lines: [String], next: UInt64, hasMissed: Bool
    ) {
        var lines: [String] = []
        let (next, hasMissed) = memory.read(from: position) {
            lines.append(String(decoding: $0, as: UTF8.self))
        }
        return (lines, next, hasMissed)
    }

    @Test func whoAsksOftenSeesEveryRecordOnce() {
        let memory = LogMemory(byteCount: Self.lapBytes)
        defer { memory.deallocate() }
        var buffer = LogBuffer(memory)
        var random = SeededGenerator(seed: 7)
        var position: UInt64 = 0
        var seen: [String] = []
        var expected: [String] = []
        for number in 0..<3000 {
            let length = Int.random(in: 0...1500, using: &random)
            let line = "\(number) " + String(repeating: "x", count: length)
            Self.append(line, to: &buffer)
            expected.append(line)
            guard number.isMultiple(of: 5) else { continue }
            let (lines, next, hasMissed) = read(memory, from: position)
            #expect(!hasMissed)
            (seen, position) = (seen + lines, next)
        }
        seen += read(memory, from: position).lines
        #expect(seen == expected)
        #expect(read(memory, from: read(memory, from: position).next).lines.isEmpty)
    }

    @Test func whoComesLateSeesTheNewest() {
        let memory = LogMemory(byteCount: Self.lapBytes)
        defer { memory.deallocate() }
        var buffer = LogBuffer(memory)
        var random = SeededGenerator(seed: 8)
        for number in 0..<2000 {
            let length = Int.random(in: 0...3000, using: &random)
            Self.append("\(number) " + String(repeating: "x", count: length), to: &buffer)
            let (lines, _, hasMissed) = read(memory, from: 0)
            let numbers = lines.compactMap { Int($0.prefix { $0 != " " }) }
            #expect(numbers.count == lines.count, "whole lines only")
            #expect(numbers.last == number)
            #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 + 1 == $1 })
            #expect(hasMissed == (numbers.first != 0))
            let kept = lines.reduce(0) { $0 + $1.utf8.count + 1 }
            #expect(numbers.first == 0 || kept > Self.lapBytes / 4)
        }
    }

    @Test func whatIsReadWhileItIsWrittenIsWholeAndInOrder() throws {
        let memory = LogMemory(byteCount: Self.lapBytes)
        defer { memory.deallocate() }
        let total = 50_000
        let writer = Writer(memory, total)
        let thread = Thread { writer.run() }
        thread.start()
        var position: UInt64 = 0
        var last = -1
        var mayJump = false
        while true {
            let isLast = writer.isOver.load(ordering: .acquiring)
            let (lines, next, hasMissed) = read(memory, from: position)
            if hasMissed { mayJump = true }
            for line in lines {
                let number = try #require(Int(line.prefix { $0 != " " }))
                #expect(line == Self.line(number))
                #expect(number == last + 1 || (mayJump && number > last))
                mayJump = false
                last = number
            }
            position = next
            if isLast { break }
        }
        #expect(last == total - 1)
        while !thread.isFinished { sched_yield() }
    }

    private final class Writer: Sendable {
        let isOver = Atomic(false)
        private let memory: LogMemory
        private let total: Int

        init(_ memory: LogMemory, _ total: Int) { (self.memory, self.total) = (memory, total) }

        func run() {
            var buffer = LogBuffer(memory)
            for number in 0..<total { LogMemoryTests.append(LogMemoryTests.line(number), to: &buffer) }
            isOver.store(true, ordering: .releasing)
        }
    }

    private static func line(_ number: Int) -> String {
        "\(number) " + String(repeating: String(number % 10), count: number * 7919 % 900)
    }
}
