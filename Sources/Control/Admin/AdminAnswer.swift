// An answer of the admin API and how it goes out.

import HTTP1

struct AdminAnswer: Sendable {
    var status: UInt16 = 200
    var contentType: StaticString
    var body: [UInt8]
    /// The request was a HEAD.
    var leavesOutBody = false
    /// Of 405: the methods that the path has, as Allow lists them.
    var allowed = ""
    /// Of 503: when to come back; nil where that would not help.
    var retryAfterSeconds: UInt64?

    private static let headLimitBytes = 1024

    static func json(_ status: UInt16 = 200, _ write: (inout JSONWriter) -> Void) -> AdminAnswer {
        var writer = JSONWriter()
        write(&writer)
        return AdminAnswer(status: status, contentType: "application/json", body: writer.finish())
    }

    static func error(_ status: UInt16, _ text: String) -> AdminAnswer {
        json(status) { $0.object { $0.string("error", text) } }
    }

    static func refusing(_ refusal: Refusal) -> AdminAnswer {
        var answer = error(refusal.status, String(describing: refusal.reason))
        answer.allowed = "GET, HEAD"
        return answer
    }

    /// The path knows other methods.
    static func allowing(_ methods: String) -> AdminAnswer {
        var answer = error(405, "this path is for \(methods)")
        answer.allowed = methods
        return answer
    }

    /// Nothing was done: too much else is under way.
    static var busy: AdminAnswer { later("other commands are under way; nothing was changed") }

    /// Whoever asks again may have more luck.
    static func later(_ text: String) -> AdminAnswer {
        var answer = error(503, text)
        answer.retryAfterSeconds = 1
        return answer
    }

    /// The whole of it.
    var octets: [UInt8] {
        let head = [UInt8](unsafeUninitializedCapacity: Self.headLimitBytes) { memory, count in
            var writer = HeadWriter(memory.baseAddress!, capacity: memory.count)
            writeHead(&writer)
            precondition(!writer.hasOverflowed)
            count = writer.count
        }
        return leavesOutBody ? head : head + body
    }

    private func writeHead(_ head: inout HeadWriter) {
        head.appendStatusLine(status, Self.reason(status))
        head.append(field: "Content-Type", contentType)
        head.append(field: "Content-Length", UInt64(body.count))
        head.append(field: "Cache-Control", "no-store")
        head.append(field: "Connection", "close")
        head.append(field: "X-Content-Type-Options", "nosniff")
        if status == 401 { head.append(field: "WWW-Authenticate", "Bearer realm=\"weir\"") }
        if status == 405 {
            head.append("Allow: ")
            head.append(Array(allowed.utf8), count: allowed.utf8.count)
            head.appendLineEnd()
        }
        if let retryAfterSeconds { head.append(field: "Retry-After", retryAfterSeconds) }
        if contentType.description.hasPrefix("text/html") {
            // Everything that the page needs is in it; it asks nobody but us.
            head.append(
                field: "Content-Security-Policy",
                """
                default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; \
                require-trusted-types-for 'script'; trusted-types 'none'
                """)
        }
        head.appendLineEnd()
    }

    private static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Bad Request"
        }
    }
}
