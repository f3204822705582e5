// A chunked body comes out with canonical framing, however it is cut, and never longer than it came in.

import HTTP1Oracle
import Testing

@testable import HTTP1

private let good = [
    "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "5;a=\"b;c\" ;d\r\nhello\r\n1\t;e\r\n!\r\n0;f\r\n\r\nnext",
    "0005\r\nhello\r\n01\r\n!\r\n000\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-Sum: \t1 \r\nContent-Length: 5\r\nETag:2\r\n\r\nGET",
    "0\r\n\r\n0\r\n\r\n",
    "A\r\n0123456789\r\n0\r\n\r\n",
]

private let wrong = [
    Refused("\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"), Refused("+5\r\nhello\r\n", "bad_chunk_size"),
    Refused("-5\r\nhello\r\n", "bad_chunk_size"), Refused("0x5\r\nhello\r\n", "bad_chunk_size"),
    Refused(" 5\r\nhello\r\n", "bad_chunk_size"), Refused("5 \r\nhello\r\n", "bad_chunk_size"),
    Refused("5 5\r\nhello\r\n", "bad_chunk_size"), Refused("g\r\nhello\r\n", "bad_chunk_size"),
    Refused(";a\r\nhello\r\n", "bad_chunk_size"), Refused("5,5\r\nhello\r\n", "bad_chunk_size"),
    Refused("00000000000005\r\nhello\r\n", "chunk_size_too_long"),
    Refused("fffffffffffffff\r\n", "chunk_size_too_long"),
    Refused("5\nhello\r\n", "bare_lf"), Refused("5;a\nhello\r\n", "bare_lf"), Refused("\nhello", "bare_lf"),
    Refused("5\rhello\r\n", "bare_cr"), Refused("5;a\rb\r\nhello\r\n", "bare_cr"),
    Refused("5\r\rhello\r\n", "bare_cr"),
    Refused("5;\0\r\nhello\r\n", "control_octet"), Refused("5\u{7F}\r\nhello\r\n", "control_octet"),
    Refused("5\r\nhello\n", "bad_chunk_end"), Refused("5\r\nhello!\r\n", "bad_chunk_end"),
    Refused("5\r\nhello0\r\n", "bad_chunk_end"),
    Refused("5\r\nhello\r0\r\n", "bare_cr"), Refused("0\r\n\n", "bare_lf"), Refused("0\r\n\rx", "bare_cr"),
    Refused("0\r\nA: b\n\r\n", "bare_lf"), Refused("0\r\nA: b\rc\r\n\r\n", "bare_cr"),
    Refused("0\r\nA: \0\r\n\r\n", "control_octet"),
]

@Suite struct ChunkedBodyTests {
    let differential = Differential()

    @Test func theStateIsSmall() {
        #expect(MemoryLayout<ChunkedBody>.size <= 24)
    }

    @Test(arguments: good)
    func aGoodBodyIsReadTheSameInAllPieces(text: String) {
        let octets = octets(text)
        for mode in [.rechunk, .rechunkWithTrailers, .identity] as [ChunkedBody.Mode] {
            let whole = differential.body(octets, mode: mode)
            #expect(whole.isDone && whole.refusal == nil)
            #expect(differential.differenceInBody(octets, cuts: [], mode: mode) == nil)
            for first in 0...octets.count {
                for second in first...octets.count {
                    #expect(differential.body(octets, cuts: [first, second], mode: mode) == whole)
                }
            }
            #expect(differential.body(octets, cuts: Array(0..<octets.count), mode: mode) == whole)
        }
    }

    @Test(arguments: wrong)
    func aWrongBodyIsRefusedInAllPieces(wrong: Refused) {
        let octets = octets(wrong.text)
        for mode in [.rechunk, .rechunkWithTrailers, .identity] as [ChunkedBody.Mode] {
            for first in 0...octets.count {
                for second in first...octets.count {
                    let body = differential.body(octets, cuts: [first, second], mode: mode)
                    #expect(body.refusal == wrong.reason)
                }
            }
            #expect(differential.differenceInBody(octets, cuts: [], mode: mode) == nil)
        }
        #expect(Refusal.named(wrong.reason)?.status == wrong.status)
    }

