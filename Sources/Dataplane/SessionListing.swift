// A worker writes down what its sessions are doing, for whoever asked (SessionList.swift), between two completions. It
// looks at so many slots and writes so many bytes at most, so that nobody's bytes wait long for it; it changes nothing.

import Base
import Ring
import Telemetry

extension Worker {
    /// Slots that are looked at for one question.
    private static var slotsOfALook: UInt32 { 2048 }

    /// Answers where somebody asks.
    package func listSessions() {
        guard let list = settings.sessionList, list.isAsked else { return }
        let end = UInt32(sessions.highWater)
        var slot = min(list.firstSlot, end)
        let last = min(end - slot, Self.slotsOfALook) + slot
        var answer = SessionList.Answer()
        var written = 0
        while slot < last {
            if sessions.isLive(slot), isWanted(sessions[slot], list) {
                if written < list.wanted {
                    guard list.hasRoom(behind: answer.byteCount) else { break }
                    let bytes = describe(sessions[slot], list.place(behind: answer.byteCount))
                    answer.byteCount = list.keep(
                        behind: answer.byteCount, recordBytes: bytes,
                        acceptedAt: sessions[slot].pointee.acceptedAt)
                    written += 1
                }
                answer.matched += 1
            }
            slot += 1
        }
        answer.nextSlot = slot < end ? slot : nil
        list.answer(answer)
    }

    private func isWanted(_ session: UnsafeMutablePointer<Session>, _ list: SessionList) -> Bool {
        if let client = list.client, !client.contains(session.pointee.client) { return false }
        guard list.matches(.listener, listenerPlan(session).pointee.name) else { return false }
        guard list.asks(for: .pool) || list.asks(for: .backend) else { return true }
        guard hasPool(session), list.matches(.pool, session.pointee.pool.pointee.plan.pointee.name) else {
            return false
        }
        guard list.asks(for: .backend) else { return true }
        return hasBackend(session) && list.matches(.backend, backendPlan(session).pointee.name)
    }

    /// Between requests a session is for nobody.
    private func hasPool(_ session: UnsafeMutablePointer<Session>) -> Bool {
        listenerPlan(session).pointee.http == nil || session.pointee.exchange != Exchange.none
    }

    /// One is tried, or has it. Who waits for a place has none, whoever refused it.
    private func hasBackend(_ session: UnsafeMutablePointer<Session>) -> Bool {
        hasPool(session) && session.pointee.attempts > 0 && !session.pointee.isPending
    }

    private func backendPlan(_ session: UnsafeMutablePointer<Session>) -> UnsafePointer<BackendPlan> {
        session.pointee.pool.pointee.plan.pointee.backends + Int(session.pointee.backend)
    }

    /// Answers how many bytes it takes; 0 where it does not fit.
    private func describe(
        _ session: UnsafeMutablePointer<Session>, _ memory: UnsafeMutableRawPointer
    ) -> Int {
        let listener = listenerPlan(session)
        var record = RecordWriter(into: memory, capacity: SessionList.sessionLimitBytes, format: .json)
        record.identifier("id", session.pointee.identifier)
        record.number("worker", UInt64(settings.index))
        record.text("listener", listener.pointee.name)
        record.word("mode", listener.pointee.http == nil ? "tcp" : "http")
        session.pointee.client.write("client", to: &record)
        record.word("state", stateName(session))
        record.number("age_us", microseconds(since: session.pointee.acceptedAt))
        record.number("idle_us", microseconds(since: session.pointee.lastActivityAt))
        record.number("bytes_in", session.pointee.toBackend.received)
        record.number("bytes_out", session.pointee.toClient.delivered)
        if hasPool(session) { record.text("pool", session.pointee.pool.pointee.plan.pointee.name) }
        if hasBackend(session) {
            record.text("backend", backendPlan(session).pointee.name)
            record.text("address", backendPlan(session).pointee.addressText)
        }
        if listener.pointee.http != nil { record.number("requests", UInt64(session.pointee.requests)) }
        if session.pointee.exchange != Exchange.none { describeRequest(&record, session) }
        return record.finish()
    }

    private func describeRequest(_ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>) {
        let exchange = exchange(session)
        let memory = UnsafeRawPointer(http.text(of: session.pointee.exchange))
        let text = exchange.pointee.text
        record.beginObject("request")
        record.identifier("id", exchange.pointee.identifier)
        record.number("age_us", microseconds(since: exchange.pointee.startedAt))
        // One whose head could not be read has none.
        if text.bytes(.method, in: memory).count > 0 {
            record.text("method", text.bytes(.method, in: memory))
            record.text("host", text.bytes(.host, in: memory))
            record.text("path", text.bytes(.path, in: memory))
        }
        record.endObject()
    }

    private func microseconds(since time: UInt64) -> UInt64 { now > time ? (now - time) / 1000 : 0 }

    private func stateName(_ session: UnsafeMutablePointer<Session>) -> StaticString {
        switch session.pointee.state {
        case .awaiting: "awaiting_request"
        case .connecting: session.pointee.isPending ? "pending" : "connecting"
        case .relaying: isAwaitingAnswer(session) ? "awaiting_answer" : "relaying"
        case .lingering: "lingering"
        case .closing: "closing"
        }
    }

    /// The backend has the whole request, and has not begun to answer.
    private func isAwaitingAnswer(_ session: UnsafeMutablePointer<Session>) -> Bool {
        guard session.pointee.isHTTP, session.pointee.exchange != Exchange.none else { return false }
        let exchange = exchange(session)
        return exchange.pointee.requestSentAt != 0 && !exchange.pointee.hasAnswered
    }
}
