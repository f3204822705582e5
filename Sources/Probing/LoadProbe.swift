// The probe that asks a backend for its load, for `balance: prequal`. docs/prequal.md defines the answer: a JSON object
// with the numbers `in_flight` and `latency_us`.

import Base
import HTTP1

/// What a backend says of its load.
public struct BackendLoad: Equatable, Sendable {
    /// Requests that it works on, without the probe.
    public var inFlight: Int
    /// What a request takes now.
    public var latencyMicroseconds: UInt32

    public init(inFlight: Int, latencyMicroseconds: UInt32) {
        self.inFlight = inFlight
        self.latencyMicroseconds = latencyMicroseconds
    }

    /// nil where the two numbers are not there. Whatever else the object has is passed over; fractions are cut.
    init?(body: UnsafeBufferPointer<UInt8>) {
        guard let inFlight = number("\"in_flight\"", in: body),
            let latency = number("\"latency_us\"", in: body)
        else { return nil }
        self.init(inFlight: Int(clamping: inFlight), latencyMicroseconds: UInt32(clamping: latency))
    }

    /// Out of the answer that a load probe kept; nil where it did not end with `ok`.
    public init?(answer: [UInt8]) {
        let found = answer.withUnsafeBufferPointer { octets in
            readHTTPAnswer(octets, hasEnded: true, isToHead: false) { reading -> BackendLoad? in
                guard case .answer(200, let body, _) = reading else { return nil }
                return BackendLoad(body: body)
            }
        }
        guard let found else { return nil }
        self = found
    }
}

extension Probe {
    /// Asks for `target`; its result keeps the answer for `BackendLoad`. Closes with a reset, because there may be
    /// hundreds a second.
    public static func load(
        target: String, host: String, to address: SocketAddress, timeoutNanoseconds: UInt64
    ) -> Probe {
        var exchange = HTTPExchange(host: host)
        exchange.target = target
        return Probe(
            to: address, sending: exchange.request(), judge: judgeLoad,
            timeoutNanoseconds: timeoutNanoseconds,
            closesWithReset: true, keepsAnswer: true)
    }
}

@Sendable
func judgeLoad(_ octets: UnsafeBufferPointer<UInt8>, _ hasEnded: Bool) -> Verdict {
    readHTTPAnswer(octets, hasEnded: hasEnded, isToHead: false) { reading in
        switch reading {
        case .needsMore: return .needsMore
        case .refused(let refusal): return .unexpected("no proper HTTP/1.1: \(refusal.reason)")
        case .answer(200, let body, let isWhole):
            if !isWhole { return .needsMore }
            return BackendLoad(body: body) == nil
                ? .unexpected("body without in_flight and latency_us: \(excerpt(body))") : .matched
        case .answer(let status, _, _): return .unexpected("status \(status)")
        }
    }
}

/// The whole number behind `key` and a colon; nil where there is none.
private func number(_ key: String, in body: UnsafeBufferPointer<UInt8>) -> UInt64? {
    let key = Array(key.utf8)
    guard body.count > key.count else { return nil }
    for start in 0..<body.count - key.count
    where body[start] == key[0] && body[start..<start + key.count].elementsEqual(key) {
        var rest = body[(start + key.count)...].drop(while: isBlank)
        guard rest.popFirst() == UInt8(ascii: ":") else { continue }
        let digits = rest.drop(while: isBlank).prefix { (0x30...0x39).contains($0) }
        if digits.isEmpty { continue }
        // What is too much for a number is much.
        return digits.count > 18 ? UInt64.max : digits.reduce(0) { $0 * 10 + UInt64($1 - 0x30) }
    }
    return nil
}

private func isBlank(_ octet: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(octet) }
