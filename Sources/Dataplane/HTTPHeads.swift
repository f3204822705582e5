// Writes heads anew: for the backend with what it is to know of the client, for the client with what the route
// says. What is for one connection only was marked by the parser and is left out.

import Configuration
import HTTP1
import Ring
import Routing
import Telemetry

/// Fields of a request that Weir has a word of its own about.
private struct SeenFields {
    var forwardedFor = false
    var forwardedProto: HeadRange?
    var forwardedHost: HeadRange?
    var forwardedPort: HeadRange?
    var forwarded = false
    var via = false
    var requestID: HeadRange?
    /// The peer's forwarding fields are believed.
    var trusts = false
}

extension Worker {
    // MARK: Requests

    mutating func writeRequest(
        _ writer: inout HeadWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>, _ octets: UnsafePointer<UInt8>, _ head: RequestHead,
        _ route: UnsafePointer<RoutePlan>?
    ) {
        let plan = httpPlan(session)
        writeRequestLine(&writer, plan, octets, head, route)
        // First, as RFC 9110, section 7.2, wishes; empty for HTTP/1.0 without a host.
        if isOurs("host", plan, route) {
            writer.append("Host: ")
            writer.append(octets, head.authority.range)
            writer.appendLineEnd()
        }
        let seen = writeKeptFields(&writer, plan, session, octets, head, route)
        if plan.pointee.forwarded.xForwarded != .off {
            writeXForwarded(&writer, plan, session, octets, head, seen, route)
        }
        if plan.pointee.forwarded.forwarded != .off, isOurs("forwarded", plan, route) {
            writeForwarded(&writer, plan, session, octets, head, seen)
        }
        if isOurs("via", plan, route) { writeVia(&writer, plan, octets, Int(head.fieldCount), seen.via) }
        settleRequestID(&writer, plan, session, exchange, octets, seen, route)
        if case .chunked = head.framing { writer.append(field: "Transfer-Encoding", "chunked") }
        if head.acceptsTrailers { writer.append(field: "TE", "trailers") }
        if exchange.pointee.wantsUpgrade {
            writer.append(field: "Connection", head.acceptsTrailers ? "upgrade, te" : "upgrade")
        } else if head.acceptsTrailers {
            writer.append(field: "Connection", "te")
        }
        if let route, !route.pointee.requestEdits.isEmpty {
            let router = plan.pointee.router
            writeFields(&writer, router.writtenFields(route.pointee.requestEdits), router)
        }
        writer.appendLineEnd()
    }

    /// False where the route sets or removes a field that Weir would write.
    @inline(__always)
    private func isOurs(
        _ name: StaticString, _ plan: UnsafePointer<HTTPPlan>, _ route: UnsafePointer<RoutePlan>?
    ) -> Bool {
        guard let route, !route.pointee.requestEdits.isEmpty else { return true }
        let bytes = ByteView(name.utf8Start, name.utf8CodeUnitCount)
        return !plan.pointee.router.drops(bytes, route.pointee.requestEdits)
    }

    private func writeRequestLine(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ octets: UnsafePointer<UInt8>,
        _ head: RequestHead, _ route: UnsafePointer<RoutePlan>?
    ) {
        guard let route, route.pointee.rewritesPath else {
            writer.appendRequestLine(octets, head)
            return
        }
        let view = RequestView(head, base: octets, fields: http.fields)
        let path = plan.pointee.router.rewrite(view, by: route)
        writer.append(octets, head.methodRange)
        writer.append(" ")
        writer.append(path.prefix.start, count: path.prefix.count)
        writer.append(path.rest.start, count: path.rest.count)
        if let query = head.target.query {
            writer.append("?")
            writer.append(octets, query)
        }
        writer.append(" HTTP/1.1\r\n")
    }

    /// The fields that go on as they are; answers what of the others there was.
    private func writeKeptFields(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ session: UnsafeMutablePointer<Session>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead, _ route: UnsafePointer<RoutePlan>?
    ) -> SeenFields {
        let settings = plan.pointee.forwarded
        var seen = SeenFields()
        seen.trusts = settings.trusts(session.pointee.client)
        let wantsUpgrade = exchange(session).pointee.wantsUpgrade
        let namesRequestID = settings.requestID.count > 0
        for index in 0..<Int(head.fieldCount) {
            let field = http.fields[index]
            if field.isDropped { continue }
            switch field.name {
            case .host: continue
            case .upgrade where !wantsUpgrade: continue
            case .xForwardedFor where settings.xForwarded != .off:
                seen.forwardedFor = true
                continue
            case .xForwardedProto where settings.xForwarded != .off:
                seen.forwardedProto = field.valueRange
                continue
            case .xForwardedHost where settings.xForwarded != .off:
                seen.forwardedHost = field.valueRange
                continue
            case .xForwardedPort where settings.xForwarded != .off:
                seen.forwardedPort = field.valueRange
                continue
            case .forwarded where settings.forwarded != .off:
                seen.forwarded = true
                continue
            case .via where settings.via.count > 0:
                seen.via = true
                continue
            case .xRequestID, .other:
                if namesRequestID, isNamed(field, octets, settings.requestID), field.valueCount > 0 {
                    seen.requestID = field.valueRange
                }
            default: break
            }
            if let route, !route.pointee.requestEdits.isEmpty,
                plan.pointee.router.drops(
                    ByteView(octets + Int(field.nameOffset), Int(field.nameCount)), route.pointee.requestEdits
                )
            {
                continue
            }
            writer.append(octets, field)
        }
        return seen
    }

