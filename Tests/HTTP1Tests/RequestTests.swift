// What a good request says.

import HTTP1Oracle
import Testing

@testable import HTTP1

@Suite struct RequestTests {
    @Test func aPlainRequest() throws {
        let head = try accepted("GET /a/b?c=d?e HTTP/1.1\r\nHost: example.com:8080\r\nA:b\r\n\r\nbody")
        #expect(head.method == "GET" && head.target == "/a/b?c=d?e" && head.minorVersion == 1)
        #expect(head.path == "/a/b" && head.query == "c=d?e")
        #expect(head.host == "example.com" && head.port == 8080)
        #expect(head.framing == .none && head.isPersistent && !head.expectsContinue && !head.wantsUpgrade)
        #expect(head.length == 56)
        #expect(head.fields.map(\.name) == ["Host", "A"] && head.fields.map(\.value)[1] == "b")
    }

    @Test func anEmptyLineBeforeTheRequestIsPassedOver() throws {
        let head = try accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(head.length == 29 && head.method == "GET" && head.host == "a")
    }

    @Test(arguments: [
        "a", "1.2.3.4", "[::]", "[::1]", "[1::]", "[1:2:3:4:5:6:7:8]", "[1::8]", "[::ffff:1.2.3.4]",
    ])
    func hostsAreTakenWithAndWithoutPort(host: String) throws {
        for (suffix, port) in [("", nil), (":80", 80), (":", nil), (":0", 0), (":65535", 65_535)] {
            let head = try accepted("GET / HTTP/1.1\r\nhOsT: \(host)\(suffix)\r\n\r\n")
            #expect(head.host == host && head.port == port)
        }
    }

    @Test(arguments: ["a-b.c_d~", "!$&'()*+,;=", "a%2Fb", "xn--bcher-kva.example"])
    func registeredNamesAreTaken(host: String) throws {
        #expect(try accepted("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").host == host)
    }

