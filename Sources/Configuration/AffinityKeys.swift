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
        .scalar(
            expectation: "the name of a cookie, 1 to \(cookieNameLimit) characters",
            shape: .text(pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,\(cookieNameLimit)}$"),
            parse: { scalar throws(TextProblem) in
                let name = try HTTPText.cookieName(scalar.text)
                if name.utf8.count <= cookieNameLimit { return name }
                throw TextProblem(message: "\(name.quotedForMessage) is too long")
            },
            write: { $0 })
    }

    private static var cookiePath: ValueType<String> {
        .scalar(
            expectation: "a path such as `/` or `/shop`, 1 to \(cookiePathLimit) characters",
            shape: .text(pattern: "^/[!-:<-~]{0,\(cookiePathLimit - 1)}$"),
            parse: { scalar throws(TextProblem) in
                let path = try HTTPText.cookiePath(scalar.text)
                if path.utf8.count <= cookiePathLimit { return path }
                throw TextProblem(message: "\(path.quotedForMessage) is too long")
            },
            write: { $0 })
    }
}
