// Each session is logged once, with a reason that can be true and counts that are. Checked against what the
// network saw, as records arrive and at the end of the world.

import Dataplane
import SimulatedKernel
import Telemetry

extension World {
    func check(record: LogRecord) {
        guard record.isWhole, let reason = reason(record.field("reason")) else {
            return fail("a line of the log is no record: \(record.text)")
        }
        recordedBytesIn += record.number("bytes_in") ?? 0
        recordedBytesOut += record.number("bytes_out") ?? 0
        recordedReasons[Int(reason.rawValue)] += 1
        if let ledger {
            check(http: record, reason, ledger)
            if let failure = ledger.failure { fail(failure) }
            return
        }
        if let cause = self.reason(record.field("cause")) { causes.insert(cause.rawValue) }
        guard let port = record.port("client"), port < UInt64(kernel.connectionCount) else {
            unknownRecords += 1
            return
        }
        let client = Int32(port)
        while facts.count <= Int(client) { facts.append(SessionFacts()) }
        facts[Int(client)].records += 1
        if facts[Int(client)].records > 1 { fail("connection \(client) is logged twice") }
        if reason == .rateLimited { facts[Int(client)].wasRateLimited = true }
        if let wrong = contradiction(record, reason, client) {
            fail("connection \(client) is logged with \(reason.name), but \(wrong): \(record.text)")
        }
    }

    private func reason(_ name: ArraySlice<UInt8>?) -> Reason? {
        guard let name else { return nil }
        for reason in Reason.allCases {
            let known = UnsafeBufferPointer(
                start: reason.name.utf8Start, count: reason.name.utf8CodeUnitCount)
            if name.elementsEqual(known) { return reason }
        }
        return nil
    }

    /// Why a record cannot be true; nil where it can.
    private func contradiction(_ record: LogRecord, _ reason: Reason, _ client: Int32) -> String? {
        let one = kernel.connection(client).pointee
        guard one.acceptedAt > 0 else { return "it was never accepted" }
        guard one.pair >= 0, facts[Int(client)].wasRelaying else {
            return contradictionUnpaired(record, reason, one, client)
        }
        let other = kernel.connection(one.pair).pointee
        let (bytesIn, bytesOut) = (record.number("bytes_in") ?? 0, record.number("bytes_out") ?? 0)
        if bytesOut != one.toPeer.written { return "the client was sent \(one.toPeer.written) bytes" }
        if bytesIn > one.toUs.read { return "only \(one.toUs.read) bytes came from the client" }
        if bytesIn < other.toPeer.written { return "the backend was sent \(other.toPeer.written) bytes" }
        switch reason {
        case .ok: return contradictionToEnd(one, other, bytesIn)
        case .clientReset:
            if !one.peerSentReset, !one.hadInjectedError { return "the client sent no reset" }
            if !other.lingersZero { return "the backend was not reset" }
            return lastWordsLost(from: one, to: other, client)
        case .backendReset:
            if !other.peerSentReset, !other.hadInjectedError { return "the backend sent no reset" }
            if !one.lingersZero { return "the client was not reset" }
            return lastWordsLost(from: other, to: one, client)
        case .idleTimeout:
            let idle = plan.configuration.listeners[Int(one.place)].timeouts.idleNanoseconds
            let quiet = kernel.now - facts[Int(client)].movedAt
            // What moved just now the worker may not know yet.
            let margin = 2 * plan.faults.delayNanoseconds + 2 * plan.faults.turnNanoseconds + 1_000_000
            if quiet > margin, quiet + margin < idle {
                return "bytes moved \(quiet) ns before, and \(idle) ns is the time"
            }
        case .shutdown: if !askedToStop { return "nobody asked for it" }
        case .backendRemoved:
            if !plan.operates { return "nobody removes backends" }
            if !one.lingersZero || !other.lingersZero { return "a side was not reset" }
        default: return "it was relayed"
        }
        return nil
    }

    /// What a side sent before it was gone must be with the other one before that is reset, unless that one is
    /// gone as well or takes nothing for long.
    private func lastWordsLost(from source: Connection, to destination: Connection, _ client: Int32)
        -> String?
    {
        if destination.resetReachedUs || destination.peerSentReset { return nil }
        if source.hadInjectedError || destination.hadInjectedError { return nil }
        let idle = plan.configuration.listeners[Int(kernel.connection(client).pointee.place)].timeouts
            .idleNanoseconds
        let quiet = kernel.now - facts[Int(client)].movedAt
        if quiet + 1_000_000 >= min(idle, Self.lastWordsNanoseconds) { return nil }
        if source.toUs.unread > 0 { return "\(source.toUs.unread) bytes of its last words were not read" }
        let held = source.toUs.read - destination.toPeer.written
        if held > 0 { return "\(held) bytes of its last words were not passed on" }
        if destination.toPeer.arrived < destination.toPeer.written {
            return "the reset overtakes \(destination.toPeer.written - destination.toPeer.arrived) bytes"
        }
        return nil
    }

