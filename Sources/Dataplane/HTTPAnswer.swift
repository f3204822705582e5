// Answers of Weir's own: refusals and failures, redirects and fixed responses of routes.

import Base
import HTTP1
import Ring
import Routing
import Telemetry

extension Worker {
    /// Answers a request that no backend answers. The log says why; the client learns the status only.
    mutating func answer(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ status: UInt16, _ reason: Reason,
        _ rateRefusal: RateRefusal? = nil
    ) {
        guard session.pointee.exchange != Exchange.none, let buffer = buffers.takeSpare() else {
            finish(slot, session, .overloaded)
            return
        }
        let exchange = exchange(session)
        exchange.pointee.reason = reason
        settleRequest(session, exchange)
        var writer = HeadWriter(
            buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self), capacity: buffers.bufferSizeBytes)
        let phrase = reasonPhrase(status)
        writer.appendStatusLine(status, phrase)
        if status == 405 { writer.append(field: "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH") }
        if status == 503 { writer.append(field: "Retry-After", "1") }
        if let rateRefusal { writeFields(of: rateRefusal, to: &writer) }
        let isJSON = exchange.pointee.prefersJSON
        writer.append(field: "Content-Type", isJSON ? "application/json" : "text/plain; charset=utf-8")
        writer.append(field: "Cache-Control", "no-store")
        let digits = 3
        let text = phrase.utf8CodeUnitCount
        writer.append(
            field: "Content-Length", UInt64(isJSON ? text + digits + 23 : text + digits + 2))
        endHead(&writer, exchange)
        if exchange.pointee.method != .head {
            if isJSON { writer.append("{\"status\":") }
            writer.append(decimal: UInt64(status))
            writer.append(isJSON ? ",\"error\":\"" : " ")
            writer.append(phrase)
            writer.append(isJSON ? "\"}\n" : "\n")
        }
        send(slot, session, exchange, buffer, writer.count, status)
    }

    /// Answers as a route says.
    mutating func answer(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, by route: UnsafePointer<RoutePlan>,
        _ router: Router, _ head: RequestHead, _ octets: UnsafePointer<UInt8>
    ) {
        guard let buffer = buffers.takeSpare() else {
            finish(slot, session, .overloaded)
            return
        }
        let exchange = exchange(session)
        var writer = HeadWriter(
            buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self), capacity: buffers.bufferSizeBytes)
        let status = route.pointee.status
        writer.appendStatusLine(status, reasonPhrase(status))
        let body = router.bytes(route.pointee.body)
        if route.pointee.action == .redirect {
            writer.append("Location: ")
            let location = router.bytes(route.pointee.location)
            writer.append(location.start, count: location.count)
            if route.pointee.keepsQuery, let query = head.target.query {
                writer.append("?")
                writer.append(octets, query)
            }
            writer.appendLineEnd()
        } else if body.count > 0 {
            let type = router.bytes(route.pointee.contentType)
            writer.append("Content-Type: ")
            writer.append(type.start, count: type.count)
            writer.appendLineEnd()
        }
        if status >= 200, status != 204 { writer.append(field: "Content-Length", UInt64(body.count)) }
        writeFields(&writer, router.writtenFields(route.pointee.responseEdits), router)
        consumeHead(session, head)
        settleRequest(session, exchange)
        endHead(&writer, exchange)
        if exchange.pointee.method != .head, status != 304 { writer.append(body.start, count: body.count) }
        guard !writer.hasOverflowed else {
            buffers.giveBack(buffer)
            answer(slot, session, 414, .badRequest)
            return
        }
        send(slot, session, exchange, buffer, writer.count, status)
    }

    /// Whether the connection goes on, and the empty line.
    private func endHead(_ writer: inout HeadWriter, _ exchange: UnsafeMutablePointer<Exchange>) {
        if !exchange.pointee.isPersistent {
            writer.append(field: "Connection", "close")
        } else if exchange.pointee.minorVersion == 0 {
            writer.append(field: "Connection", "keep-alive")
        }
        writer.appendLineEnd()
    }

    /// Nobody wants the request's body. One that has come already is passed over; another ends the connection.
    private mutating func settleRequest(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        let relay = session.relay(.toBackend)
        if exchange.pointee.request.phase == .body, exchange.pointee.request.framing == .length,
            relay.pointee.input.count > 0,
            exchange.pointee.request.remaining
                <= UInt64(buffers.segment(relay.pointee.input.head).pointee.length)
        {
            consumeInput(relay, Int(exchange.pointee.request.remaining))
            exchange.pointee.request.phase = .done
        }
        if mutant(.droppedBodyIsRequest) { return }
        if exchange.pointee.request.phase != .done {
            exchange.pointee.request.phase = .dropped
            buffers.drop(&relay.pointee.input)
        }
        if exchange.pointee.request.phase == .dropped || isLeaving(session) || asksNoMore(session) {
            exchange.pointee.isPersistent = false
        }
    }

    private mutating func send(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ buffer: UInt16, _ count: Int, _ status: UInt16
    ) {
        exchange.pointee.status = status
        exchange.pointee.hasAnswered = true
        exchange.pointee.response.phase = .done
        buffers.segment(buffer).pointee.length = UInt32(count)
        session.pointee.state = .relaying
        session.pointee.lastActivityAt = now
        enqueue(buffer, session.relay(.toClient))
        startSending(slot, session, .toClient)
        setHTTPTimer(slot, session)
    }
}

/// RFC 9110, section 15, and the registry of status codes.
func reasonPhrase(_ status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 410: "Gone"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 418: "I'm a teapot"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 451: "Unavailable For Legal Reasons"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: "Status"
    }
}
