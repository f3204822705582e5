// The field names that a proxy treats by what they mean, found by length and content without a table.

/// A field name; `other` for any that is not one of these. Names are case-insensitive (RFC 9110, section 5.1).
public enum FieldName: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case other
    case accept, acceptEncoding, acceptLanguage, age, allow, authorization, cacheControl, connection,
        contentEncoding, contentLength, contentRange, contentType, cookie, date, etag, expect, expires,
        forwarded, host, http2Settings, keepAlive, lastModified, location, maxForwards, origin, pragma,
        proxyAuthenticate, proxyAuthorization, proxyConnection, range, referer, retryAfter, server,
        setCookie, te, traceparent, tracestate, trailer, transferEncoding, upgrade, userAgent, vary,
        via, wwwAuthenticate, xForwardedFor, xForwardedHost, xForwardedPort, xForwardedProto, xRealIP,
        xRequestID

    /// The name that the octets of `range` spell. They hold no control octet.
    @inline(__always)
    static func named(_ octets: Octets, _ range: HeadRange) -> FieldName {
        range.count <= 19 ? known(octets, range.start, Int(range.count)) : .other
    }

    private static func known(_ octets: Octets, _ start: Int, _ count: Int) -> FieldName {
        switch count {
        case 2:
            if octets.matches("te", at: start) { return .te }
        case 3:
            if octets.matches("via", at: start) { return .via }
            if octets.matches("age", at: start) { return .age }
        case 4:
            if octets.matches("host", at: start) { return .host }
            if octets.matches("date", at: start) { return .date }
            if octets.matches("etag", at: start) { return .etag }
            if octets.matches("vary", at: start) { return .vary }
        case 5:
            if octets.matches("range", at: start) { return .range }
            if octets.matches("allow", at: start) { return .allow }
        case 6:
            if octets.matches("cookie", at: start) { return .cookie }
            if octets.matches("accept", at: start) { return .accept }
            if octets.matches("expect", at: start) { return .expect }
            if octets.matches("server", at: start) { return .server }
            if octets.matches("origin", at: start) { return .origin }
            if octets.matches("pragma", at: start) { return .pragma }
        case 7:
            if octets.matches("trailer", at: start) { return .trailer }
            if octets.matches("upgrade", at: start) { return .upgrade }
            if octets.matches("referer", at: start) { return .referer }
            if octets.matches("expires", at: start) { return .expires }
        case 8:
            if octets.matches("location", at: start) { return .location }
        case 9:
            if octets.matches("x-real-ip", at: start) { return .xRealIP }
            if octets.matches("forwarded", at: start) { return .forwarded }
        case 10:
            if octets.matches("connection", at: start) { return .connection }
            if octets.matches("keep-alive", at: start) { return .keepAlive }
            if octets.matches("user-agent", at: start) { return .userAgent }
            if octets.matches("set-cookie", at: start) { return .setCookie }
            if octets.matches("tracestate", at: start) { return .tracestate }
        case 11:
            if octets.matches("traceparent", at: start) { return .traceparent }
            if octets.matches("retry-after", at: start) { return .retryAfter }
        case 12:
            if octets.matches("content-type", at: start) { return .contentType }
            if octets.matches("x-request-id", at: start) { return .xRequestID }
            if octets.matches("max-forwards", at: start) { return .maxForwards }
        case 13:
            if octets.matches("authorization", at: start) { return .authorization }
            if octets.matches("cache-control", at: start) { return .cacheControl }
            if octets.matches("content-range", at: start) { return .contentRange }
            if octets.matches("last-modified", at: start) { return .lastModified }
        case 14:
            if octets.matches("content-length", at: start) { return .contentLength }
            if octets.matches("http2-settings", at: start) { return .http2Settings }
        case 15:
            if octets.matches("x-forwarded-for", at: start) { return .xForwardedFor }
            if octets.matches("accept-encoding", at: start) { return .acceptEncoding }
            if octets.matches("accept-language", at: start) { return .acceptLanguage }
        case 16:
            if octets.matches("content-encoding", at: start) { return .contentEncoding }
            if octets.matches("proxy-connection", at: start) { return .proxyConnection }
            if octets.matches("x-forwarded-host", at: start) { return .xForwardedHost }
            if octets.matches("x-forwarded-port", at: start) { return .xForwardedPort }
            if octets.matches("www-authenticate", at: start) { return .wwwAuthenticate }
        case 17:
            if octets.matches("transfer-encoding", at: start) { return .transferEncoding }
            if octets.matches("x-forwarded-proto", at: start) { return .xForwardedProto }
        case 18:
            if octets.matches("proxy-authenticate", at: start) { return .proxyAuthenticate }
        case 19:
            if octets.matches("proxy-authorization", at: start) { return .proxyAuthorization }
        default: break
        }
        return .other
    }
}
