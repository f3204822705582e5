// The answers of the origin, each laid out in memory when its size is first asked for, so that sending one is
// naming it.

import Base
import HTTP1

/// One kind of answer.
struct OriginResponse: BitwiseCopyable {
    let bytes: UnsafeRawPointer
    /// Of one copy.
    let count: Int
    let headCount: Int
    /// How often it stands there, one behind the other, so that pipelined requests are answered in one send.
    let copies: Int
    /// The connection is closed behind it.
    let closes: Bool
    let bodyBytes: Int
}

struct OriginResponses: ~Copyable {
    static var sizeLimitBytes: Int { 256 << 20 }
    /// Of all kinds together.
    private static var totalLimitBytes: Int { 1 << 30 }
    private static var kindLimit: Int { 128 }
    /// Short answers are repeated up to so many bytes, and so often.
    private static var copiesLimitBytes: Int { 16 * 1024 }
    private static var copiesLimit: Int { 16 }

    /// `100 Continue`.
    static var interim: UInt16 { 0 }
    /// For a request that was not understood.
    static var refusal: UInt16 { 1 }
    /// What is said of the load; only `closes` of it counts here, `OriginLoad` lays it out.
    static var load: UInt16 { 2 }
    private static var firstSized: Int { 3 }

    private let kinds: UnsafeMutablePointer<OriginResponse>
    private var count = 0
    private var totalBytes = 0
    /// With its line end.
    private let nameLine: UnsafeMutableBufferPointer<UInt8>

    init(name: String) {
        kinds = .allocate(capacity: Self.kindLimit)
        nameLine = .allocate(capacity: name.utf8.count)
        _ = nameLine.initialize(from: name.utf8)
        add(head: "HTTP/1.1 100 Continue\r\n\r\n", closes: false)
        add(
            head: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", closes: true)
        add(head: "", closes: true)
    }

    deinit {
        kinds.deallocate()
        nameLine.deallocate()
    }

    subscript(kind: UInt16) -> OriginResponse {
        precondition(Int(kind) < count)
        return kinds[Int(kind)]
    }

    /// The answer with a body of that size; `refusal` where it is too much to keep.
    mutating func kind(bodyBytes: Int, closes: Bool, isHTTP: Bool) -> UInt16 {
        for index in Self.firstSized..<count
        where kinds[index].bodyBytes == bodyBytes && kinds[index].closes == closes {
            return UInt16(index)
        }
        guard count < Self.kindLimit, bodyBytes <= Self.sizeLimitBytes,
            totalBytes + bodyBytes <= Self.totalLimitBytes
        else { return Self.refusal }
        addAnswer(bodyBytes, closes: closes, isHTTP: isHTTP)
        return UInt16(count - 1)
    }

    private mutating func addAnswer(_ bodyBytes: Int, closes: Bool, isHTTP: Bool) {
        let headLimit = 512 + nameLine.count
        let memory = PagedMemory.reserve(byteCount: headLimit + bodyBytes + Self.copiesLimitBytes)
        let octets = memory.assumingMemoryBound(to: UInt8.self)
        var writer = HeadWriter(octets, capacity: headLimit)
        if isHTTP {
            writer.appendStatusLine(200, "OK")
            writer.append(field: "Content-Length", UInt64(bodyBytes))
            writer.append("x-origin: ")
            writer.append(UnsafePointer(nameLine.baseAddress!), count: nameLine.count)
            writer.appendLineEnd()
            if closes { writer.append(field: "Connection", "close") }
            writer.appendLineEnd()
        }
        let one = writer.count + bodyBytes
        (octets + writer.count).initialize(repeating: UInt8(ascii: "o"), count: bodyBytes)
        let copies = closes ? 1 : max(1, min(Self.copiesLimit, Self.copiesLimitBytes / max(one, 1)))
        for copy in 1..<max(copies, 1) { (octets + copy * one).update(from: octets, count: one) }
        totalBytes += bodyBytes
        append(
            OriginResponse(
                bytes: memory, count: one, headCount: writer.count, copies: copies, closes: closes,
                bodyBytes: bodyBytes))
    }

    private mutating func add(head: StaticString, closes: Bool) {
        append(
            OriginResponse(
                bytes: head.utf8Start, count: head.utf8CodeUnitCount, headCount: head.utf8CodeUnitCount,
                copies: 1,
                closes: closes, bodyBytes: 0))
    }

    private mutating func append(_ response: OriginResponse) {
        (kinds + count).initialize(to: response)
        count += 1
    }
}
