// Whom a filter of sessions lets through, and how a question and its answer change hands.

import Testing

@testable import Dataplane

private func ipv4(_ address: UInt32) -> ClientAddress {
    ClientAddress(high: 0, low: UInt64(address), port: 1, family: .ipv4)
}

private func ipv6(_ high: UInt64, _ low: UInt64) -> ClientAddress {
    ClientAddress(high: high, low: low, port: 1, family: .ipv6)
}

private func filter(_ octets: [UInt8], _ prefixLength: Int) -> ClientFilter {
    let list = SessionList()
    defer { list.deallocate() }
    var filter = SessionFilter()
    filter.setClient(octets: octets, prefixLength: prefixLength)
    list.ask(filter, from: 0, wanted: 1)
    return list.client!
}

@Test(arguments: 0...32)
func anIPv4BlockHasTheAddressesThatShareItsPrefix(_ length: Int) {
    let block = filter([10, 20, 30, 40], length)
    let address: UInt32 = 0x0A14_1E28
    #expect(block.contains(ipv4(address)))
    for bit in 0..<32 {
        #expect(block.contains(ipv4(address ^ 0x8000_0000 >> UInt32(bit))) == (bit >= length))
    }
    #expect(!block.contains(ipv6(0, UInt64(address))))
}

@Test(arguments: 0...128)
func anIPv6BlockHasTheAddressesThatShareItsPrefix(_ length: Int) {
    let (high, low): (UInt64, UInt64) = (0x2001_0DB8_0102_0304, 0x0506_0708_090A_0B0C)
    let octets = [high, low].flatMap { half in
        (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) }
    }
    let block = filter(octets, length)
    #expect(block.contains(ipv6(high, low)))
    for bit in 0..<128 {
        let other =
            bit < 64
            ? ipv6(high ^ 1 << UInt64(63 - bit), low) : ipv6(high, low ^ 1 << UInt64(127 - bit))
        #expect(block.contains(other) == (bit >= length))
    }
    #expect(!block.contains(ClientAddress(high: high, low: low, port: 1, family: .unknown)))
}

@Test func namesMatchWholeAndOthersThanThoseAskedForMatchAnything() {
    let list = SessionList()
    defer { list.deallocate() }
    var filter = SessionFilter()
    filter[.pool] = "site"
    list.ask(filter, from: 0, wanted: 1)
    func matches(_ part: SessionFilter.Name, _ name: String) -> Bool {
        Array(name.utf8).withUnsafeBytes { list.matches(part, $0) }
    }
    #expect(matches(.pool, "site"))
    for other in ["", "sit", "sites", "Site", String(repeating: "x", count: 300)] {
        #expect(!matches(.pool, other))
    }
    #expect(matches(.listener, "anything") && matches(.backend, ""))
    #expect(list.asks(for: .pool) && !list.asks(for: .backend))
    list.answer(SessionList.Answer())
    // Longer than any name: it is nobody's, not even that of one which begins so.
    filter[.pool] = String(repeating: "x", count: 300)
    list.ask(filter, from: 0, wanted: 1)
    for count in [SessionList.nameLimitBytes, SessionList.nameLimitBytes + 1, 300] {
        #expect(!matches(.pool, String(repeating: "x", count: count)))
    }
}

@Test func recordsAreReadAsTheyWereKeptAndOneThatDidNotFitIsLeftOut() {
    let list = SessionList()
    defer { list.deallocate() }
    #expect(list.isFree && list.read { _, _ in Issue.record("nothing was asked") }.matched == 0)
    list.ask(SessionFilter(), from: 7, wanted: 3)
    #expect(list.isAsked && !list.isFree && list.firstSlot == 7 && list.wanted == 3)
    var answer = SessionList.Answer()
    for (text, acceptedAt) in [("{\"a\":1}\n", UInt64(5)), ("", 6), ("{}\n", 7)] {
        #expect(list.hasRoom(behind: answer.byteCount))
        list.place(behind: answer.byteCount).copyMemory(from: Array(text.utf8), byteCount: text.utf8.count)
        answer.byteCount = list.keep(
            behind: answer.byteCount, recordBytes: text.utf8.count, acceptedAt: acceptedAt)
        answer.matched += 1
    }
    answer.nextSlot = 9
    list.answer(answer)
    var read: [String] = []
    let whole = list.read { record, acceptedAt in
        read.append("\(acceptedAt) \(String(decoding: record, as: UTF8.self))")
    }
    #expect(read == ["5 {\"a\":1}", "7 {}"] && whole.matched == 3 && whole.nextSlot == 9)
}

@Test(arguments: [1, 64, 65, 254, 255])
func aLongNameMatchesItselfOnly(_ length: Int) {
    let list = SessionList()
    defer { list.deallocate() }
    let name = String(repeating: "b", count: length)
    var filter = SessionFilter()
    filter[.backend] = name
    list.ask(filter, from: 0, wanted: 1)
    for (other, isSame) in [(name, true), (name.dropLast() + "c", false), (name + "b", false)] {
        #expect(Array(other.utf8).withUnsafeBytes { list.matches(.backend, $0) } == isSame)
    }
}