    /// Whether a field has the name, which is in lower case.
    private func isNamed(
        _ field: Field, _ octets: UnsafePointer<UInt8>, _ name: UnsafeRawBufferPointer
    ) -> Bool {
        guard Int(field.nameCount) == name.count else { return false }
        for index in 0..<name.count {
            let octet = octets[Int(field.nameOffset) + index]
            let lowered = octet &- 0x41 < 26 ? octet | 0x20 : octet
            if lowered != name[index] { return false }
        }
        return true
    }

    // MARK: What the backend is told of the client

    private func writeXForwarded(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ session: UnsafeMutablePointer<Session>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead, _ seen: SeenFields,
        _ route: UnsafePointer<RoutePlan>?
    ) {
        let keeps = plan.pointee.forwarded.xForwarded == .append && seen.trusts
        if isOurs("x-forwarded-for", plan, route) {
            writer.append("X-Forwarded-For: ")
            if keeps, seen.forwardedFor {
                writeValues(of: .xForwardedFor, &writer, octets, Int(head.fieldCount))
            }
            session.pointee.client.write(to: &writer)
            writer.appendLineEnd()
        }
        if isOurs("x-forwarded-proto", plan, route) {
            writer.append("X-Forwarded-Proto: ")
            writeOne(&writer, octets, keeps ? seen.forwardedProto : nil, "http")
            writer.appendLineEnd()
        }
        let host = (keeps ? seen.forwardedHost : nil) ?? head.authority.range
        if !host.isEmpty, isOurs("x-forwarded-host", plan, route) {
            writer.append("X-Forwarded-Host: ")
            writer.append(octets, host)
            writer.appendLineEnd()
        }
        if isOurs("x-forwarded-port", plan, route) {
            writer.append("X-Forwarded-Port: ")
            if keeps, let port = seen.forwardedPort {
                writer.append(octets, port)
            } else {
                writer.append(decimal: UInt64(session.pointee.localPort))
            }
            writer.appendLineEnd()
        }
    }

    private func writeOne(
        _ writer: inout HeadWriter, _ octets: UnsafePointer<UInt8>, _ value: HeadRange?, _ own: StaticString
    ) {
        if let value { writer.append(octets, value) } else { writer.append(own) }
    }

    /// RFC 7239. IPv6 addresses are quoted (section 6).
    private func writeForwarded(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ session: UnsafeMutablePointer<Session>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead, _ seen: SeenFields
    ) {
        writer.append("Forwarded: ")
        if plan.pointee.forwarded.forwarded == .append, seen.trusts, seen.forwarded {
            writeValues(of: .forwarded, &writer, octets, Int(head.fieldCount))
        }
        writer.append("for=")
        if session.pointee.client.family == .ipv6 {
            writer.append("\"[")
            session.pointee.client.write(to: &writer)
            writer.append("]\"")
        } else {
            session.pointee.client.write(to: &writer)
        }
        if !head.authority.range.isEmpty {
            writer.append(";host=\"")
            writer.append(octets, head.authority.range)
            writer.append("\"")
        }
        writer.append(";proto=http\r\n")
    }

    /// The values of all fields of a name, with a comma behind each.
    private func writeValues(
        of name: FieldName, _ writer: inout HeadWriter, _ octets: UnsafePointer<UInt8>, _ count: Int
    ) {
        for index in 0..<count where http.fields[index].name == name && http.fields[index].valueCount > 0 {
            writer.append(octets, http.fields[index].valueRange)
            writer.append(", ")
        }
    }

    /// RFC 9110, section 7.6.3.
    private func writeVia(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ octets: UnsafePointer<UInt8>,
        _ count: Int,
        _ isThere: Bool
    ) {
        let name = plan.pointee.forwarded.via
        guard let start = name.baseAddress, name.count > 0 else { return }
        writer.append("Via: ")
        if isThere { writeValues(of: .via, &writer, octets, count) }
        writer.append("1.1 ")
        writer.append(start.assumingMemoryBound(to: UInt8.self), count: name.count)
        writer.appendLineEnd()
    }

