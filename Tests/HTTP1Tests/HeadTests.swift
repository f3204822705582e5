// What a good head says, and how each bad one is refused.

import Testing

@testable import HTTP1

@Suite struct FirstLookTests {
    @Test func aRequestIsRead() throws {
        let text = Array(
            "GET /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nConnection: x-a, close\r\nX-A: 1\r\n\r\nrest".utf8)
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: 100)
        defer { memory.deallocate() }
        let table = FieldTable(memory, capacity: 100)
        var scan = HeadScan()
        let progress = scan.advance(text, count: text.count, limits: HeadLimits())
        #expect(progress == .complete(length: text.count - 4))
        let head = try RequestHead.parse(
            text, count: text.count, length: text.count - 4, limits: HeadLimits(), into: table)
        #expect(head.method == .get && head.authority.port == 8080 && !head.isPersistent)
        #expect(table[2].isDropped && table[1].isDropped && !table[0].isDropped)
    }
}