    @Test func framingIsWrittenCanonically() {
        func rewritten(_ text: String, _ mode: ChunkedBody.Mode) -> String {
            HTTP1Oracle.text(differential.body(octets(text), mode: mode).output)
        }
        #expect(rewritten("5;a=b\r\nhello\r\n00\r\nA: b\r\n\r\n", .rechunk) == "5\r\nhello\r\n0\r\n\r\n")
        // One leading zero stays: see ChunkedBody.
        #expect(rewritten("0005\r\nhello\r\n0\r\n\r\n", .rechunk) == "05\r\nhello\r\n0\r\n\r\n")
        #expect(rewritten("5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n", .identity) == "hello!")
        #expect(
            rewritten(
                "0;a\r\nA: b \r\nHost: c\r\nIf-Match: d\r\nx-forwarded-by: e\r\nGrpc-Status:0\r\n\r\n",
                .rechunkWithTrailers) == "0\r\nA:b\r\nGrpc-Status:0\r\n\r\n")
    }

    @Test func whatFollowsTheBodyIsLeft() {
        for mode in [.rechunk, .rechunkWithTrailers, .identity] as [ChunkedBody.Mode] {
            let body = differential.body(octets("1\r\na\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n"), mode: mode)
            #expect(body.isDone && body.consumed == 17 && body.dataCount == 1)
        }
    }

    @Test func unshiftedDataIsNotTouched() throws {
        var octets = octets("5\r\nhello\r\n3\r\nabc")
        var body = ChunkedBody()
        let step = try octets.withUnsafeMutableBufferPointer { buffer throws(Refusal) in
            try body.process(buffer.baseAddress!, count: buffer.count, mode: .rechunk)
        }
        #expect(step == ChunkedBody.Step(consumed: 16, produced: 16, data: 8) && !body.isDone)
        #expect(text(octets) == "5\r\nhello\r\n3\r\nabc")
    }

    @Test func trailersThatHaveNotAllComeAreLeftToTheCaller() throws {
        var octets = octets("0\r\nA: b\r\n")
        var body = ChunkedBody()
        let step = try octets.withUnsafeMutableBufferPointer { buffer throws(Refusal) in
            try body.process(buffer.baseAddress!, count: buffer.count, mode: .rechunkWithTrailers)
        }
        #expect(step == ChunkedBody.Step(consumed: 3, produced: 3, data: 0) && !body.isDone)
    }

    @Test(arguments: ["A b: c", "A : b", ": b", "abc", "A: b\r\n c"])
    func keptTrailersAreFieldLines(lines: String) {
        let octets = octets("0\r\n\(lines)\r\n\r\n")
        #expect(differential.body(octets, mode: .rechunkWithTrailers).refusal == "bad_trailer")
        #expect(differential.differenceInBody(octets, cuts: [5], mode: .rechunkWithTrailers) == nil)
    }

    @Test func theLargestSizeIsTaken() {
        let body = differential.body(octets("fffffffffffff\r\nabc"), mode: .rechunk)
        #expect(body.refusal == nil && body.dataCount == 3)
    }

    @Test func extensionsOfAWholeBodyAreLimited() {
        func body(_ bytes: Int) -> [UInt8] {
            let half = String(repeating: "x", count: bytes / 2 - 1)
            return octets("1;\(half)\r\na\r\n1;\(half)\r\nb\r\n0\r\n\r\n")
        }
        for cuts in [[], [3000], [2055, 2056]] {
            #expect(differential.body(body(4096), cuts: cuts, mode: .rechunk).isDone)
            let refusal = differential.body(body(4098), cuts: cuts, mode: .rechunk).refusal
            #expect(refusal == "chunk_extensions_too_long")
        }
    }

    @Test(arguments: [ChunkedBody.Mode.rechunk, .rechunkWithTrailers, .identity])
    func trailersAreLimited(mode: ChunkedBody.Mode) {
        for cuts in [[], [5], [100, 4099]] {
            let within = octets("0\r\nA: \(String(repeating: "b", count: 4089))\r\n\r\n")
            #expect(differential.body(within, cuts: cuts, mode: mode).isDone)
            for end in ["", "\r\n\r\n"] {
                let beyond = octets("0\r\nA: \(String(repeating: "b", count: 4096))\(end)")
                #expect(differential.body(beyond, cuts: cuts, mode: mode).refusal == "trailers_too_long")
            }
        }
    }
}
