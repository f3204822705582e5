// What is wrong with the keys of `affinity` together.

extension Validation {
    private static let cookieKeys = ["secure", "http_only", "same_site", "path"]
    private static let clientKeys = ["clients"]

    /// A section whose keys were read. Settles what the time to live is where the file says nothing.
    static func check(
        _ node: Node, _ settings: inout AffinitySettings, owner: SourceSpan, _ context: inout ReadingContext
    ) {
        let cookie = node.entry(at: "cookie")
        if let cookie, settings.isByClientAddress {
            context.report(
                "`affinity` is by `cookie` or by `client_ip`, not by both", at: cookie.keySpan,
                hint: "without a cookie, `balance: ip_hash` and `hash` choose by the client's address")
            return
        }
        guard cookie != nil || settings.isByClientAddress else {
            if node.entry(at: "client_ip") != nil, node.scalarText(at: "client_ip") != "false" { return }
            context.report(
                "`affinity` does nothing without `cookie` or `client_ip: true`", at: owner,
                expected: "`cookie: NAME` or `client_ip: true`")
            return
        }
        let strange = settings.isByClientAddress ? cookieKeys : clientKeys
        for key in strange {
            guard let entry = node.entry(at: key) else { continue }
            context.report(
                "\(key.quotedForMessage) has no meaning with "
                    + (settings.isByClientAddress ? "`client_ip: true`" : "`cookie`"), at: entry.keySpan)
        }
        if settings.isByClientAddress {
            settings.timeToLiveNanoseconds =
                settings.timeToLiveNanoseconds ?? AffinitySettings.defaultTimeToLiveNanoseconds
        } else {
            checkWhatBrowsersRefuse(node, settings, &context)
        }
    }

    /// RFC 6265bis, 4.1.3 (prefixes of names) and 5.7 (SameSite=None).
    private static func checkWhatBrowsersRefuse(
        _ node: Node, _ settings: AffinitySettings, _ context: inout ReadingContext
    ) {
        let name = settings.cookie?.lowercased() ?? ""
        let isHost = name.hasPrefix("__host-")
        if isHost || name.hasPrefix("__secure-"), settings.isSecure != true,
            let value = node.value(at: "secure") ?? node.value(at: "cookie")
        {
            context.report(
                "browsers take a cookie of this name only with `secure: true`", at: value.span)
        }
        if isHost, settings.path != "/", let value = node.value(at: "path") {
            context.report("browsers take a cookie of this name only with `path: /`", at: value.span)
        }
        if settings.sameSite == .none, settings.isSecure == false, let value = node.value(at: "same_site") {
            context.report(
                "browsers take `same_site: none` only with `secure: true`", at: value.span)
        }
    }

    /// What belongs to the other kind of affinity is not shown.
    static func trim(_ settings: AffinitySettings, _ rendered: RenderedValue) -> RenderedValue {
        guard case .mapping(let entries) = rendered else { return rendered }
        let hidden = settings.isByClientAddress ? cookieKeys : clientKeys + ["client_ip"]
        return .mapping(entries.filter { !hidden.contains($0.key) })
    }
}
