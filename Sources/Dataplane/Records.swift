// What a worker writes down: one access record for each session, and events (pauses, losses).

import Base
import Glibc
import Ring
import Telemetry

extension Worker {
    // MARK: The access log

    mutating func record(_ session: UnsafeMutablePointer<Session>) {
        guard accessLog.isOn else { return }
        if session.pointee.reason == .ok, epoch.pointee.snapshot.successSampleShare < 1,
            random.nextUnit() >= epoch.pointee.snapshot.successSampleShare
        {
            return
        }
        guard let memory = accessLog.buffer.reserve() else { return }
        let listener = listenerPlan(session)
        let pool = session.pointee.pool.pointee.plan
        var record = RecordWriter(
            into: memory, capacity: LogBuffer.recordLimitBytes, format: accessLog.sink.format)
        record.time("time", timeOfDay())
        record.identifier("id", session.pointee.identifier)
        record.text("listener", listener.pointee.name)
        record.word("mode", listener.pointee.http == nil ? "tcp" : "http")
        session.pointee.client.write("client", to: &record)
        record.text("pool", pool.pointee.name)
        if session.pointee.attempts > 0 {
            record.text("backend", (pool.pointee.backends + Int(session.pointee.backend)).pointee.name)
        }
        record.number("attempts", UInt64(session.pointee.attempts))
        writePick(&record, session)
        record.word("reason", session.pointee.reason.name)
        if session.pointee.connectFailure != .ok {
            record.word("cause", session.pointee.connectFailure.name)
        }
        record.number("bytes_in", session.pointee.toBackend.received)
        record.number("bytes_out", session.pointee.toClient.delivered)
        writeDurations(
            &record, session, startedAt: session.pointee.acceptedAt, firstByteAt: session.pointee.firstByteAt)
        accessLog.buffer.commit(bytes: record.finish())
    }

    /// `startedAt` is when the session was accepted, or its request began.
    func writeDurations(
        _ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>, startedAt: UInt64,
        firstByteAt: UInt64
    ) {
        if session.pointee.waitedMicroseconds > 0 {
            record.number("wait_us", UInt64(session.pointee.waitedMicroseconds))
        }
        if session.pointee.connectedAt != 0 {
            record.number(
                "connect_us", (session.pointee.connectedAt &- session.pointee.connectStartedAt) / 1000)
        }
        if firstByteAt != 0 { record.number("first_byte_us", (firstByteAt &- startedAt) / 1000) }
        record.number("total_us", (now &- startedAt) / 1000)
    }

    /// Nanoseconds since 1970, stepped with the worker's clock and set right once a second.
    mutating func timeOfDay() -> UInt64 {
        if now &- wallClockReadAt >= 1_000_000_000 {
            wallClockReadAt = now
            wallClockOffset = Self.wallClockOffset(settings.port)
        }
        return now &+ wallClockOffset
    }

    /// Both clocks are read here, one right after the other: `now` is as old as the turn, and older where the thread had
    /// to wait for a core. Records would be dated ahead by that, and the next ones before them.
    static func wallClockOffset(_ port: KernelPort) -> UInt64 {
        let now = port.monotonicNow(port.context)
        return port.wallClockNow(port.context) &- now
    }

    // MARK: Events

    mutating func reportPause(_ acceptor: Int, _ cause: PauseCause) {
        shared.pointee.unreportedPauses.wrappingAdd(1, ordering: .relaxed)
        let due = shared.pointee.nextPauseReportAt.load(ordering: .relaxed)
        guard now >= due, let memory = beginEvent() else { return }
        let exchange = shared.pointee.nextPauseReportAt.compareExchange(
            expected: due, desired: now + 1_000_000_000, ordering: .relaxed)
        // Another worker reports.
        guard exchange.exchanged else { return }
        var record = eventRecord(
            memory, level: cause.isFailure ? "error" : "warning", event: "accept_paused")
        record.text(
            "listener", epoch.pointee.snapshot.listener(acceptors[acceptor].socket.listener).pointee.name)
        record.word("cause", cause.text)
        record.number("sessions", UInt64(max(shared.pointee.sessionCount, 0)))
        record.number("pauses", shared.pointee.unreportedPauses.exchange(0, ordering: .relaxed))
        eventLog.buffer.commit(bytes: record.finish())
    }

    mutating func reportDrops() {
        lastDropReportAt = now
        let access = accessLog.unreported
        let events = eventLog.unreported
        guard access + events > 0, let memory = beginEvent() else { return }
        accessLog.unreported = 0
        eventLog.unreported = 0
        var record = eventRecord(memory, level: "error", event: "log_dropped")
        record.number("access_records", access)
        record.number("event_records", events)
        switch max(accessLog.buffer.lastError, eventLog.buffer.lastError) {
        case 0: record.word("cause", "the reader of the log is too slow")
        case ENOSPC: record.word("cause", "no space left on the log's disk")
        case EPIPE: record.word("cause", "the reader of the log is gone")
        case let code: record.number("errno", UInt64(code))
        }
        eventLog.buffer.commit(bytes: record.finish())
    }

    private mutating func beginEvent() -> UnsafeMutableRawPointer? {
        eventLog.isOn ? eventLog.buffer.reserve() : nil
    }

    private mutating func eventRecord(
        _ memory: UnsafeMutableRawPointer, level: StaticString, event: StaticString
    ) -> RecordWriter {
        var record = RecordWriter(
            into: memory, capacity: LogBuffer.recordLimitBytes, format: eventLog.sink.format)
        record.time("time", timeOfDay())
        record.word("level", level)
        record.word("event", event)
        record.number("worker", UInt64(settings.index))
        return record
    }

    // MARK: Writing

    /// At the end of a turn: what was recorded goes out, unless the last write is still in the kernel.
    mutating func writeLogs() {
        let accessWaits = accessLog.write(
            through: ring, counting: counters, now: now, mayWait: command == .run)
        if accessWaits { wakeForLog() }
        _ = eventLog.write(through: ring, counting: counters, now: now, mayWait: false)
        if accessLog.unreported + eventLog.unreported > 0 { scheduleDropReport() }
    }

    mutating func logWritten(_ completion: Completion) {
        if completion.token.slot == 0 {
            accessLog.written(completion.result, ring: ring)
        } else {
            eventLog.written(completion.result, ring: ring)
        }
    }

    mutating func logReady(_ completion: Completion) {
        if completion.token.slot == 0 { accessLog.isPolling = false } else { eventLog.isPolling = false }
    }
}
