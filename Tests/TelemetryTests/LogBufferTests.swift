import Foundation
import TestSupport
import Testing

@testable import Telemetry

@Suite struct LogBufferTests {
    private static let lapBytes = 8 * LogBuffer.recordLimitBytes

    private func withBuffer(_ body: (LogMemory, inout LogBuffer) -> Void) {
        let memory = LogMemory(byteCount: Self.lapBytes)
        defer { memory.deallocate() }
        var buffer = LogBuffer(memory)
        body(memory, &buffer)
    }

    private func append(_ line: String, to buffer: inout LogBuffer) -> Bool {
        guard let memory = buffer.reserve() else { return false }
        let bytes = Array((line + "\n").utf8)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        buffer.commit(bytes: bytes.count)
        return true
    }

    @Test func everyRecordComesOutOnceAndInOrderUnderShortWrites() {
        withBuffer { _, buffer in
            var random = SeededGenerator(seed: 1)
            var written = ""
            var expected = ""
            for number in 0..<5000 {
                if append("record \(number)", to: &buffer) { expected += "record \(number)\n" }
                if Bool.random(using: &random), let bytes = buffer.nextWrite(limitBytes: 100) {
                    #expect(buffer.nextWrite(limitBytes: 100) == nil, "one write at a time")
                    let taken = Int.random(in: 1...bytes.count, using: &random)
                    written += String(decoding: bytes.prefix(taken), as: UTF8.self)
                    buffer.completed(Int32(taken))
                }
            }
            while let bytes = buffer.nextWrite(limitBytes: Int.max) {
                written += String(decoding: bytes, as: UTF8.self)
                buffer.completed(Int32(bytes.count))
            }
            #expect(written == expected)
            let isEmpty = buffer.isEmpty
            #expect(isEmpty)
        }
    }

    @Test func writesEndAtLinesWithinTheLimit() {
        withBuffer { _, buffer in
            for number in 0..<50 { #expect(append("line \(number)", to: &buffer)) }
            while let bytes = buffer.nextWrite(limitBytes: 64) {
                #expect(bytes.count <= 64)
                #expect(bytes.last == UInt8(ascii: "\n"))
                buffer.completed(Int32(bytes.count))
            }
        }
    }

    @Test func aFullBufferDropsAndCounts() {
        withBuffer { memory, buffer in
            // As many as leave no room for one of the longest.
            let line = String(repeating: "x", count: 1023)
            var count = 0
            while append(line, to: &buffer) { count += 1 }
            #expect(count == (memory.byteCount - LogBuffer.recordLimitBytes) / 1024 + 1)
            #expect(buffer.takeDropped() == 1)
            #expect(buffer.takeDropped() == 0)
            #expect(buffer.nextWrite(limitBytes: 1024)?.count == 1024)
            #expect(!append(line, to: &buffer), "what is being written is not overwritten")
            buffer.completed(1024)
            #expect(!append(line, to: &buffer), "what waits neither")
        }
    }

    @Test func oneWithoutASinkThatTakesAnythingGoesRoundForEver() {
        withBuffer { _, buffer in
            let line = String(repeating: "y", count: 700)
            var lost: UInt64 = 0
            for number in 0..<500 {
                #expect(append("\(number) " + line, to: &buffer))
                guard let bytes = buffer.nextWrite(limitBytes: Int.max) else { continue }
                // The disk takes the beginning of the first line and is full from then on.
                if number == 0 {
                    #expect(bytes.count > 10)
                    buffer.completed(10)
                } else {
                    buffer.completed(-ENOSPC)
                    lost += buffer.takeDropped()
                }
            }
            #expect(lost == 499)
            #expect(append("last", to: &buffer))
            let rest = buffer.nextWrite(limitBytes: Int.max).map { String(decoding: $0, as: UTF8.self) }
            #expect(rest == ("0 " + line).dropFirst(10) + "\n", "the torn line is completed first")
            buffer.completed(Int32(rest?.utf8.count ?? 0))
            #expect(
                buffer.nextWrite(limitBytes: Int.max).map { String(decoding: $0, as: UTF8.self) } == "last\n")
            buffer.completed(5)
        }
    }

    @Test func whatIsAbandonedIsCounted() {
        withBuffer { _, buffer in
            for number in 0..<5 { #expect(append("line \(number)", to: &buffer)) }
            #expect(buffer.nextWrite(limitBytes: 7) != nil)
            buffer.completed(7)
            buffer.abandon()
            #expect(buffer.takeDropped() == 4)
        }
    }

    @Test func aFailedWriteLosesItsLinesAndCountsThem() {
        withBuffer { _, buffer in
            for number in 0..<5 { #expect(append("line \(number)", to: &buffer)) }
            #expect(buffer.nextWrite(limitBytes: Int.max) != nil)
            buffer.completed(-ENOSPC)
            #expect(buffer.takeDropped() == 5)
            let lastError = buffer.lastError
            #expect(lastError == ENOSPC)
            let isEmpty = buffer.isEmpty
            #expect(isEmpty)
        }
    }

    @Test func aLineThatWasTornByAFullDiskIsCompletedWhenThereIsRoomAgain() {
        withBuffer { _, buffer in
            var written = ""
            for number in 0..<3 { #expect(append("line \(number)", to: &buffer)) }
            if let bytes = buffer.nextWrite(limitBytes: Int.max) {
                written += String(decoding: bytes.prefix(10), as: UTF8.self)
                buffer.completed(10)
            }
            #expect(buffer.nextWrite(limitBytes: Int.max) != nil)
            buffer.completed(-ENOSPC)
            #expect(buffer.takeDropped() == 1, "the last line; the torn one is kept")
            #expect(buffer.nextWrite(limitBytes: Int.max) == nil, "nothing new, no spin")
            let isEmpty = buffer.isEmpty
            #expect(isEmpty, "the end does not wait for the disk")
            #expect(append("lost", to: &buffer))
            #expect(buffer.nextWrite(limitBytes: Int.max) != nil)
            buffer.completed(-ENOSPC)
            #expect(buffer.takeDropped() == 1)
            #expect(append("after", to: &buffer))
            while let bytes = buffer.nextWrite(limitBytes: Int.max) {
                written += String(decoding: bytes, as: UTF8.self)
                buffer.completed(Int32(bytes.count))
            }
            #expect(written == "line 0\nline 1\nafter\n")
        }
    }

    @Test func aPostponedWriteOffersTheSameBytes() {
        withBuffer { _, buffer in
            #expect(append("again", to: &buffer))
            let first = buffer.nextWrite(limitBytes: Int.max).map { Array($0) }
            buffer.postponed()
            #expect(buffer.nextWrite(limitBytes: Int.max).map { Array($0) } == first)
        }
    }
}
