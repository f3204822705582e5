// Reads HTTP requests piece by piece, several in a row where they are pipelined. Each connection of the origin
// has one; the memory for a head that comes in pieces is the connection's.

import HTTP1

/// Where a request is being read. Zero bytes are the beginning of one.
struct RequestReader: BitwiseCopyable {
    enum Event {
        /// All octets were taken, and the request has not ended.
        case incomplete
        /// The client waits for `100 Continue` before it sends the body.
        case wantsContinue
        case complete
        case refused
    }

    private enum Phase: UInt8, BitwiseCopyable {
        case head, length, chunks, complete
    }

    static var headLimitBytes: Int { HeadCollector.limitBytes }

    private var phase = Phase.head
    private var collector = HeadCollector()
    private var remaining: UInt64 = 0
    private var chunks = ChunkedBody()
    /// Of the request that is complete.
    private(set) var isHead = false
    private(set) var isPersistent = false
    /// What `size=` in its query says.
    private(set) var wantedBytes: Int?
    /// It is `GET /load`.
    private(set) var asksForLoad = false

    /// Takes octets from `offset` on and moves it to behind what was taken. Call again after each event but
    /// `incomplete` and `refused`.
    mutating func read(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, offset: inout Int,
        kept: UnsafeMutablePointer<UInt8>, fields: FieldTable
    ) -> Event {
        if phase == .complete { self = RequestReader() }
        if phase == .head {
            if offset == count { return .incomplete }
            switch readHead(octets + offset, count: count - offset, kept: kept, fields: fields) {
            case .more:
                offset = count
                return .incomplete
            case .failed: return .refused
            case .taken(let length, let expectsContinue):
                offset += length
                if expectsContinue, phase != .complete { return .wantsContinue }
            }
        }
        return readBody(octets, count: count, offset: &offset)
    }

    private enum HeadStep {
        case more
        case failed
        case taken(Int, expectsContinue: Bool)
    }

    private mutating func readHead(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, kept: UnsafeMutablePointer<UInt8>,
        fields: FieldTable
    ) -> HeadStep {
        switch collector.take(octets, count: count, kept: kept) {
        case .more: return .more
        case .refused: return .failed
        case .whole(let head):
            guard
                let parsed = try? RequestHead.parse(
                    head.octets, count: head.available, length: head.length, limits: HeadCollector.limits,
                    into: fields)
            else { return .failed }
            begin(parsed, UnsafePointer(head.octets))
            return .taken(head.taken, expectsContinue: parsed.expectsContinue)
        }
    }

    private mutating func begin(_ head: RequestHead, _ octets: UnsafePointer<UInt8>) {
        isHead = head.method == .head
        isPersistent = head.isPersistent
        asksForLoad = head.method == .get && isLoad(octets, head.target.path)
        wantedBytes = head.target.query.flatMap { sizeAsked(octets, $0) }
        switch head.framing {
        case .length(let length) where length > 0: (phase, remaining) = (.length, length)
        case .chunked: phase = .chunks
        default: phase = .complete
        }
    }

    private mutating func readBody(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, offset: inout Int
    ) -> Event {
        switch phase {
        case .length:
            let taken = min(UInt64(count - offset), remaining)
            remaining -= taken
            offset += Int(taken)
            if remaining == 0 { phase = .complete }
        case .chunks:
            guard let step = try? chunks.process(octets + offset, count: count - offset, mode: .identity)
            else {
                return .refused
            }
            offset += step.consumed
            if chunks.isDone { phase = .complete }
        case .head, .complete: break
        }
        return phase == .complete ? .complete : .incomplete
    }
}

private func isLoad(_ octets: UnsafePointer<UInt8>, _ path: HeadRange) -> Bool {
    let wanted: StaticString = "/load"
    guard path.end - path.start == wanted.utf8CodeUnitCount else { return false }
    for index in 0..<wanted.utf8CodeUnitCount
    where octets[path.start + index] != wanted.utf8Start[index] { return false }
    return true
}

/// The number behind `size=` in a query; nil where there is no `size=`, more than any answer has where it is no
/// number, so that it is refused rather than answered with another size.
private func sizeAsked(_ octets: UnsafePointer<UInt8>, _ query: HeadRange) -> Int? {
    let name: StaticString = "size="
    var start = query.start
    while start + name.utf8CodeUnitCount <= query.end {
        var index = 0
        while index < name.utf8CodeUnitCount, octets[start + index] == name.utf8Start[index] { index += 1 }
        if index == name.utf8CodeUnitCount { return number(octets, from: start + index, to: query.end) }
        while start < query.end, octets[start] != UInt8(ascii: "&") { start += 1 }
        start += 1
    }
    return nil
}

private func number(_ octets: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int {
    var value = 0
    var index = start
    while index < end, octets[index] >= UInt8(ascii: "0"), octets[index] <= UInt8(ascii: "9") {
        // Anything beyond is too much for any answer, whatever digits follow.
        if value < 1 << 40 { value = value * 10 + Int(octets[index] - UInt8(ascii: "0")) }
        index += 1
    }
    let isNumber = index > start && (index == end || octets[index] == UInt8(ascii: "&"))
    return isNumber ? value : .max
}
