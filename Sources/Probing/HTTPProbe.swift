// The probe that asks over HTTP/1.1: what is sent, and what is expected of status and body. The answer is read by
// the same strict codec as in the data plane.

import Base
import HTTP1

/// A GET, HEAD or POST, and what its answer should be.
public struct HTTPExchange: Sendable {
    /// Whoever fills these in has checked them: they go out as they are.
    public var target = "/"
    public var host: String
    /// HEAD has no body to expect anything of.
    public var usesHead = false
    /// Makes it a POST.
    public var body: [UInt8]?
    /// Name and value. One of `User-Agent` takes the place of Weir's own.
    public var headers: [(name: String, value: String)] = []
    public var expectedStatuses: [ClosedRange<UInt16>] = [200...399]
    /// To be found in the body; empty for anything.
    public var expectedText: [UInt8] = []
    /// Within so many bytes of the body.
    public var expectedTextLimitBytes = 16 * 1024

    public init(host: String) { self.host = host }

    /// The request's bytes.
    public func request() -> [UInt8] {
        let method = body != nil ? "POST" : usesHead ? "HEAD" : "GET"
        var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        if !headers.contains(where: { $0.name.lowercased() == "user-agent" }) {
            text += "User-Agent: weir-probe\r\n"
        }
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        if let body { text += "Content-Length: \(body.count)\r\n" }
        return Array((text + "Connection: close\r\n\r\n").utf8) + (body ?? [])
    }

    /// Pure: what the bytes so far mean.
    public func judge(_ octets: UnsafeBufferPointer<UInt8>, _ hasEnded: Bool) -> Verdict {
        readHTTPAnswer(octets, hasEnded: hasEnded, isToHead: usesHead) { reading in
            switch reading {
            case .needsMore: return .needsMore
            case .refused(let refusal): return .unexpected("no proper HTTP/1.1: \(refusal.reason)")
            case .answer(let status, let body, let isWhole):
                guard expectedStatuses.contains(where: { $0.contains(status) }) else {
                    return .unexpected("status \(status)")
                }
                let looked = body.prefix(expectedTextLimitBytes)
                if contains(looked, expectedText) { return .matched }
                let isOver = isWhole || looked.count == expectedTextLimitBytes
                return isOver ? .unexpected("body without the text: \(excerpt(looked))") : .needsMore
            }
        }
    }

    private func contains(_ octets: Slice<UnsafeBufferPointer<UInt8>>, _ wanted: [UInt8]) -> Bool {
        if wanted.isEmpty { return true }
        guard octets.count >= wanted.count else { return false }
        return (octets.startIndex...octets.endIndex - wanted.count).contains { start in
            octets[start] == wanted[0] && octets[start..<start + wanted.count].elementsEqual(wanted)
        }
    }
}

extension Probe {
    /// Asks over HTTP/1.1 on a connection of its own.
    public static func http(
        _ exchange: HTTPExchange, to address: SocketAddress, timeoutNanoseconds: UInt64
    ) -> Probe {
        Probe(
            to: address, sending: exchange.request(), judge: exchange.judge,
            timeoutNanoseconds: timeoutNanoseconds)
    }
}
