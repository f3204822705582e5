// What is wrong with several keys of an http listener together: a mode that has no such key, actions that
// exclude each other, routes that no request reaches.

extension Validation {
    /// The keys that only http listeners have; a dot leads into a section.
    private static let httpKeys = [
        "routes", "forwarded", "retry", "timeouts.request_head", "timeouts.request_body_idle",
        "timeouts.keep_alive",
        "timeouts.response_head", "timeouts.tunnel", "limits.body_size",
    ]

    /// A listener whose keys were read.
    static func check(
        _ listener: inout Listener, _ node: Node, owner: SourceSpan, _ context: inout ReadingContext
    ) {
        // A mode that could not be read has been reported; what it would have allowed is unknown.
        if let mode = node.value(at: "mode"), node.scalarText(at: "mode") != listener.mode.rawValue,
            !mode.isNull
        {
            return
        }
        checkAddressLists(listener, node, &context)
        switch listener.mode {
        case .tcp:
            checkTCP(node, owner: owner, &context)
            checkTCPRateLimit(listener, node, &context)
        case .http:
            let timeouts = node.value(at: "timeouts")
            if timeouts?.value(at: "idle") == nil {
                listener.timeouts.idleNanoseconds = ListenerTimeouts.httpIdleNanoseconds
            }
            if node.value(at: "pool") != nil || node.value(at: "routes") != nil { return }
            context.report(
                "a listener with `mode: http` needs `routes` or a `pool`", at: owner)
        }
    }

    private static func checkTCP(_ node: Node, owner: SourceSpan, _ context: inout ReadingContext) {
        let hint =
            node.value(at: "mode") == nil
            ? "it belongs to a listener with `mode: http`; without `mode` a listener is `tcp`"
            : "it belongs to a listener with `mode: http`"
        let errorsBefore = context.errorCount
        for path in httpKeys {
            let parts = path.split(separator: ".").map(String.init)
            let section = parts.count == 2 ? node.value(at: parts[0]) : node
            guard let entry = section?.entry(at: parts[parts.count - 1]) else { continue }
            context.report(
                "\(entry.key.quotedForMessage) has no meaning with `mode: tcp`", at: entry.keySpan, hint: hint
            )
        }
        // Whoever forgot `mode: http` may not have meant a pool.
        let isProbablyHTTP = node.value(at: "mode") == nil && context.errorCount > errorsBefore
        if node.value(at: "pool") == nil, !isProbablyHTTP {
            context.report(
                "a listener needs the key `pool`", at: owner, expected: "`pool`: the name of a pool")
        }
    }

    /// What a listener's mode has no use for is not shown.
    static func trim(_ listener: Listener, _ rendered: RenderedValue) -> RenderedValue {
        guard listener.mode == .tcp, case .mapping(let entries) = rendered else { return rendered }
        return .mapping(
            entries.compactMap { entry in
                if httpKeys.contains(entry.key) { return nil }
                guard case .mapping(let inner) = entry.value else { return entry }
                let kept = inner.filter { !httpKeys.contains("\(entry.key).\($0.key)") }
                return RenderedValue.Entry(key: entry.key, value: .mapping(kept))
            })
    }

    /// A head has to fit one buffer. Where the file says nothing it is as large as that, at most the default.
    static func check(_ limits: inout ProcessLimits, _ node: Node, _ context: inout ReadingContext) {
        guard let given = node.value(at: "header_size") else {
            limits.headerSizeBytes = min(limits.headerSizeBytes, limits.bufferSizeBytes)
            return
        }
        if limits.headerSizeBytes <= limits.bufferSizeBytes { return }
        let buffer = Quantities.sizeText(bytes: UInt64(limits.bufferSizeBytes))
        context.report(
            "`header_size` is more than `buffer_size`, \(buffer)", at: given.span,
            hint: "a request or response head must fit one receive buffer; raise `buffer_size` as well")
    }

    // MARK: - Routes