    /// The request has an id afterwards, in the head and for the log: its own, or one of ours.
    private func settleRequestID(
        _ writer: inout HeadWriter, _ plan: UnsafePointer<HTTPPlan>, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>, _ octets: UnsafePointer<UInt8>, _ seen: SeenFields,
        _ route: UnsafePointer<RoutePlan>?
    ) {
        let name = plan.pointee.forwarded.requestID
        guard let start = name.baseAddress, name.count > 0 else { return }
        let memory = http.text(of: session.pointee.exchange)
        if let range = seen.requestID {
            exchange.pointee.text.keep(.requestID, octets + range.start, Int(range.count), in: memory)
            return
        }
        let text = exchange.pointee.text.keep(identifier: exchange.pointee.identifier, in: memory)
        if drops(name, plan, route) { return }
        writer.append(start.assumingMemoryBound(to: UInt8.self), count: name.count)
        writer.append(": ")
        writer.append(text, count: ExchangeText.identifierBytes)
        writer.appendLineEnd()
    }

    /// The route sets or removes the field.
    private func drops(
        _ name: UnsafeRawBufferPointer, _ plan: UnsafePointer<HTTPPlan>, _ route: UnsafePointer<RoutePlan>?
    ) -> Bool {
        guard let route, !route.pointee.requestEdits.isEmpty, let start = name.baseAddress else {
            return false
        }
        let bytes = ByteView(start.assumingMemoryBound(to: UInt8.self), name.count)
        return plan.pointee.router.drops(bytes, route.pointee.requestEdits)
    }

    // MARK: Responses

    func writeResponse(
        _ writer: inout HeadWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>, _ octets: UnsafePointer<UInt8>, _ head: ResponseHead
    ) {
        writer.appendStatusLine(octets, head)
        let plan = httpPlan(session)
        let number = exchange.pointee.route
        let route = number == Exchange.noRoute ? nil : plan.pointee.router.plan(Int(number))
        if let route, !route.pointee.responseEdits.isEmpty {
            let router = plan.pointee.router
            for index in 0..<Int(head.fieldCount) {
                let field = http.fields[index]
                let name = ByteView(octets + Int(field.nameOffset), Int(field.nameCount))
                if field.isDropped || router.drops(name, route.pointee.responseEdits) { continue }
                writer.append(octets, field)
            }
            writeFields(&writer, router.writtenFields(route.pointee.responseEdits), router)
        } else {
            writer.appendFields(octets, http.fields, count: head.fieldCount)
        }
        if head.isInterim {
            writer.appendLineEnd()
            return
        }
        writeAffinityCookie(&writer, session, exchange)
        if exchange.pointee.response.phase == .body, exchange.pointee.response.mode != .identity,
            exchange.pointee.response.framing != .length
        {
            writer.append(field: "Transfer-Encoding", "chunked")
        }
        if head.status == 101 || head.keepsUpgrade, exchange.pointee.isPersistent || head.status == 101 {
            writer.append(field: "Connection", "upgrade")
        } else if !exchange.pointee.isPersistent {
            writer.append(field: "Connection", "close")
        } else if exchange.pointee.minorVersion == 0 {
            writer.append(field: "Connection", "keep-alive")
        }
        writer.appendLineEnd()
    }

    /// What a route adds.
    func writeFields(
        _ writer: inout HeadWriter, _ fields: UnsafeBufferPointer<WrittenField>, _ router: Router
    ) {
        for index in 0..<fields.count {
            let name = router.bytes(fields[index].name)
            let value = router.bytes(fields[index].value)
            writer.append(name.start, count: name.count)
            writer.append(": ")
            writer.append(value.start, count: value.count)
            writer.appendLineEnd()
        }
    }
}

extension ClientAddress {
    /// Without the port; IPv6 without brackets (RFC 5952). `unknown` as in RFC 7239, section 6.2.
    func write(to writer: inout HeadWriter) {
        switch family {
        case .ipv4: writer.append(ipv4: UInt32(truncatingIfNeeded: low))
        case .ipv6: writeIPv6(to: &writer)
        case .unix, .unknown: writer.append("unknown")
        }
    }

    private func writeIPv6(to writer: inout HeadWriter) {
        let (gapStart, gapEnd) = longestZeros
        var index = 0
        while index < 8 {
            if index == gapStart {
                writer.append("::")
                index = gapEnd
                continue
            }
            writer.append(hexadecimal: group(index))
            index += 1
            if index < 8, index != gapStart { writer.append(":") }
        }
    }

    private func group(_ index: Int) -> UInt64 {
        let half = index < 4 ? high : low
        return half >> UInt64(48 - 16 * (index & 3)) & 0xFFFF
    }

    /// The longest run of at least two groups of zeros; the first of equals.
    private var longestZeros: (start: Int, end: Int) {
        var best = (start: -1, end: -1)
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, group(end) == 0 { end += 1 }
            if end - start > max(best.end - best.start, 1) { best = (start, end) }
            start = max(end, start + 1)
        }
        return best
    }
}
