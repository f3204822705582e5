// What the origin says of its load to whoever asks for `/load`, as `balance: prequal` of Weir does (docs/prequal.md):
// requests in flight, and what one takes now.

import Glibc
import HTTP1
import Ring

struct OriginLoad: BitwiseCopyable {
    /// Requests that are not answered, without those for the load.
    private(set) var inFlight = 0
    /// Of the answers so far, the last ones counting most.
    private var latencyNanoseconds = 0.0
    private var answeredAt: UInt64 = 0
    private static let newShare = 1.0 / 8

    mutating func begin() { inFlight += 1 }

    mutating func end() { inFlight -= 1 }

    mutating func answered(startedAt: UInt64, now: UInt64) {
        let took = Double(now &- startedAt)
        let before = latencyNanoseconds(now: now)
        latencyNanoseconds = before == 0 ? took : before + (took - before) * Self.newShare
        answeredAt = now
    }

    /// Who is spared because it was slow is tried again: what it took is forgotten by half a second.
    private func latencyNanoseconds(now: UInt64) -> Double {
        latencyNanoseconds * exp2(-Double(now &- answeredAt) / 1e9)
    }

    func latencyMicroseconds(now: UInt64) -> UInt64 { UInt64(latencyNanoseconds(now: now) / 1000) }
}

extension OriginWorker {
    /// Of an answer with the load.
    static let loadAnswerLimitBytes = 256

    /// Counts what an answer that is done with was for.
    mutating func settle(_ answer: OwedAnswer, isSent: Bool) {
        guard answer.kind != OriginResponses.interim, answer.kind != OriginResponses.load else { return }
        load.end()
        if isSent { load.answered(startedAt: answer.startedAt, now: now) }
    }

    /// Says what is so now, and closes.
    mutating func sendLoad(_ slot: UInt32) {
        let memory = loadAnswers + Int(slot) * Self.loadAnswerLimitBytes
        let (inFlight, latency) = (UInt64(max(load.inFlight, 0)), load.latencyMicroseconds(now: now))
        var body = HeadWriter(memory, capacity: Self.loadAnswerLimitBytes)
        Self.write(inFlight, latency, to: &body)
        var writer = HeadWriter(memory, capacity: Self.loadAnswerLimitBytes)
        writer.appendStatusLine(200, "OK")
        writer.append(field: "Content-Type", "application/json")
        writer.append(field: "Content-Length", UInt64(body.count))
        writer.append(field: "Connection", "close")
        writer.appendLineEnd()
        Self.write(inFlight, latency, to: &writer)
        let connection = connections[slot]
        connection.pointee.sendingCount = 1
        connection.pointee.sendingBytes = writer.count
        ring.send(
            connection.pointee.descriptor, memory, count: writer.count, token: submitting(.send, slot))
    }

    private static func write(_ inFlight: UInt64, _ latencyMicroseconds: UInt64, to writer: inout HeadWriter)
    {
        writer.append("{\"in_flight\": ")
        writer.append(decimal: inFlight)
        writer.append(", \"latency_us\": ")
        writer.append(decimal: latencyMicroseconds)
        writer.append("}\n")
    }
}
