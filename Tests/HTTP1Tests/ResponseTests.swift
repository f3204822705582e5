// What a good response says, and how wrong ones are refused.

import HTTP1Oracle
import Testing

@testable import HTTP1

@Suite struct ResponseTests {
    @Test func aPlainResponse() throws {
        let head = try acceptedResponse(
            "HTTP/1.1 404 Not  Found\r\nServer: s\r\nContent-Length: 3\r\n\r\nabc")
        #expect(head.status == 404 && head.reason == "Not  Found" && head.framing == .length(3))
        #expect(
            head.isPersistent && head.length == 57 && head.fields.map(\.name) == ["Server", "Content-Length"])
    }

    @Test func theReasonMayBeMissing() throws {
        #expect(try acceptedResponse("HTTP/1.1 200 \r\n\r\n").reason == "")
        #expect(try acceptedResponse("HTTP/1.1 200\r\n\r\n").reason == "")
        #expect(try acceptedResponse("HTTP/1.0 999 \u{E9}\r\n\r\n").status == 999)
    }

    @Test func aBodyWithoutLengthEndsWithTheConnection() throws {
        let head = try acceptedResponse("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n")
        #expect(head.framing == .untilClose && !head.isPersistent)
    }

    @Test(arguments: ["Content-Length: 5", "Transfer-Encoding: chunked", "A: b"])
    func someResponsesHaveNoBodyWhateverTheySay(line: String) throws {
        for status in [100, 103, 204, 304] {
            let head = try acceptedResponse("HTTP/1.1 \(status) x\r\n\(line)\r\n\r\n")
            #expect(head.framing == .none && head.isPersistent)
            #expect(head.fields[0].isDropped == (line.hasPrefix("T") || line.hasPrefix("C") && status < 300))
        }
        let head = try acceptedResponse("HTTP/1.1 200 OK\r\n\(line)\r\n\r\n", method: .head)
        #expect(head.framing == .none && head.isPersistent)
    }

    @Test func switchingProtocolsMustHaveBeenAskedFor() throws {
        let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"
        let head = try acceptedResponse(text, wantsUpgrade: true)
        #expect(head.keepsUpgrade && head.framing == .none && !head.fields[0].isDropped)
        #expect(Differential().response(octets(text)) == .refused("unexpected_upgrade"))
        let silent = octets("HTTP/1.1 101 Switching Protocols\r\n\r\n")
        #expect(Differential().response(silent, wantsUpgrade: true) == .refused("unexpected_upgrade"))
    }

    @Test func upgradeIsKeptWhereItIsRequired() throws {
        for (status, isDropped) in [(426, false), (200, true)] {
            let head = try acceptedResponse(
                "HTTP/1.1 \(status) x\r\nUpgrade: a\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n")
            #expect(head.fields[0].isDropped == isDropped && head.keepsUpgrade != isDropped)
        }
    }

    @Test(arguments: [
        Refused("HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1 +20 OK\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1\r\n\r\n", "bad_status_line"),
        Refused("HTTP/1.1 200OK\r\n\r\n", "bad_status_line"), Refused("ICY 200 OK\r\n\r\n", "bad_version"),
        Refused("\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line"), Refused("200\r\n\r\n", "bad_status_line"),
        Refused("HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"),
        Refused("HTTP/1.1 200 OK\n\r\n", "bare_lf"),
        Refused("HTTP/1.1 200 O\0K\r\n\r\n", "control_octet"),
        Refused("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded_field"),
        Refused("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "space_before_colon"),
        Refused("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "bad_length"),
        Refused("HTTP/1.1 304 x\r\nContent-Length: x\r\n\r\n", "bad_length"),
        Refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "several_lengths"),
        Refused(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "conflicting_length"
        ),
        Refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http_1_0"),
        Refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "bad_transfer_encoding"),
        Refused(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unsupported_transfer_encoding"),
    ])
    func aWrongResponseIsRefused(wrong: Refused) {
        let (differential, octets) = (Differential(), octets(wrong.text))
        for cut in 0...octets.count {
            #expect(differential.response(octets, cuts: [cut]) == .refused(wrong.reason))
            let difference = differential.differenceInResponse(
                octets, cuts: [cut], method: .get, wantsUpgrade: false)
            #expect(difference == nil)
        }
    }
}