    /// A route has one action, and nothing that the action has no use for.
    static func checkAction(of node: Node, owner: SourceSpan, _ context: inout ReadingContext) {
        let given = ["pool", "split", "redirect", "respond"].compactMap { node.entry(at: $0) }
        guard let action = given.first else {
            context.report(
                "a route needs an action", at: owner, expected: "`pool`, `split`, `redirect` or `respond`")
            return
        }
        for other in given.dropFirst() {
            context.report(
                "a route has one action, but here is \(other.key.quotedForMessage) beside "
                    + action.key.quotedForMessage, at: other.keySpan)
        }
        guard ["redirect", "respond"].contains(action.key) else { return }
        for name in ["request_headers", "rewrite", "retry"] {
            guard let entry = node.entry(at: name) else { continue }
            context.report(
                "\(name.quotedForMessage) has no meaning with \(action.key.quotedForMessage)",
                at: entry.keySpan, hint: "no request goes to a backend")
        }
    }

    /// A route after one that takes everything, or after one with the same match, is never reached.
    static func checkReach(ofRoutes routes: [ReadingContext.RoutePlace], _ context: inout ReadingContext) {
        var takesEverything: SourceSpan?
        var firstPlaces: [RouteMatch: SourceSpan] = [:]
        for route in routes {
            if let first = takesEverything ?? firstPlaces[route.match] {
                let why = takesEverything == nil ? "has the same `match`" : "takes every request"
                context.report(
                    "no request reaches this route", at: route.span,
                    hint: "the route in line \(context.line(of: first)) \(why)")
                continue
            }
            firstPlaces[route.match] = route.span
            if route.match.isEverything { takesEverything = route.span }
        }
    }

    /// A header is set or removed once, and Host stays exactly one in requests.
    static func checkHeaderChanges(_ node: Node, isRequest: Bool, _ context: inout ReadingContext) {
        var firstPlaces: [String: SourceSpan] = [:]
        for (key, name, span) in node.changedHeaders {
            let folded = name.lowercased()
            if folded == "host", !isRequest || key != "set" {
                context.report(
                    "\(name.quotedForMessage) cannot be in `\(key)` here", at: span,
                    hint: "a request has exactly one `host`, a response has none; "
                        + "`set` in `request_headers` replaces it")
            }
            // Adding beside what was set, or after removing, has a meaning.
            if key == "add" { continue }
            if let first = firstPlaces[folded] {
                context.report(
                    "\(name.quotedForMessage) is set or removed twice", at: span,
                    hint: "it is first given in line \(context.line(of: first))")
                continue
            }
            firstPlaces[folded] = span
        }
        if isRequest { checkHost(node, &context) }
    }

    private static func checkHost(_ node: Node, _ context: inout ReadingContext) {
        guard case .mapping(let entries)? = node.value(at: "set")?.content,
            let host = entries.first(where: { $0.key.lowercased() == "host" }),
            case .scalar(let scalar) = host.value.content
        else { return }
        let isHost = scalar.text.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "A"..."Z", "a"..."z", "0"..."9", ".", "-", "_", ":", "[", "]": true
            default: false
            }
        }
        if scalar.text.isEmpty || !isHost {
            context.report(
                "\(scalar.text.quotedForMessage) is not a host", at: host.value.span,
                expected: "a host, with a port if need be: `api.internal:8080`")
        }
    }
}

extension Node {
    /// A key of the mapping that stands here, with its place.
    func entry(at key: String) -> Entry? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }
    }

    /// Every header that `set`, `add` and `remove` of the section that stands here name.
    fileprivate var changedHeaders: [(key: String, name: String, span: SourceSpan)] {
        var found: [(key: String, name: String, span: SourceSpan)] = []
        for key in ["set", "add"] {
            guard case .mapping(let entries)? = value(at: key)?.content else { continue }
            found += entries.map { (key, $0.key, $0.keySpan) }
        }
        switch value(at: "remove")?.content {
        case .scalar(let scalar): found.append(("remove", scalar.text, value(at: "remove")!.span))
        case .sequence(let elements):
            for element in elements {
                if case .scalar(let scalar) = element.content {
                    found.append(("remove", scalar.text, element.span))
                }
            }
        case .mapping, .invalid, nil: break
        }
        return found
    }
}
