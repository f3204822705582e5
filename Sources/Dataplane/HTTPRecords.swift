// The access record of a request, in the order and words of docs/logs.md.

import Base
import HTTP1
import Ring
import Telemetry

extension Worker {
    mutating func recordExchange(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        guard accessLog.isOn else { return }
        if exchange.pointee.reason == .ok, exchange.pointee.status < 500,
            epoch.pointee.snapshot.successSampleShare < 1,
            random.nextUnit() >= epoch.pointee.snapshot.successSampleShare
        {
            return
        }
        guard let memory = accessLog.buffer.reserve() else { return }
        let listener = listenerPlan(session)
        var record = RecordWriter(
            into: memory, capacity: LogBuffer.recordLimitBytes, format: accessLog.sink.format)
        record.time("time", timeOfDay())
        record.identifier("id", exchange.pointee.identifier)
        record.text("listener", listener.pointee.name)
        record.word("mode", "http")
        session.pointee.client.write("client", to: &record)
        writeRequest(&record, session, exchange)
        if exchange.pointee.route != Exchange.noRoute {
            record.number("route", UInt64(exchange.pointee.route) + 1)
        }
        if session.pointee.attempts > 0 || exchange.pointee.reason == .noBackend {
            writeBackend(&record, session, exchange)
        }
        record.word("reason", exchange.pointee.reason.name)
        writeCause(&record, session, exchange)
        if exchange.pointee.isUpgraded { record.flag("upgraded") }
        var bytesIn = exchange.pointee.bytesIn
        if exchange.pointee.isUpgraded {
            bytesIn += session.pointee.toBackend.received - exchange.pointee.bytesInBefore
        }
        record.number("bytes_in", bytesIn)
        record.number("bytes_out", session.pointee.toClient.delivered - exchange.pointee.bytesOutBefore)
        writeDurations(
            &record, session, startedAt: exchange.pointee.startedAt, firstByteAt: exchange.pointee.firstByteAt
        )
        accessLog.buffer.commit(bytes: record.finish())
    }

    private func writeRequest(
        _ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let memory = UnsafeRawPointer(http.text(of: session.pointee.exchange))
        let text = exchange.pointee.text
        if text.bytes(.method, in: memory).count > 0 {
            record.text("method", text.bytes(.method, in: memory))
            record.text("host", text.bytes(.host, in: memory))
            record.text("path", text.bytes(.path, in: memory))
            record.word("protocol", exchange.pointee.minorVersion == 0 ? "HTTP/1.0" : "HTTP/1.1")
        }
        if exchange.pointee.status != 0 { record.number("status", UInt64(exchange.pointee.status)) }
        if text.bytes(.userAgent, in: memory).count > 0 {
            record.text("user_agent", text.bytes(.userAgent, in: memory))
        }
        if text.bytes(.requestID, in: memory).count > 0 {
            record.text("request_id", text.bytes(.requestID, in: memory))
        }
        if text.bytes(.traceparent, in: memory).count > 0 {
            record.text("traceparent", text.bytes(.traceparent, in: memory))
        }
    }

    private func writeBackend(
        _ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let pool = session.pointee.pool.pointee.plan
        record.text("pool", pool.pointee.name)
        if session.pointee.attempts > 0 {
            record.text("backend", (pool.pointee.backends + Int(session.pointee.backend)).pointee.name)
            record.number("attempts", UInt64(session.pointee.attempts))
        }
        if let failure = exchange.pointee.lastFailure { record.word("retried", failure.name) }
        if exchange.pointee.hedging == .won { record.word("hedged", "won") }
        if exchange.pointee.hedging == .lost { record.word("hedged", "lost") }
        writePick(&record, session)
    }

    private func writeCause(
        _ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        if exchange.pointee.refusal > 0, let refusal = Refusal(rawValue: exchange.pointee.refusal - 1) {
            record.word("cause", refusal.reason)
        } else if session.pointee.connectFailure != .ok {
            record.word("cause", session.pointee.connectFailure.name)
        }
    }
}