    @Test func anAbsoluteTargetNamesTheHost() throws {
        let head = try accepted("GET HTTP://Example.com/p?q HTTP/1.1\r\nHost: example.COM:80\r\n\r\n")
        #expect(head.host == "Example.com" && head.port == nil && head.path == "/p" && head.query == "q")
        #expect(try accepted("GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n").port == 443)
        #expect(try accepted("GET http://b?q/r HTTP/1.0\r\n\r\n").host == "b")
        let bare = try accepted("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(bare.path == "" && bare.query == nil)
    }

    @Test func theAsteriskIsForOptions() throws {
        #expect(try accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path == "*")
    }

    @Test func whatIsVisibleMayStandInATarget() throws {
        let visible = String(
            String.UnicodeScalarView((33...126).filter { $0 != 35 }.map { Unicode.Scalar($0)! }))
        #expect(try accepted("GET /\(visible) HTTP/1.1\r\nHost: a\r\n\r\n").target == "/" + visible)
    }

    @Test func valuesLoseTheBlanksAroundThem() throws {
        let head = try accepted(
            "GET / HTTP/1.1\r\nHost: a\r\nA: \t b\t c \t\r\nB:\r\nC: \t \r\nD:\u{E9}\u{FF}\r\n\r\n")
        #expect(head.fields.map(\.value) == ["a", "b\t c", "", "", "\u{E9}\u{FF}"])
    }

    @Test func theBodyIsFramed() throws {
        func framing(_ lines: String) throws -> OracleFraming {
            try accepted("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n").framing
        }
        #expect(try framing("Content-Length: 0") == .length(0))
        #expect(try framing("content-length:  00017\t") == .length(17))
        #expect(try framing("Content-Length: 9223372036854775807") == .length(9_223_372_036_854_775_807))
        #expect(try framing("Transfer-Encoding: chunked") == .chunked)
        #expect(try framing("transfer-encoding: CHUNKED ") == .chunked)
        #expect(try framing("A: b") == .none)
    }

    @Test func theConnectionPersistsUnlessSomebodyCloses() throws {
        func isPersistent(_ version: String, _ connection: String) throws -> Bool {
            try accepted("GET / HTTP/\(version)\r\nHost: a\r\nConnection: \(connection)\r\n\r\n").isPersistent
        }
        #expect(try isPersistent("1.1", "x"))
        #expect(try !isPersistent("1.1", "a ,, CLOSE"))
        #expect(try !isPersistent("1.1", "keep-alive, close"))
        #expect(try isPersistent("1.0", "Keep-Alive"))
        #expect(try !isPersistent("1.0", "x"))
        #expect(try !isPersistent("1.0", "keep-alive, close"))
        #expect(try isPersistent("1.1", "closed"))
    }

    @Test func expectationsAndUpgradesAreOfTheNewVersionOnly() throws {
        let lines =
            "Host: a\r\nExpect: 100-Continue\r\nUpgrade: websocket\r\nConnection: a, Upgrade\r\nTE: trailers"
        let new = try accepted("GET / HTTP/1.1\r\n\(lines)\r\n\r\n")
        #expect(new.expectsContinue && new.wantsUpgrade && new.acceptsTrailers)
        #expect(new.fields.filter { !$0.isDropped }.map(\.name) == ["Host", "Expect", "Upgrade"])
        let old = try accepted("GET / HTTP/1.0\r\n\(lines)\r\n\r\n")
        #expect(!old.expectsContinue && !old.wantsUpgrade)
        #expect(old.fields.filter { !$0.isDropped }.map(\.name) == ["Host", "Expect"])
        let unnamed = try accepted("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")
        #expect(!unnamed.wantsUpgrade && unnamed.fields[1].isDropped)
    }

    @Test func whatIsForThisConnectionIsDropped() throws {
        let dropped = [
            "Keep-Alive", "Proxy-Connection", "TE", "HTTP2-Settings", "X-Named", "x-TWICE", "Cache-Control",
        ]
        let kept = [
            "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Foo", "Forwarded", "X-Other", "Expect",
        ]
        let lines = (dropped + kept).map { "\($0): 1\r\n" }.joined()
        let head = try accepted(
            "GET / HTTP/1.1\r\nHost: a\r\n\(lines)Connection: host, x-named, content-length, cookie\r\n"
                + "connection: X-Twice, authorization, x-forwarded-for, cache-control, x-forwarded-foo\r\n"
                + "Connection: forwarded, expect\r\nContent-Length: 5\r\n\r\n")
        let remaining = head.fields.filter { !$0.isDropped }.map(\.name)
        #expect(remaining == ["Host"] + kept + ["Content-Length"])
        #expect(head.framing == .length(5))
    }

    @Test(arguments: FieldName.allCases.filter { $0 != .other })
    func everyKnownNameIsFoundInAnyCase(name: FieldName) {
        // The case's own name with hyphens before its capitals, but for abbreviations.
        let special: [FieldName: String] = [
            .http2Settings: "http2-settings", .xRealIP: "x-real-ip", .xRequestID: "x-request-id",
            .wwwAuthenticate: "www-authenticate",
        ]
        let text =
            special[name] ?? "\(name)".map { $0.isUppercase ? "-" + $0.lowercased() : String($0) }.joined()
        for spelled in [text, text.uppercased(), text.prefix(1).uppercased() + text.dropFirst()] {
            let octets = octets(spelled)
            let view = Octets(octets, count: octets.count)
            #expect(FieldName.named(view, HeadRange(0, octets.count)) == name)
        }
        for wrong in [text + "x", "x" + text, String(text.dropLast()) + "_"] {
            let octets = octets(wrong)
            let view = Octets(octets, count: octets.count)
            #expect(FieldName.named(view, HeadRange(0, octets.count)) == .other)
        }
    }

    @Test(arguments: HTTP1.Method.allCases.filter { ![.other, .connect, .trace].contains($0) })
    func methodsAreFoundInTheirOwnCaseOnly(method: HTTP1.Method) {
        let upper = octets("\(method)".uppercased())
        let lower = octets("\(method)")
        #expect(Method.named(Octets(upper, count: upper.count), HeadRange(0, upper.count)) == method)
        #expect(Method.named(Octets(lower, count: lower.count), HeadRange(0, lower.count)) == .other)
    }
}
