// Addresses in field values, and lists read from behind.

import Glibc
import Testing

@testable import HTTP1

@Suite struct AddressValueTests {
    private func address(_ text: String) -> AddressValue? {
        let value = octets(text)
        return FieldValue.address(in: value, HeadRange(0, value.count))
    }

    @Test(
        arguments: [
            ("10.0.0.1", 0x0A00_0001), ("255.255.255.255", 0xFFFF_FFFF), ("0.0.0.0", 0),
            ("10.0.0.1:80", 0x0A00_0001),
            ("10.0.0.1:65535", 0x0A00_0001),
        ] as [(String, UInt64)])
    func ipv4(text: String, bits: UInt64) {
        #expect(address(text) == AddressValue(high: 0, low: bits, isIPv6: false))
    }

    /// Against inet_pton(3).
    @Test(arguments: [
        "::", "::1", "1::", "2001:db8::1", "2001:db8:0:0:1:2:3:4", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "fe80::A",
        "::ffff:10.0.0.1", "1:2:3:4:5:6:10.0.0.1", "64:ff9b::192.0.2.33", "1:2:3:4:5:6:7:8", "a:b::c:d:e",
    ])
    func ipv6(text: String) {
        var octets = [UInt8](repeating: 0, count: 16)
        #expect(inet_pton(AF_INET6, text, &octets) == 1)
        let halves = [0, 8].map { start in
            octets[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
        let expected = AddressValue(high: halves[0], low: halves[1], isIPv6: true)
        #expect(address(text) == expected)
        #expect(address("[\(text)]") == expected)
        #expect(address("[\(text)]:443") == expected)
    }

    @Test(arguments: [
        "", "unknown", "_hidden", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1:", "10.0.0.1:65536",
        "10.0.0.1:x",
        "10.0.0.1 ", "[::1", "[10.0.0.1]", "::1:80:", "[::1]80", "[::1]:", "fe80::1%eth0",
        "1:2:3:4:5:6:7:8:9", ":::",
        "\"10.0.0.1\"", ":80", "[]",
    ])
    func noAddress(text: String) {
        #expect(address(text) == nil)
    }

    @Test(arguments: [
        ("a", ["a"]), ("a, b", ["b", "a"]), (" a ,b,\tc d ", ["c d", "b", "a"]), ("", []), (",, ,", []),
        (",a,,b,", ["b", "a"]),
    ])
    func elementsFromBehind(list: String, elements: [String]) {
        let value = octets(list)
        var rest = HeadRange(0, value.count)
        var found: [String] = []
        while let (element, before) = FieldValue.lastElement(in: value, rest), found.count < 10 {
            found.append(String(decoding: value[element.start..<element.end], as: UTF8.self))
            rest = before
        }
        #expect(found == elements)
    }
}
