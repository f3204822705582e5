// Cookies of requests, and the one that Weir sets.

import Base
import HTTP1
import Testing

@testable import Routing

private let cookie = AffinityCookie(
    name: "W", path: "/", maxAgeSeconds: nil, isHTTPOnly: true, sameSite: "Lax")

private func values(_ headers: [String]) -> [String] {
    TestRequest(fields: [("Host", "W=0")] + headers.map { ("Cookie", $0) }).withView { view in
        var values = cookie.values(in: view)
        var found: [String] = []
        while let value = values.next() { found.append(value.text) }
        return found
    }
}

@Test(
    arguments: [
        ([], []),
        ([""], []),
        (["W=1"], ["1"]),
        (["a=b; W=1; c=d"], ["1"]),
        (["a=b;W=1;c=d"], ["1"]),
        (["W=1; W=2", "W=3"], ["1", "2", "3"]),
        (["x=1", "y=2; W=3"], ["3"]),
        (["w=1; WW=2; xW=3; W =4; W; =5; W-W=6"], []),
        ([";;; ,, W=1 ;\t; garbage ; W=\t"], [""]),
        (["\tW=1\t"], ["1"]),
        (["W=\"1\"; W==; W=a=b"], ["\"1\"", "=", "a=b"]),
        (["a=W=1; b=;W=2"], ["2"]),
        (["a\u{80}\u{FF}=\u{7F}; W=1"], ["1"]),
    ] as [([String], [String])])
func cookiesOfOneName(headers: [String], wanted: [String]) {
    #expect(values(headers) == wanted)
}

@Test(
    arguments: [
        ("0123456789abcdef", 0x0123_4567_89AB_CDEF), ("ffffffffffffffff", UInt64.max),
        ("0000000000000000", 0),
        ("0123456789ABCDEF", nil), ("123456789abcdef", nil), ("00123456789abcdef", nil), ("", nil),
        ("0123456789abcdeg", nil), ("-123456789abcdef", nil), ("0x23456789abcdef", nil),
        ("\"123456789abcde\"", nil),
    ] as [(String, UInt64?)])
func numbersOfCookies(text: String, number: UInt64?) {
    #expect(ByteView(keeping: text).number == number)
}

private func line(_ cookie: AffinityCookie, _ number: UInt64, isSecure: Bool, capacity: Int = 256) -> String?
{
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { memory in
        var writer = HeadWriter(memory.baseAddress!, capacity: capacity)
        cookie.write(number, isSecure: isSecure, to: &writer)
        return writer.hasOverflowed ? nil : String(decoding: memory[..<writer.count], as: UTF8.self)
    }
}

@Test func aCookieIsWrittenWithItsAttributes() {
    #expect(
        line(cookie, 0xAB, isSecure: false)
            == "Set-Cookie: W=00000000000000ab; Path=/; HttpOnly; SameSite=Lax\r\n")
    let other = AffinityCookie(
        name: "__Secure-w", path: "/shop", maxAgeSeconds: 1800, isHTTPOnly: false, sameSite: "None")
    #expect(
        line(other, .max, isSecure: true)
            == "Set-Cookie: __Secure-w=ffffffffffffffff; Path=/shop; Max-Age=1800; SameSite=None; Secure\r\n")
    #expect(line(cookie, 0, isSecure: false, capacity: 60) == nil)
}

@Test func aCookieThatIsWrittenIsFoundAgain() {
    var random = RandomSource(seed: 7)
    for _ in 0..<1_000 {
        let number = random.next() >> UInt64(random.next(below: 64))
        let written = line(cookie, number, isSecure: true)!
        let pair = written.dropFirst("Set-Cookie: ".count).prefix { $0 != ";" }
        #expect(values(["a=1; \(pair)"]).first.map { ByteView(keeping: $0).number } == number)
    }
}

/// Compared with a slow reading by strings, over headers made of the pieces that matter.
@Test(arguments: 0..<50) func cookiesAreReadAsTheSlowReadingDoes(seed: UInt64) {
    let pieces = ["W", "=", ";", " ", "\t", "W=", "W=1", "; ", "a=b", "\"", ",", "WW", "\u{1}", "="]
    var random = RandomSource(seed: seed)
    for _ in 0..<200 {
        let header = (0..<random.next(below: 12)).map { _ in pieces[Int(random.next(below: 14))] }.joined()
        let blanks: Set<Character> = [" ", "\t"]
        let wanted = header.split(separator: ";", omittingEmptySubsequences: false).compactMap { part in
            var text = part
            while let last = text.last, blanks.contains(last) { text.removeLast() }
            while let first = text.first, blanks.contains(first) { text.removeFirst() }
            return text.hasPrefix("W=") ? String(text.dropFirst(2)) : nil
        }
        #expect(values([header]) == wanted, "\(header)")
    }
}
