import Foundation
import TestSupport
import Testing

@testable import Telemetry

@Suite struct LogBufferTests {
    private func append(_ line: String, to buffer: inout LogBuffer) -> Bool {
        guard let memory = buffer.reserve() else { return false }
        let bytes = Array((line + "\n").utf8)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        buffer.commit(bytes: bytes.count)
        return true
    }

    @Test func everyRecordComesOutOnceAndInOrderUnderShortWrites() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes * 2)
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

    @Test func writesEndAtLinesWithinTheLimit() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes * 2)
        for number in 0..<50 { #expect(append("line \(number)", to: &buffer)) }
        while let bytes = buffer.nextWrite(limitBytes: 64) {
            #expect(bytes.count <= 64)
            #expect(bytes.last == UInt8(ascii: "\n"))
            buffer.completed(Int32(bytes.count))
        }
    }

    @Test func aFullBufferDropsAndCounts() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes)
        #expect(append("first", to: &buffer))
        #expect(!append("second", to: &buffer), "less than a whole record of room is left")
        #expect(buffer.takeDropped() == 1)
        #expect(buffer.takeDropped() == 0)
    }

    @Test func aFailedWriteLosesItsLinesAndCountsThem() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes * 2)
        for number in 0..<5 { #expect(append("line \(number)", to: &buffer)) }
        #expect(buffer.nextWrite(limitBytes: Int.max) != nil)
        buffer.completed(-ENOSPC)
        #expect(buffer.takeDropped() == 5)
        let lastError = buffer.lastError
        #expect(lastError == ENOSPC)
        let isEmpty = buffer.isEmpty
        #expect(isEmpty)
    }

    @Test func aLineThatWasTornByAFullDiskIsCompletedWhenThereIsRoomAgain() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes * 2)
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

    @Test func aPostponedWriteOffersTheSameBytes() {
        var buffer = LogBuffer(halfBytes: LogBuffer.recordLimitBytes * 2)
        #expect(append("again", to: &buffer))
        let first = buffer.nextWrite(limitBytes: Int.max).map { Array($0) }
        buffer.postponed()
        #expect(buffer.nextWrite(limitBytes: Int.max).map { Array($0) } == first)
    }
}
