// The access log of http mode against what the network saw: a request is logged once, with the status that its
// client was sent and a reason that can be true.

import Dataplane
import SimulatedKernel
import Telemetry

extension World {
    func check(http record: LogRecord, _ reason: Reason, _ ledger: HTTPLedger) {
        // A client that was turned away asked nothing.
        if reason == .clientLimit { return }
        ledger.loggedRequests += 1
        guard let port = record.port("client"), port < UInt64(kernel.connectionCount) else {
            unknownRecords += 1
            return
        }
        let client = Int32(port)
        ledger.prepare(client)
        let one = kernel.connection(client).pointee
        ledger.taps[Int(client)].recordedBytesOut += record.number("bytes_out") ?? 0
        let status = Int(record.number("status") ?? 0)
        guard let request = request(of: record, client, ledger) else { return }
        let number = Int(request)
        ledger.requests[number].records += 1
        let facts = ledger.requests[number]
        if facts.client != client { return fail("request \(number) is logged for client \(client)") }
        if facts.records > 1 { return fail("request \(number) is logged twice") }
        if facts.status != 0, facts.status != status {
            return fail("request \(number) is logged with \(status), and was answered \(facts.status)")
        }
        if let wrong = contradiction(record, reason, status, facts, one, ledger) {
            fail("request \(number) is logged with \(reason.name), but \(wrong): \(record.text)")
        }
    }

    /// By its path; where the head was refused, it is the one whose turn it was.
    private func request(of record: LogRecord, _ client: Int32, _ ledger: HTTPLedger) -> Int32? {
        if let path = record.field("path") {
            let digits = path.dropFirst(3)
            let number = digits.reduce(Int32(0)) { $0 &* 10 &+ Int32($1) - 48 }
            guard path.starts(with: "/r/".utf8), ledger.requests.indices.contains(Int(number)) else {
                fail("a request is logged that nobody sent: \(record.text)")
                return nil
            }
            return number
        }
        let tap = ledger.taps[Int(client)]
        if let last = tap.requests.prefix(tap.ends.count).last, ledger.requests[Int(last)].records == 0,
            record.number("status") == UInt64(ledger.requests[Int(last)].status)
        {
            return last
        }
        return tap.requests.dropFirst(tap.ends.count).first
    }

    /// Why a record cannot be true; nil where it can.
    private func contradiction(
        _ record: LogRecord, _ reason: Reason, _ status: Int, _ facts: RequestFacts, _ one: Connection,
        _ ledger: HTTPLedger
    ) -> String? {
        let total = record.number("total_us") ?? 0
        let times = [record.number("connect_us"), record.number("first_byte_us"), record.number("wait_us")]
        if times.contains(where: { $0 ?? 0 > total }) { return "a part of it is longer than all" }
        // Whom it tried before its pool was another is not counted.
        if !plan.operates, record.number("attempts") ?? 0 < UInt64(facts.tries.backends.count) {
            return "there were more tries"
        }
        let hedged = record.field("hedged").map { String(decoding: $0, as: UTF8.self) }
        if let wrong = ledger.contradiction(toHedged: hedged, facts) { return wrong }
        if reason == .ok {
            // Where the end of the connection ends the answer, that comes after the record.
            let endsLater = ledger.taps[Int(facts.client)].reader.isUntilClose
            if !facts.isAnswered, !endsLater { return "the client was not sent all of the answer" }
            if facts.status == 0 { return "the client was sent no status" }
        }
        switch reason {
        case .ok:
            if facts.answer < 0 { return "no backend answered" }
            let isWhole = facts.wholeAt > 0 && facts.sightings.count == 1
            if isWhole, record.number("bytes_in") != UInt64(facts.end - facts.start) {
                return "the request had \(facts.end - facts.start) bytes"
            }
        case .denied, .rateLimited:
            if status != 0, status != (reason == .denied ? 403 : 429) { return "that is another status" }
            return contradiction(toRefusing: facts.client, reason)
        case .clientReset:
            if !one.peerSentReset, !one.hadInjectedError { return "the client sent no reset" }
        case .clientClosed:
            if !one.toUs.hasEndArrived, !one.isResetUntold { return "the client did not close" }
            if Int(one.toUs.read) >= facts.end { return "its request was whole" }
        case .badRequest:
            if facts.plan.illegality == nil, status != 431 { return "there is nothing wrong with it" }
        case .requestHeadTimeout, .requestBodyTimeout: if status != 408, status != 0 { return "not 408" }
        case .responseHeadTimeout: if status != 504, status != 0 { return "not 504" }
        case .noBackend, .connectRefused:
            if !plan.mayLackBackends { return "there are backends" }
        case .overloaded:
            if !plan.mayLackBuffers, !plan.mayLackBackends { return "nothing lacked" }
        case .shutdown: if !askedToStop { return "nobody asked for it" }
        case .backendRemoved: if !plan.operates { return "nobody removes backends" }
        case .backendClosed, .backendReset, .badResponse:
            if plan.isStrict { return "its backend was well" }
            if facts.isAnswered, status != 502 { return "the client was sent all of the answer" }
        default: break
        }
        return nil
    }

    func checkHTTPRecordsAtEnd(_ counters: borrowing CounterTable, _ ledger: HTTPLedger) {
        let statuses =
            counters[.responses1xx] + counters[.responses2xx] + counters[.responses3xx]
            + counters[.responses4xx] + counters[.responses5xx] + counters[.requestsUnanswered]
        if statuses != counters[.requests] { fail("requests are not the sum over their answers") }
        guard plan.logsAccess, counters[.logDropped] == 0, plan.configuration.logs.successSampleShare == 1
        else { return }
        if ledger.loggedRequests != counters[.requests] {
            fail("\(counters[.requests]) requests, \(ledger.loggedRequests) records")
        }
        guard unknownRecords == 0 else { return }
        for (index, tap) in ledger.taps.enumerated() {
            let connection = kernel.connection(Int32(index)).pointee
            if connection.role == .client, tap.recordedBytesOut != connection.toPeer.written {
                fail(
                    "client \(index) was sent \(connection.toPeer.written) bytes, the log has \(tap.recordedBytesOut)"
                )
            }
        }
        for request in ledger.requests where request.status != 0 && request.records == 0 {
            fail("request \(request.plan.number) was answered and is not logged")
        }
    }
}
