import TestSupport
import Testing

@testable import LogReading

private func members(_ text: String) -> [JSONMember]? { JSONObject.members(of: Array(text.utf8)) }

private func value(_ text: String) -> JSONValue? { members("{\"a\":\(text)}")?.first?.value }

@Suite struct JSONObjectTests {
    @Test func membersComeInTheirOrder() {
        let read = members(" { \"b\" : 1 ,\t\"a\":[true,false,null,\"x\",{}],\"o\":{\"p\":-1.5e+3} }\r")
        #expect(
            read == [
                JSONMember(name: "b", value: .number("1")),
                JSONMember(
                    name: "a",
                    value: .array([.boolean(true), .boolean(false), .null, .string("x"), .object([])])),
                JSONMember(name: "o", value: .object([JSONMember(name: "p", value: .number("-1.5e+3"))])),
            ])
        #expect(members("{}") == [])
    }

    @Test(
        arguments: [
            "", " ", "x", "[]", "1", "\"a\"", "{", "}", "{}}", "{} x", "{,}", "{\"a\"}", "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}", "{\"a\":1 \"b\":2}", "{\"a\":tru}", "{\"a\":nulll}", "{\"a\":'b'}", "{\"a\":\"b}",
            "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\",
            "{\"a\":[1,]}", "{\"a\":[1}", "{\"a\":[", "\u{FEFF}{}",
        ])
    func whatIsNoObjectIsRefused(text: String) {
        #expect(members(text) == nil)
    }

    @Test(arguments: ["0", "-0", "10", "1.0", "1e9", "1E-9", "18446744073709551615", "99999999999999999999"])
    func numbersStayText(text: String) {
        #expect(value(text) == .number(text))
    }

    @Test(arguments: ["01", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "--1", "NaN", "Infinity", "1_0"])
    func whatIsNoNumberIsRefused(text: String) {
        #expect(value(text) == nil)
    }

    @Test(
        arguments: [
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u20AC""#, "Aé€"),
            (#""\ud83d\ude00""#, "😀"), (#""\ud83d""#, "\u{FFFD}"), (#""\ude00x""#, "\u{FFFD}x"),
            (#""\ud83d\u0041""#, "\u{FFFD}A"), (#""\ud83d\n""#, "\u{FFFD}\n"), ("\"größe\"", "größe"),
            (#""\u0000""#, "\0"),
        ])
    func escapesAreResolved(text: String, wanted: String) {
        #expect(value(text) == .string(wanted))
    }

    @Test func octetsThatAreNoUTF8BecomeTheReplacement() {
        let line = Array("{\"a\":\"x".utf8) + [0xFF, 0xC3] + Array("\"}".utf8)
        #expect(JSONObject.members(of: line)?.first?.value == .string("x\u{FFFD}\u{FFFD}"))
    }

    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> String {
            "{\"a\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1)
                + "}"
        }
        #expect(members(nested(JSONObject.depthLimit)) != nil)
        #expect(members(nested(JSONObject.depthLimit + 1)) == nil)
        #expect(members("{\"a\":" + String(repeating: "[", count: 1_000_000)) == nil)
    }

    @Test func wholeNumbersAreThoseThatFit() {
        #expect(value("18446744073709551615")?.wholeNumber == .max)
        for text in ["18446744073709551616", "-1", "1.0", "1e3", "\"1\"", "null"] {
            #expect(value(text)?.wholeNumber == nil)
        }
    }

    @Test func randomBytesAndBrokenRecordsNeverTrap() {
        var random = SeededGenerator(seed: 1)
        let alphabet = Array("{}[]\",:\\u0123456789abcdefntrl-+.eE \u{1}é".utf8) + [0xFF, 0x80, 0xED, 0xA0]
        let whole = Array(session.utf8)
        for _ in 0..<20_000 {
            var line: [UInt8]
            if Bool.random(using: &random) {
                line = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    alphabet.randomElement(using: &random)!
                }
            } else {
                line = whole
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let index = Int.random(in: 0..<line.count, using: &random)
                    line[index] = alphabet.randomElement(using: &random)!
                }
                line = Array(line.prefix(Int.random(in: 0...line.count, using: &random)))
            }
            guard let record = LogRecord(line) else { continue }
            var columns = ColumnPrinter()
            for width in [nil, 1, 40, 120] {
                let style = DisplayStyle(hasColours: false, width: width)
                let shown = columns.line(for: record, style: style)
                #expect(width.map { DisplayText.width(shown) <= $0 } ?? true)
                #expect(shown == DisplayText.escaped(shown), "nothing that a terminal must not be given")
            }
        }
    }

    @Test func everyBeginningOfARecordIsRefused() {
        for count in 0..<session.utf8.count {
            #expect(LogRecord(Array(session.utf8.prefix(count))) == nil)
        }
        #expect(record(session) != nil)
    }
}
