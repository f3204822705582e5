import Foundation
import TestSupport
import Testing

@testable import Telemetry

/// One record as a string; nil where it did not fit.
func record(
    _ format: RecordFormat = .json, capacity: Int = 4096, _ fields: (inout RecordWriter) -> Void
) -> String? {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity + 16, alignment: 8)
    defer { memory.deallocate() }
    memset(memory, 0x55, capacity + 16)
    var writer = RecordWriter(into: memory, capacity: capacity, format: format)
    fields(&writer)
    let count = writer.finish()
    let guarded = UnsafeRawBufferPointer(start: memory + capacity, count: 16)
    #expect(guarded.allSatisfy { $0 == 0x55 }, "nothing is written past the end")
    guard count > 0 else { return nil }
    return String(decoding: UnsafeRawBufferPointer(start: memory, count: count), as: UTF8.self)
}

func withBytes(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> Void) {
    bytes.withUnsafeBytes(body)
}

@Suite struct RecordWriterTests {
    @Test func anEmptyRecordIsAnEmptyObject() {
        #expect(record { _ in } == "{}\n")
    }

    @Test func fieldsComeInOrder() {
        let line = record { writer in
            writer.word("reason", "ok")
            writer.number("bytes_in", 18_446_744_073_709_551_615)
            writer.number("zero", 0)
            writer.identifier("id", 0xAB)
        }
        #expect(
            line == #"{"reason":"ok","bytes_in":18446744073709551615,"zero":0,"id":"00000000000000ab"}"#
                + "\n")
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"), (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_199_000_001, "2024-02-29T23:59:59.000001Z"),
            (4_102_444_800_000_000, "2100-01-01T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] as [(UInt64, String)])
    func timesAreRFC3339(microseconds: UInt64, text: String) {
        #expect(record { $0.time("t", microseconds * 1000) } == "{\"t\":\"\(text)\"}\n")
    }

    @Test(
        arguments: [
            (0, 0, "[::]:1"), (0, 1, "[::1]:1"), (0x2001_0db8_0000_0000, 1, "[2001:db8::1]:1"),
            (0x2001_0db8_0000_0001, 0x0001_0001_0001_0001, "[2001:db8:0:1:1:1:1:1]:1"),
            (0x2001_0000_0000_0001, 0x0000_0000_0000_0001, "[2001:0:0:1::1]:1"),
            (0x0001_0002_0003_0004, 0x0005_0006_0007_0008, "[1:2:3:4:5:6:7:8]:1"),
            (0xFE80_0000_0000_0000, 0x0000_0000_0000_0000, "[fe80::]:1"),
            (0x0000_0000_0000_0001, 0x0001_0000_0000_0000, "[::1:1:0:0:0]:1"),
        ] as [(UInt64, UInt64, String)])
    func ipv6IsInTheFormOfRFC5952(high: UInt64, low: UInt64, text: String) {
        #expect(record { $0.ipv6("a", high: high, low: low, port: 1) } == "{\"a\":\"\(text)\"}\n")
    }

    @Test func ipv4AndPort() {
        #expect(record { $0.ipv4("a", 0x7F00_0001, port: 65535) } == "{\"a\":\"127.0.0.1:65535\"}\n")
    }

    @Test func anyBytesMakeValidJSON() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            var line: String?
            withBytes(bytes) { value in line = record { $0.text("v", value) } }
            let object = try JSONSerialization.jsonObject(with: Data(line!.utf8)) as? [String: String]
            // What is no UTF-8 becomes U+FFFD, one or more of them; the rest is kept.
            let valid = String(bytes: bytes, encoding: .utf8)
            if let valid {
                #expect(object?["v"] == valid)
            } else {
                #expect(object?["v"]?.unicodeScalars.contains("\u{FFFD}") == true)
            }
        }
    }

    /// Plain stretches are copied as they are; what ends them may stand anywhere.
    @Test func oneOctetAmongPlainOnesIsEscapedWhereverItStands() throws {
        for octet in UInt8(0)..<128 {
            for place in 0..<20 {
                var bytes = Array("0123456789 ~!#[]^_az".utf8)
                bytes[place] = octet
                var line: String?
                withBytes(bytes) { value in line = record { $0.text("v", value) } }
                let object = try JSONSerialization.jsonObject(with: Data(line!.utf8)) as? [String: String]
                #expect(object?["v"] == String(decoding: bytes, as: UTF8.self))
                let needsEscape = octet < 0x20 || octet == 0x7F || octet == 0x22 || octet == 0x5C
                #expect(line!.contains("\\") == needsEscape)
            }
        }
    }

    @Test func whatDoesNotFitIsNoRecordAtAll() {
        for capacity in 1..<60 {
            let line = record(.json, capacity: capacity) { writer in
                writer.word("listener", "a_long_word_that_takes_room")
                writer.number("n", 12345)
            }
            if let line { #expect(line.hasSuffix("}\n") && line.count <= capacity) }
        }
        #expect(record(.json, capacity: 10) { $0.word("listener", "too_long") } == nil)
    }

    @Test func textQuotesOnlyWhatNeedsIt() {
        let line = record(.text) { writer in
            writer.word("event", "started")
            writer.word("advice", "do this")
            withBytes(Array("plain".utf8)) { writer.text("a", $0) }
            withBytes(Array("two words".utf8)) { writer.text("b", $0) }
            withBytes([]) { writer.text("c", $0) }
            writer.beginObject("pick")
            writer.number("candidates", 3)
            writer.endObject()
            writer.number("n", 1)
        }
        #expect(
            line == "event=started advice=\"do this\" a=plain b=\"two words\" c=\"\" pick.candidates=3 n=1\n")
    }

    @Test func objectsNest() {
        let line = record { writer in
            writer.number("a", 1)
            writer.beginObject("pick")
            writer.number("b", 2)
            writer.number("c", 3)
            writer.endObject()
            writer.number("d", 4)
        }
        #expect(line == #"{"a":1,"pick":{"b":2,"c":3},"d":4}"# + "\n")
    }

    @Test(arguments: [RecordFormat.json, .text]) func objectsNestTwice(format: RecordFormat) {
        let line = record(format) { writer in
            writer.beginObject("pick")
            writer.number("a", 1)
            writer.beginObject("excluded")
            writer.number("full", 2)
            writer.endObject()
            writer.number("b", 3)
            writer.endObject()
            writer.number("c", 4)
        }
        #expect(
            line
                == (format == .json
                    ? #"{"pick":{"a":1,"excluded":{"full":2},"b":3},"c":4}"#
                    : "pick.a=1 pick.excluded.full=2 pick.b=3 c=4") + "\n")
    }
}
