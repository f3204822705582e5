// Each way in which a request's head is wrong has its reason and its status, in whatever pieces it comes.

import HTTP1Oracle
import Testing

@testable import HTTP1

private let wrongOctets = [
    Refused("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare_lf"),
    Refused("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
    Refused("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare_lf"),
    Refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_lf"),
    Refused("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "bare_cr"),
    Refused(lines: "A: b\rc", "bare_cr"),
    Refused("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_cr"),
    Refused(lines: "A: b\0c", "control_octet"),
    Refused(lines: "A\0: b", "control_octet"),
    Refused(lines: "A: b\u{1B}", "control_octet"),
    Refused(lines: "A: b\u{7F}", "control_octet"),
    Refused(first: "GET /\u{1} HTTP/1.1", "control_octet"),
]

private let wrongFirstLines = [
    Refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line"),
    Refused(first: "GET HTTP/1.1", "bad_request_line"),
    Refused(first: "GET /", "bad_request_line"),
    Refused(first: "GET", "bad_request_line"),
    Refused(first: "GET  HTTP/1.1", "bad_request_line"),
    Refused(first: "GET  / HTTP/1.1", "bad_target"),
    Refused(first: "GET /  HTTP/1.1", "bad_target"),
    Refused(first: " GET / HTTP/1.1", "bad_method"),
    Refused(first: "G(T / HTTP/1.1", "bad_method"),
    Refused(first: "GET\t/ HTTP/1.1", "bad_method"),
    Refused(first: "G\u{E9}T / HTTP/1.1", "bad_method"),
    Refused(first: "CONNECT a:443 HTTP/1.1", "method_not_allowed", 405),
    Refused(first: "TRACE / HTTP/1.1", "method_not_allowed", 405),
    Refused(first: "GET /a b HTTP/1.1", "bad_target"),
    Refused(first: "GET /a#b HTTP/1.1", "bad_target"),
    Refused(first: "GET /?#b HTTP/1.1", "bad_target"),
    Refused(first: "GET /\u{E9} HTTP/1.1", "bad_target"),
    Refused(first: "GET /\t HTTP/1.1", "bad_target"),
    Refused(first: "GET * HTTP/1.1", "bad_target"),
    Refused(first: "OPTIONS ** HTTP/1.1", "bad_target"),
    Refused(first: "GET a/b HTTP/1.1", "bad_target"),
    Refused(first: "GET ftp://a/ HTTP/1.1", "bad_target"),
    Refused(first: "GET http:/a HTTP/1.1", "bad_target"),
    Refused(first: "GET http: HTTP/1.1", "bad_target"),
    Refused(first: "GET ?a HTTP/1.1", "bad_target"),
    Refused(first: "GET / HTTP/2.0", "unsupported_version", 505),
    Refused(first: "GET / HTTP/1.2", "unsupported_version", 505),
    Refused(first: "GET / HTTP/0.9", "unsupported_version", 505),
    Refused(first: "GET / HTTP/3.1", "unsupported_version", 505),
    Refused(first: "GET / HTTP/1.1 ", "bad_version"),
    Refused(first: "GET / http/1.1", "bad_version"),
    Refused(first: "GET / HTTP/1.10", "bad_version"),
    Refused(first: "GET / HTTP/11", "bad_version"),
    Refused(first: "GET / HTTP/1,1", "bad_version"),
    Refused(first: "GET / HTTP/a.1", "bad_version"),
    Refused(first: "GET /HTTP/1.1", "bad_request_line"),
]

private let wrongLines = [
    Refused(lines: ": a", "bad_field_name"),
    Refused(lines: "a b: c", "bad_field_name"),
    Refused(lines: "a", "bad_field_name"),
    Refused(lines: "a\r\nB: c", "bad_field_name"),
    Refused(lines: "a\r\nB : c", "bad_field_name"),
    Refused(lines: "(: c", "bad_field_name"),
    Refused(lines: "\u{E9}: c", "bad_field_name"),
    Refused(lines: "A : b", "space_before_colon"),
    Refused(lines: "A\t: b", "space_before_colon"),
    Refused(lines: "Content-Length : 5", "space_before_colon"),
    Refused(lines: "A: b\r\n c", "folded_field"),
    Refused(lines: "A: b\r\n\tc: d", "folded_field"),
    Refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded_field"),
]

private let wrongHosts =
    [
        Refused("GET / HTTP/1.1\r\n\r\n", "missing_host"),
        Refused("GET http://a/ HTTP/1.1\r\n\r\n", "missing_host"),
        Refused(lines: "Host: a", "several_hosts"),
        Refused(lines: "Host:", "several_hosts"),
        Refused("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_mismatch"),
        Refused("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_mismatch"),
        Refused("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_mismatch"),
        Refused("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host"),
        Refused("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host"),
        Refused("GET http://?q HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host"),
        Refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "bad_host"),
    ]
    + [
        "", ":80", "a b", "a, b", "u@a", "a/b", "a?", "a:b", "a:80:80", "a:65536", "a:000080", "a:-1", "a:+1",
        "[::1", "::1", "[]", "[:]", "[:::]", "[::1::]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]",
        "[1:2:3:4:5:6:7:8::]", "[12345::]", "[g::]", "[::1.2.3]", "[::1.2.3.256]", "[::1.2.3.04]",
        "[1.2.3.4::]", "[::1]a", "[::1%eth0]", "[1:]", "[1::2:]", "a%2", "a%zz", "\u{E9}", "a\\b", "\"a\"",
    ].map { Refused(host: $0) }

private let wrongFraming =
    [
        "", "+5", "-5", "0x5", "5 5", "5, 5", "5,", "5;a", "five", "9223372036854775808",
        "99999999999999999999",
    ]
    .map { Refused(lines: "Content-Length: \($0)", "bad_length") } + [
        Refused(lines: "Content-Length: 5\r\ncontent-length: 5", "several_lengths"),
        Refused(lines: "Content-Length: 5\r\nContent-Length: 6", "several_lengths"),
        Refused(lines: "Content-Length: 5\r\nTransfer-Encoding: chunked", "conflicting_length"),
        Refused(lines: "Transfer-Encoding: chunked\r\nContent-Length: 0", "conflicting_length"),
        Refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http_1_0"),
        Refused("GET / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer_encoding_in_http_1_0"),
        Refused(lines: "Transfer-Encoding:", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: ,chunked", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked,", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: gzip", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: identity", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: xchunked", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: \"chunked\"", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked, gzip", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked, chunked", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked;a=b", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: chunked ;", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: gz ip, chunked", "bad_transfer_encoding"),
        Refused(lines: "Transfer-Encoding: gzip, chunked", "unsupported_transfer_encoding", 501),
        Refused(lines: "Transfer-Encoding: a;b=c, Chunked", "unsupported_transfer_encoding", 501),
        Refused(
            lines: "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "unsupported_transfer_encoding",
            501),
    ]

/// The limits are those of the comparison: 2,048 octets, a target of 200, 20 fields.
private let tooMuch = [
    Refused(first: "GET /\(String(repeating: "a", count: 200)) HTTP/1.1", "target_too_long", 414),
    Refused("GET /" + String(repeating: "a", count: 2100), "target_too_long", 414),
    Refused(lines: "A: \(String(repeating: "a", count: 2048))", "head_too_large", 431),
    Refused(lines: String(repeating: "A: b\r\n", count: 19) + "A: b", "too_many_fields", 431),
    Refused(
        lines: "Connection: \(String(repeating: "a,", count: 33))", "too_many_connection_options", 431),
]

@Suite struct RefusedRequestTests {
    @Test(arguments: wrongOctets + wrongFirstLines + wrongLines + wrongHosts + wrongFraming + tooMuch)
    func aWrongHeadIsRefused(wrong: Refused) throws {
        let (differential, octets) = (Differential(), octets(wrong.text))
        #expect(differential.request(octets) == .refused(wrong.reason))
        #expect(Refusal.named(wrong.reason)?.status == wrong.status)
        // Every cut, but for the long ones.
        for cut in stride(from: 0, through: octets.count, by: octets.count > 300 ? 61 : 1) {
            #expect(differential.request(octets, cuts: [cut]) == .refused(wrong.reason))
            let difference = differential.differenceInRequest(octets, cuts: [cut])
            #expect(difference == nil)
        }
        #expect(differential.request(octets, cuts: Array(0..<octets.count)) == .refused(wrong.reason))
    }

    @Test func everyReasonIsOneWordAndNoTwoAreTheSame() {
        let reasons = Refusal.allCases.map { "\($0.reason)" }
        #expect(Set(reasons).count == reasons.count)
        #expect(reasons.allSatisfy { $0.allSatisfy { "abcdefghijklmnopqrstuvwxyz_01".contains($0) } })
    }

    @Test func anOctetThatNoHeadMayHoldIsRefusedBeforeTheHeadIsWhole() {
        let differential = Differential()
        #expect(differential.request(octets("GET / HTTP/1.1\r\nA: \0")) == .refused("control_octet"))
        #expect(differential.request(octets("GET /\n")) == .refused("bare_lf"))
        #expect(differential.request(octets("GET / HTTP/1.1\r")) == .incomplete)
        #expect(differential.request(octets("")) == .incomplete)
    }

    @Test func aHeadOfExactlyTheLimitIsAccepted() {
        let differential = Differential()
        let whole = octets("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for (limit, isAccepted) in [(whole.count, true), (whole.count - 1, false)] {
            let limits = HeadLimits(headBytes: UInt32(limit))
            let outcome = differential.request(whole + octets("more"), limits: limits)
            #expect((outcome != .refused("head_too_large")) == isAccepted)
        }
    }

    @Test func noMoreFieldsAreWrittenThanTheTableHolds() throws {
        let head = octets("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n")
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: 3)
        defer { memory.deallocate() }
        func parse(_ capacity: Int) throws(Refusal) -> RequestHead {
            try RequestHead.parse(
                head, count: head.count, length: head.count, limits: HeadLimits(),
                into: FieldTable(memory, capacity: capacity))
        }
        #expect(throws: Refusal.tooManyFields) { try parse(2) }
        #expect(try parse(3).fieldCount == 3)
    }
}
