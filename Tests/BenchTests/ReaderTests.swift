// How responses and requests are read: cut at every place, they mean the same.

import Bench
import HTTP1
import Testing

@testable import struct Bench.RequestReader

/// Memory that a reader wants of its caller.
private struct Memory {
    let kept = UnsafeMutablePointer<UInt8>.allocate(capacity: ResponseReader.headLimitBytes)
    private let table = UnsafeMutablePointer<Field>.allocate(capacity: 100)

    var fields: FieldTable { FieldTable(table, capacity: 100) }

    func free() {
        kept.deallocate()
        table.deallocate()
    }
}

/// The last answer of a reader that gets the text in pieces that end at `cuts`.
private func read(_ text: String, cuts: [Int] = []) -> (ResponseReader.Progress, ResponseReader) {
    let memory = Memory()
    defer { memory.free() }
    var reader = ResponseReader()
    var octets = Array(text.utf8)
    var progress = ResponseReader.Progress.incomplete
    var start = 0
    for end in cuts + [octets.count] where end > start {
        if progress != .incomplete { return (.failed(.unexpectedBytes), reader) }
        octets.withUnsafeMutableBufferPointer { all in
            progress = reader.read(
                all.baseAddress! + start, count: end - start, kept: memory.kept, fields: memory.fields)
        }
        start = end
    }
    return (progress, reader)
}

@Suite struct ResponseReaderTests {
    private static let whole = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ]

    @Test(arguments: whole)
    func aResponseIsCompleteAtItsEndWhereverItIsCut(text: String) {
        let (progress, uncut) = read(text)
        #expect(progress == .complete)
        for cut in 1..<text.utf8.count {
            let (progress, reader) = read(text, cuts: [cut])
            #expect(progress == .complete, "cut at \(cut)")
            #expect(reader.status == uncut.status && reader.bodyBytes == uncut.bodyBytes)
            #expect(reader.isPersistent == uncut.isPersistent)
        }
        let (last, _) = read(text, cuts: Array(1..<text.utf8.count))
        #expect(last == .complete, "octet by octet")
    }

    @Test(arguments: whole)
    func withoutItsLastOctetItIsIncomplete(text: String) {
        #expect(read(String(text.unicodeScalars.dropLast())).0 == .incomplete)
    }

    @Test(arguments: whole)
    func whatFollowsWasNotAskedFor(text: String) {
        #expect(read(text + "X").0 == .failed(.unexpectedBytes))
    }

    @Test(arguments: [
        "nonsense\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ])
    func whatIsNoResponseIsABadOne(text: String) {
        #expect(read(text).0 == .failed(.badResponse))
    }

    @Test func aHeadBeyondTheLimitIsABadOne() {
        let line = "X: " + String(repeating: "y", count: 1000) + "\r\n"
        let text = "HTTP/1.1 200 OK\r\n" + String(repeating: line, count: 20) + "\r\n"
        #expect(read(text).0 == .failed(.badResponse))
        #expect(read(text, cuts: Array(stride(from: 700, to: 17_000, by: 700))).0 != .complete)
    }

    @Test func withoutALengthTheEndOfTheConnectionEndsIt() {
        let (progress, reader) = read("HTTP/1.1 200 OK\r\n\r\nuntil the end")
        #expect(progress == .incomplete && reader.endsWithConnection && !reader.isPersistent)
        #expect(reader.bodyBytes == 13)
    }
}

@Suite struct RequestReaderTests {
    /// For each request that is complete: the size that it asks for, whether it is HEAD, whether the
    /// connection stays; `continue` and `refused` as they come.
    private func events(_ text: String, cuts: [Int] = []) -> [String] {
        let memory = Memory()
        defer { memory.free() }
        var reader = RequestReader()
        var octets = Array(text.utf8)
        var found: [String] = []
        var start = 0
        for end in cuts + [octets.count] where end > start {
            octets.withUnsafeMutableBufferPointer { all in
                var offset = 0
                let piece = all.baseAddress! + start
                while true {
                    let event = reader.read(
                        piece, count: end - start, offset: &offset, kept: memory.kept, fields: memory.fields)
                    switch event {
                    case .incomplete: return
                    case .wantsContinue: found.append("continue")
                    case .refused:
                        found.append("refused")
                        return
                    case .complete:
                        let size = reader.wantedBytes.map(String.init) ?? "any"
                        found.append(
                            "\(size)\(reader.isHead ? " head" : "")\(reader.isPersistent ? "" : " close")")
                    }
                }
            }
            if found.last == "refused" { break }
            start = end
        }
        return found
    }

    private static let pipelined =
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        + "GET /x?a=b&size=4096 HTTP/1.1\r\nHost: a\r\n\r\n"
        + "POST /?size=0 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        + "POST /?resize=7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        + "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
        + "HEAD /?size=9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    @Test func pipelinedRequestsAreReadOneByOneWhereverTheyAreCut() {
        let wanted = ["any", "4096", "0", "any", "continue", "any", "9 head close"]
        #expect(events(Self.pipelined) == wanted)
        for cut in 1..<Self.pipelined.utf8.count {
            #expect(events(Self.pipelined, cuts: [cut]) == wanted, "cut at \(cut)")
        }
        #expect(events(Self.pipelined, cuts: Array(1..<Self.pipelined.utf8.count)) == wanted)
    }

    @Test func whatIsNoRequestIsRefused() {
        #expect(events("hello\r\n\r\n") == ["refused"])
        #expect(events("GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n") == ["any", "refused"])
    }

    @Test func aSizeThatIsNoNumberIsTooLarge() {
        for size in ["", "x", "1KiB", "1%30"] {
            #expect(events("GET /?size=\(size) HTTP/1.1\r\nHost: a\r\n\r\n") == ["\(Int.max)"])
        }
        #expect(events("GET /?size=1&b HTTP/1.1\r\nHost: a\r\n\r\n") == ["1"])
    }

    @Test func aSizeWithTooManyDigitsIsLargeAndNoTrap() {
        let digits = String(repeating: "9", count: 60)
        #expect(events("GET /?size=\(digits) HTTP/1.1\r\nHost: a\r\n\r\n").first?.hasPrefix("9999") == true)
    }
}
