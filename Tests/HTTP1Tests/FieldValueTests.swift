// Lists, numbers and media types inside field values.

import Testing

@testable import HTTP1

@Suite struct FieldValueTests {
    private func range(_ octets: [UInt8]) -> HeadRange { HeadRange(0, octets.count) }

    @Test(arguments: [
        ("close", true), ("CLOSE", true), (" a , close\t", true), (",,close,,", true), ("a,b,cLoSe", true),
        ("closed", false), ("clos", false), ("a close", false), ("", false), (",", false), ("close;a", false),
    ])
    func tokensAreFoundInLists(value: String, isThere: Bool) {
        let octets = octets(value)
        #expect(FieldValue.hasToken("close", in: octets, range(octets)) == isThere)
    }

    @Test func wholeValuesAreCompared() {
        let value = octets("WebSocket")
        #expect(FieldValue.matches("websocket", in: value, range(value)))
        #expect(!FieldValue.matches("websockets", in: value, range(value)))
        #expect(!FieldValue.matches("websocker", in: value, range(value)))
    }

    @Test(
        arguments: [
            ("0", 0), ("007", 7), ("9223372036854775807", 9_223_372_036_854_775_807),
            ("9223372036854775808", nil),
            ("18446744073709551616", nil), ("", nil), ("+1", nil), ("-1", nil), ("1 ", nil), ("1a", nil),
            ("00000000000000000000001", 1),
        ] as [(String, UInt64?)])
    func numbersAreDigits(value: String, number: UInt64?) {
        let octets = octets(value)
        #expect(FieldValue.decimal(in: octets, range(octets)) == number)
    }

    @Test(arguments: [
        ("application/json", true), ("Application/JSON; charset=utf-8", true),
        ("*/*, application/json", true),
        ("application/problem+json", true), ("application/json;q=0.5", true),
        ("application/json, text/plain", true),
        ("application/json;a=b;Q=0.01", true), ("*/*", false), ("", false), ("text/plain", false),
        ("text/html, application/json", false), ("application/json;q=0", false), ("application/jsonp", false),
        ("application/json; q=0.000", false), ("application-json", false),
        ("application/problem-json", false),
        ("application/xml", false), ("json", false),
    ])
    func jsonIsPreferredWhereItIsListedFirst(value: String, isPreferred: Bool) {
        let octets = octets(value)
        #expect(FieldValue.prefersJSON(in: octets, range(octets)) == isPreferred)
    }
}
