// The keys of session affinity; `Keys.swift` has the rest of the table.

extension Keys {
    static let cookieNameLimit = 64
    static let cookiePathLimit = 255
    static let affinityClientRange = 1...4_194_304
    static let affinityTimeRangeNanoseconds: ClosedRange<UInt64> =
        1_000_000_000...(30 * 86_400 * 1_000_000_000)

    static var affinity: Section<AffinitySettings> {
        Section(
            title: "`affinity`", documentation: "How a client's sessions come back to one backend.",
            prototype: AffinitySettings(),
            fields: [
                Field(
                    "cookie", \.cookie, cookieName.optional, absent: "by `client_ip`",
                    "By a cookie of this name, which Weir sets. Of http listeners."),
                Field(
                    "client_ip", \.isByClientAddress, .truth,
                    "By the client's address, in a table of this process."),
                Field(
                    "ttl", \.timeToLiveNanoseconds,
                    ValueType.duration(affinityTimeRangeNanoseconds).optional,
                    absent: "with `cookie` until the browser ends, with `client_ip` `30m`",
                    "With `cookie`, for how long the browser keeps it (Max-Age); with `client_ip`, since the last "
                        + "use. Counted in whole seconds."),
                Field(
                    "secure", \.isSecure,
                    ValueType.truth.optional.orWord("auto", for: nil, where: { $0 == nil }),
                    "With `cookie`: Secure, by https only. `auto` where a trusted proxy says that the client came by "
                        + "https."),
                Field("http_only", \.isHTTPOnly, .truth, "With `cookie`: HttpOnly, scripts do not see it."),
                Field(
                    "same_site", \.sameSite, .choice("word"),
                    "With `cookie`: SameSite, whether it comes with requests that other sites cause."),
                Field("path", \.path, cookiePath, "With `cookie`: below which path the browser sends it."),
                Field(
                    "clients", \.clients, .wholeNumber(affinityClientRange),
                    "With `client_ip`: how many clients are remembered; who was not seen for the longest time is "
                        + "forgotten first."),
            ],
            judge: Validation.check, trim: Validation.trim)
    }

    private static var cookieName: ValueType<String> {
        shortText(
            "the name of a cookie", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,\(cookieNameLimit)}$",
            limit: cookieNameLimit, HTTPText.cookieName)
    }

    private static var cookiePath: ValueType<String> {
        shortText(
            "a path such as `/` or `/shop`", pattern: "^/[!-:<-~]{0,\(cookiePathLimit - 1)}$",
            limit: cookiePathLimit, HTTPText.cookiePath)
    }

    private static func shortText(
        _ expectation: String, pattern: String, limit: Int,
        _ parse: @escaping (String) throws(TextProblem) -> String
    ) -> ValueType<String> {
        .scalar(
            expectation: "\(expectation), 1 to \(limit) characters", shape: .text(pattern: pattern),
            parse: { scalar throws(TextProblem) in
                let text = try parse(scalar.text)
                if text.utf8.count <= limit { return text }
                throw TextProblem(message: "\(text.quotedForMessage) is too long")
            },
            write: { $0 })
    }
}
