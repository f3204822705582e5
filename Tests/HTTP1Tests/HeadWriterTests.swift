// Heads and chunk framing as they are written, and what happens where there is no room.

import HTTP1Oracle
import Testing

@testable import HTTP1

/// What `write` writes into that many bytes, and whether it ran out.
private func written(
    _ capacity: Int = 1000, _ write: (inout HeadWriter) throws -> Void
) rethrows -> (text: String, hasOverflowed: Bool) {
    let memory = GuardedMemory(capacity: 1000)
    let place = memory.place([UInt8](repeating: 0, count: capacity))
    var writer = HeadWriter(place, capacity: capacity)
    try write(&writer)
    return (text(UnsafeBufferPointer(start: place, count: writer.count)), writer.hasOverflowed)
}

@Suite struct HeadWriterTests {
    @Test func numbers() {
        for number in [0, 1, 9, 10, 15, 16, 17, 255, 256, 4096, 1 << 52, .max] as [UInt64] {
            #expect(written { $0.append(decimal: number) }.text == String(number))
            #expect(written { $0.append(hexadecimal: number) }.text == String(number, radix: 16))
        }
    }

    @Test func addresses() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.99.100", "255.255.255.255", "1.9.10.250"] {
            let address = text.split(separator: ".").reduce(0) { $0 << 8 | UInt32($1)! }
            let result = written { writer in
                writer.append(ipv4: address)
                writer.append(0x21)
            }
            #expect(result.text == text + "!" && !result.hasOverflowed)
        }
        for capacity in 0..<15 {
            let result = written(capacity) { $0.append(ipv4: .max) }
            #expect(result.text.isEmpty && result.hasOverflowed)
        }
    }

    @Test func nothingIsWrittenBeyondTheEndNorAfterIt() {
        for capacity in 0..<12 {
            let result = written(capacity) { writer in
                writer.append("abcd")
                writer.append(decimal: 1234)
                writer.append(hexadecimal: 0xAB)
                writer.appendLineEnd()
                writer.append(0x21)
            }
            #expect(result.hasOverflowed == (capacity < 13))
            #expect(octets("abcd1234ab\r\n!").starts(with: octets(result.text)))
        }
        let exact = written(13) { writer in
            writer.append("abcd1234ab\r\n")
            writer.append(0x21)
        }
        #expect(exact.text == "abcd1234ab\r\n!" && !exact.hasOverflowed)
    }

    @Test(arguments: [
        ("GET /a?b HTTP/1.0", "GET /a?b HTTP/1.1\r\n"), ("BREW http://a/b HTTP/1.1", "BREW /b HTTP/1.1\r\n"),
        ("GET http://a HTTP/1.1", "GET / HTTP/1.1\r\n"), ("GET http://a?b HTTP/1.1", "GET /?b HTTP/1.1\r\n"),
        ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1\r\n"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1\r\n"),
        ("OPTIONS http://a?b HTTP/1.1", "OPTIONS /?b HTTP/1.1\r\n"),
        ("GET /? HTTP/1.1", "GET /? HTTP/1.1\r\n"),
    ])
    func aRequestIsWrittenAnew(line: String, expected: String) throws {
        let head = octets("\(line)\r\nhost:a\r\nConnection: x\r\nX: 1\r\nAccept:  b \r\n\r\n")
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: 10)
        defer { memory.deallocate() }
        let table = FieldTable(memory, capacity: 10)
        let request = try RequestHead.parse(
            head, count: head.count, length: head.count, limits: HeadLimits(), into: table)
        let result = written { writer in
            writer.appendRequestLine(head, request)
            writer.appendFields(head, table, count: request.fieldCount)
            writer.append(field: "Via", "1.1 weir")
            writer.append(field: "Content-Length", 17)
            writer.appendLineEnd()
        }
        #expect(
            result.text == expected + "host: a\r\nAccept: b\r\nVia: 1.1 weir\r\nContent-Length: 17\r\n\r\n")
    }

    @Test func aResponseIsWrittenAnew() throws {
        let head = octets("HTTP/1.0 200\r\nA:b\r\n\r\n")
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: 10)
        defer { memory.deallocate() }
        let response = try ResponseHead.parse(
            head, count: head.count, length: head.count, limits: HeadLimits(),
            into: FieldTable(memory, capacity: 10), method: .get, wantsUpgrade: false)
        #expect(written { $0.appendStatusLine(head, response) }.text == "HTTP/1.1 200 \r\n")
        #expect(written { $0.appendStatusLine(502, "Bad Gateway") }.text == "HTTP/1.1 502 Bad Gateway\r\n")
    }

    @Test func chunksAreReadBack() {
        let result = written { writer in
            for data in ["hello", "0123456789abcdef"] as [StaticString] {
                writer.appendChunkSize(data.utf8CodeUnitCount)
                writer.append(data)
                writer.appendLineEnd()
            }
            writer.appendLastChunk()
        }
        let chunks = oracleChunks(octets(result.text), keepsTrailers: true)
        #expect(chunks.state == .done && text(chunks.data) == "hello0123456789abcdef")
        #expect(chunks.sizeLines == ["5", "10", "0"])
        #expect(written { $0.appendChunkSize(.max) }.text.unicodeScalars.count <= HeadWriter.chunkSizeBytes)
    }
}