    private static var lastWordsNanoseconds: UInt64 { 30_000_000_000 }

    /// A clean end: both sides said that they are done, and everything went over.
    private func contradictionToEnd(_ one: Connection, _ other: Connection, _ bytesIn: UInt64) -> String? {
        for (source, destination) in [(one, other), (other, one)] {
            if !source.toUs.hasEndArrived { return "a side has not ended" }
            if source.toUs.read != source.toUs.written { return "bytes were not read" }
            if destination.toPeer.written != source.toUs.read { return "bytes were not passed on" }
        }
        return bytesIn == one.toUs.read ? nil : "\(one.toUs.read) bytes came from the client"
    }

    private func contradictionUnpaired(
        _ record: LogRecord, _ reason: Reason, _ one: Connection, _ client: Int32
    ) -> String? {
        if (record.number("bytes_in") ?? 0) + (record.number("bytes_out") ?? 0) > 0 { return "nothing moved" }
        let listener = plan.configuration.listeners[Int(one.place)]
        switch reason {
        case .noBackend: return nil
        case .pendingTimeout:
            // Its pool is the one that it was to go to last.
            let pool = plan.configuration.pools.first { $0.name == listener.pool }
            return (pool?.breaker.maxPending ?? 0) == 0 ? "nobody waits for a place there" : nil
        case .clientLimit: return listener.limits.sessionsPerClient == nil ? "there is no limit" : nil
        case .clientReset:
            return one.resetReachedUs || one.hadInjectedError ? nil : "the client sent no reset"
        case .denied, .rateLimited: return contradiction(toRefusing: client, reason)
        case .outOfDescriptors:
            return kernel.socketsRefused == 0 ? "descriptors were there" : nil
        case .shutdown: return askedToStop ? nil : "nobody asked for it"
        default: return "it was never relayed"
        }
    }

    // MARK: At the end

    /// What must hold once the worker is gone and everything on its way has arrived.
    func checkAtEnd(_ counters: borrowing CounterTable) {
        let accepted = counters[.accepted]
        if accepted + counters[.refused] != kernel.acceptedCount {
            fail("\(kernel.acceptedCount) connections were accepted, \(accepted) are counted")
        }
        if counters[.refused] > 0, !askedToStop, plan.slots > clients.count {
            fail("a client was turned away that had been accepted")
        }
        if counters[.finished] != accepted { fail("a session did not finish") }
        if counters[.connects] != kernel.connectCount + kernel.socketFailureCount {
            fail("connects are counted \(counters[.connects]), there were \(kernel.connectCount)")
        }
        if counters[.staleCompletions] > 0 { fail("a completion came for nobody, or a close failed") }
        // The two logs and the event counter are the world's.
        if kernel.openDescriptors != 3 {
            fail("descriptors are left open:\(kernel.describeOpenDescriptors())")
        }
        checkRateLimits()
        if let ledger {
            checkHTTPRecordsAtEnd(counters, ledger)
            checkAnswers(ledger)
            checkTriesAtEnd(overBudget: counters[.retriesOverBudget], ledger)
            checkConnectionsAtEnd()
            return
        }
        checkRecordsAtEnd(counters)
        for client in clients { checkDelivery(client) }
    }

    private func checkRecordsAtEnd(_ counters: borrowing CounterTable) {
        guard plan.logsAccess, counters[.logDropped] == 0, plan.configuration.logs.successSampleShare == 1
        else { return }
        let recorded = recordedReasons.reduce(0, +)
        if recorded != counters[.finished] { fail("\(counters[.finished]) sessions, \(recorded) records") }
        for reason in Reason.allCases
        where counters[reason: Int(reason.rawValue)] != recordedReasons[Int(reason.rawValue)] {
            fail("\(reason.name) is counted \(counters[reason: Int(reason.rawValue)]) times")
        }
        if counters[.bytesIn] != recordedBytesIn || counters[.bytesOut] != recordedBytesOut {
            fail("the counters' bytes are not the records' sum")
        }
    }

    /// What was sent without a reset reaches a peer that listens.
    private func checkDelivery(_ client: Int32) {
        let one = kernel.connection(client).pointee
        for connection in [one] + (one.pair >= 0 ? [kernel.connection(one.pair).pointee] : []) {
            if connection.weSentReset || connection.peerSentReset || connection.isPeerClosed { continue }
            guard connection.state == .established else { continue }
            if !connection.isOurEndClosed { fail("a connection was never closed") }
            if connection.toPeer.arrived != connection.toPeer.written || !connection.toPeer.hasEndArrived {
                fail("a peer was not told the end")
            }
        }
    }
}
