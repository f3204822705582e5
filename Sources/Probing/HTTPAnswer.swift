// Reads an HTTP/1.1 response out of all bytes that have come, from the first on, each time anew: answers to probes
// are short, and nothing has to be kept in between.

import HTTP1

/// What the bytes of a response amount to so far.
public enum HTTPReading {
    case needsMore
    case refused(Refusal)
    /// The final head, and what there is of the body, without its framing; the octets are valid during the call.
    case answer(status: UInt16, body: UnsafeBufferPointer<UInt8>, isWhole: Bool)
}

private let headLimits = HeadLimits()

/// Reads, and hands what it read to `body`. A connection that ends inside a response is `.needsMore`.
/// `isToHead`: the request was a HEAD, so there is no body.
public func readHTTPAnswer<Result>(
    _ octets: UnsafeBufferPointer<UInt8>, hasEnded: Bool, isToHead: Bool,
    _ body: (HTTPReading) -> Result
) -> Result {
    withUnsafeTemporaryAllocation(of: Field.self, capacity: Int(headLimits.fields)) { memory in
        let table = FieldTable(memory.baseAddress!, capacity: memory.count)
        var rest = octets
        while true {
            var scan = HeadScan()
            guard let start = rest.baseAddress, rest.count > 0 else { return body(.needsMore) }
            switch scan.advance(start, count: rest.count, limits: headLimits) {
            case .incomplete: return body(.needsMore)
            case .refused(let refusal): return body(.refused(refusal))
            case .complete(let length):
                do throws(Refusal) {
                    let head = try ResponseHead.parse(
                        start, count: rest.count, length: length, limits: headLimits, into: table,
                        method: isToHead ? .head : .get, wantsUpgrade: false)
                    rest = UnsafeBufferPointer(rebasing: rest.dropFirst(length))
                    if head.isInterim { continue }
                    return readBody(rest, of: head, hasEnded: hasEnded, body)
                } catch {
                    return body(.refused(error))
                }
            }
        }
    }
}

private func readBody<Result>(
    _ octets: UnsafeBufferPointer<UInt8>, of head: ResponseHead, hasEnded: Bool,
    _ body: (HTTPReading) -> Result
) -> Result {
    switch head.framing {
    case .none:
        return body(
            .answer(status: head.status, body: UnsafeBufferPointer(start: nil, count: 0), isWhole: true))
    case .length(let length):
        let count = Int(min(length, UInt64(octets.count)))
        return body(
            .answer(
                status: head.status, body: UnsafeBufferPointer(rebasing: octets.prefix(count)),
                isWhole: UInt64(count) == length))
    case .untilClose: return body(.answer(status: head.status, body: octets, isWhole: hasEnded))
    case .chunked:
        // The reader rewrites what it reads: a copy, so that the next reading finds the same bytes.
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(octets.count, 1)) { copy in
            _ = copy.initialize(from: octets)
            var chunks = ChunkedBody()
            do throws(Refusal) {
                let step = try chunks.process(copy.baseAddress!, count: octets.count, mode: .identity)
                let data = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(copy).prefix(step.produced))
                return body(.answer(status: head.status, body: data, isWhole: chunks.isDone))
            } catch {
                return body(.refused(error))
            }
        }
    }
}
