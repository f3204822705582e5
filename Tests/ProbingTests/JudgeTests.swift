// What the ready-made judges say of answers, byte by byte and pure.

import Base
import Testing

@testable import Probing

/// The verdict after each beginning of `text`, shortest first, and the one at its end: the first that is no
/// `needsMore`, and after how many bytes it was known.
private func verdict(_ text: String, _ judge: Judge) -> (verdict: Verdict, after: Int) {
    let octets = Array(text.utf8)
    for count in 0...octets.count {
        let verdict = octets.prefix(count).withUnsafeBufferPointer { judge($0, false) }
        if verdict != .needsMore { return (verdict, count) }
    }
    return (octets.withUnsafeBufferPointer { judge($0, true) }, octets.count)
}

private func http(_ change: (inout HTTPExchange) -> Void = { _ in }) -> Judge {
    var exchange = HTTPExchange(host: "probe.test")
    change(&exchange)
    return exchange.judge
}

@Suite struct JudgeTests {
    @Test func aStatusIsEnoughWhereNoTextIsExpected() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        let found = verdict(head + "0123456789", http())
        #expect(found.verdict == .matched && found.after == head.utf8.count)
        #expect(verdict("HTTP/1.0 404 Not Found\r\n\r\n", http()).verdict == .unexpected("status 404"))
        let wide = http { $0.expectedStatuses = [200...200, 404...404] }
        #expect(verdict("HTTP/1.0 404 Not Found\r\n\r\n", wide).verdict == .matched)
        #expect(verdict("HTTP/1.0 204 No Content\r\n\r\n", wide).verdict == .unexpected("status 204"))
    }

    @Test func interimResponsesArePassedOver() {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\n\r\n"
        #expect(verdict(answer, http()).verdict == .unexpected("status 500"))
    }

    @Test func textIsFoundWhereverTheBodyIsCut() {
        let judge = http { $0.expectedText = Array("ready".utf8) }
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nI am ready!!"
        #expect(verdict(length, judge).verdict == .matched)
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nI re\r\n3;x=1\r\nady\r\n0\r\n\r\n"
        #expect(verdict(chunked, judge).verdict == .matched)
        #expect(verdict("HTTP/1.1 200 OK\r\n\r\nready", judge).verdict == .matched)
    }

    @Test func aBodyWithoutTheTextIsUnexpectedOnceItIsWhole() {
        let judge = http { $0.expectedText = Array("ready".utf8) }
        let wrong = Verdict.unexpected("body without the text: \"starting\"")
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nstarting"
        #expect(verdict(head, judge).verdict == wrong)
        #expect(verdict(head, judge).after == head.utf8.count)
        #expect(verdict("HTTP/1.1 200 OK\r\n\r\nstarting", judge).verdict == wrong)
        // A body that breaks off is none.
        #expect(verdict("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstarting", judge).verdict == .needsMore)
    }

    @Test func textBehindTheLimitIsNotLookedFor() {
        let judge = http {
            $0.expectedText = Array("ready".utf8)
            $0.expectedTextLimitBytes = 6
        }
        let answer = "HTTP/1.1 200 OK\r\n\r\n12ready"
        #expect(verdict(answer, judge).verdict == .unexpected("body without the text: \"12read\""))
    }

    @Test func aHeadAnswerHasNoBody() {
        let judge = http { $0.usesHead = true }
        #expect(verdict("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", judge).verdict == .matched)
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\nServer: x\n\n", "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ])
    func whatIsNoProperHTTPIsUnexpected(answer: String) {
        // A first line that goes on for ever is refused once it is too long; one that ends is read at its end.
        guard case .unexpected(let detail) = verdict(answer + "\r\n\r\n", http()).verdict else {
            Issue.record("\(answer) passed")
            return
        }
        #expect(detail.hasPrefix("no proper HTTP/1.1: "))
    }

    @Test func theRequestNamesHostAndClosing() {
        var exchange = HTTPExchange(host: "probe.test")
        exchange.target = "/healthz?full=1"
        exchange.headers = [("Authorization", "Bearer x")]
        #expect(
            String(decoding: exchange.request(), as: UTF8.self)
                == "GET /healthz?full=1 HTTP/1.1\r\nHost: probe.test\r\nUser-Agent: weir-probe\r\n"
                + "Authorization: Bearer x\r\nConnection: close\r\n\r\n")
        exchange.usesHead = true
        exchange.headers = [("user-agent", "mine")]
        #expect(
            String(decoding: exchange.request(), as: UTF8.self)
                == "HEAD /healthz?full=1 HTTP/1.1\r\nHost: probe.test\r\nuser-agent: mine\r\n"
                + "Connection: close\r\n\r\n")
    }

    @Test func answersAreComparedFromTheirFirstByte() {
        let pong: Judge = { compare($0, $1, expectingOneOf: [Array("+PONG\r\n".utf8)]) }
        let found = verdict("+PONG\r\n", pong)
        #expect(found.verdict == .matched && found.after == 7)
        let denied = verdict("-NOAUTH Authentication required.\r\n", pong)
        #expect(denied.after == 1)
        #expect(verdict("+PON", pong).verdict == .unexpected("\"+PON\""))
        #expect(verdict("", pong).verdict == .needsMore)
        let either: Judge = { compare($0, $1, expectingOneOf: [[0x53], [0x4E]]) }
        #expect(verdict("N", either).verdict == .matched)
        #expect(verdict("E", either).verdict == .unexpected("\"E\""))
    }

    @Test(
        arguments: [
            ("{\"in_flight\": 3, \"latency_us\": 1250}", BackendLoad(inFlight: 3, latencyMicroseconds: 1250)),
            (
                "{\"name\":\"in_flight\",\"latency_us\":7.9,\r\n \"in_flight\"\t:\n0 }",
                BackendLoad(inFlight: 0, latencyMicroseconds: 7)
            ),
            (
                "{\"in_flight\":99999999999999999999,\"latency_us\":5000000000}",
                BackendLoad(inFlight: .max, latencyMicroseconds: .max)
            ),
            ("{\"in_flight\": -1, \"latency_us\": 1}", nil), ("{\"in_flight\": 1}", nil),
            ("{\"in_flight\", \"latency_us\": 1}", nil), ("{\"in_flight\":\"latency_us\":", nil), ("", nil),
            ("\"in_flight\"", nil), ("\"latency_us\":1\"in_flight\":", nil),
        ] as [(String, BackendLoad?)])
    func aBackendTellsItsLoad(body: String, load: BackendLoad?) {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
        let found = verdict(head + body, judgeLoad).verdict
        if load != nil {
            #expect(found == .matched)
        } else {
            guard case .unexpected(let detail) = found else { return #expect(Bool(false), "\(found)") }
            #expect(detail.hasPrefix("body without in_flight and latency_us: "))
        }
        #expect(BackendLoad(answer: Array((head + body).utf8)) == load)
        #expect(BackendLoad(answer: Array((head + body).utf8.dropLast(body.utf8.count))) == nil)
    }

    @Test func onlyAWholeAnswerWithStatus200TellsALoad() {
        let body = "{\"in_flight\": 3, \"latency_us\": 1250}"
        #expect(
            verdict("HTTP/1.1 404 Not Found\r\n\r\n" + body, judgeLoad).verdict == .unexpected("status 404"))
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + String(body.utf8.count, radix: 16)
            + "\r\n" + body + "\r\n0\r\n\r\n"
        #expect(verdict(chunked, judgeLoad).verdict == .matched)
        #expect(BackendLoad(answer: Array(chunked.utf8))?.inFlight == 3)
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + body
        #expect(verdict(cut, judgeLoad).verdict == .needsMore)
    }

    @Test func anExcerptIsShortAndPrintable() {
        #expect(excerpt([0x41, 0, 0x0A, 0xFF, 0x42]) == "\"A...B\"")
        #expect(
            excerpt([UInt8](repeating: 0x61, count: 49)) == "\"" + String(repeating: "a", count: 48) + "...\""
        )
    }
}
