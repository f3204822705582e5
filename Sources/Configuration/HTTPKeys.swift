// The keys of http listeners and of what pools keep for them; `Keys.swift` has the rest of the table.

extension Keys {
    static let routeLimit = 10_000
    static let conditionLimit = 32
    static let headerChangeLimit = 64
    static let trustedLimit = 1_000
    /// Head and body then fit the default buffer.
    static let bodyLimitBytes = 8 * 1024

    // MARK: - Forwarding

    static var forwarded: Section<ForwardedSettings> {
        Section(
            title: "`forwarded`", documentation: "What backends are told of the client.",
            prototype: ForwardedSettings(),
            fields: [
                Field(
                    "x_forwarded", \.xForwarded, .choice("word"),
                    "In http mode: X-Forwarded-For, -Proto, -Host, -Port. `append` adds to what a trusted peer "
                        + "sent and replaces what others sent; `off` passes on what came."),
                Field(
                    "trusted", \.trusted,
                    addressRange.list(limit: trustedLimit, of: "blocks of addresses such as `10.0.0.0/8`")
                        .omittedWhenEmpty, absent: "nobody",
                    "In http mode: the peers whose forwarding headers are believed."),
                Field(
                    "via", \.via,
                    token("a name without spaces", as: "a name for Via").optional
                        .orWord("off", for: nil, where: { $0 == nil }),
                    "In http mode: the name that Weir adds to Via."),
                Field(
                    "request_id", \.requestID,
                    changeableHeaderName.optional.orWord("off", for: nil, where: { $0 == nil }),
                    "In http mode: the header of the request's id; a request that comes without gets one."),
                Field(
                    "forwarded", \.forwarded, .choice("word"),
                    "In http mode: the header Forwarded (RFC 7239), as `x_forwarded`."),
            ])
    }

    static var addressRange: ValueType<AddressRange> {
        .scalar(
            expectation: "a block of addresses such as `10.0.0.0/8` or `2001:db8::/32`",
            shape: .text(pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$"),
            parse: { scalar throws(TextProblem) in try AddressRange.parse(scalar.text) },
            write: { $0.description })
    }

    // MARK: - Routes

    /// A list of routes; what stands after a route that takes everything is an error.
    static var routes: ValueType<[Route]> {
        let section = route
        let element = ValueType<Route>(
            expectation: "a route", shape: .section(section.shape),
            reader: { node, _, context in
                var route = section.prototype
                route.position = context.source.position(of: node.span.start)
                let errorsBefore = context.errorCount
                section.read(node, into: &route, owner: node.span, &context)
                if context.errorCount > errorsBefore { return nil }
                context.routes.append(.init(match: route.match, span: node.span))
                return route
            },
            render: section.render)
        let list = element.list(limit: routeLimit, of: "routes, the first that matches decides")
        var checking = list
        checking.reader = { node, expected, context in
            context.routes = []
            guard let routes = list.reader(node, expected, &context) else { return nil }
            Validation.checkReach(ofRoutes: context.routes, &context)
            return routes
        }
        return checking.omittedWhenEmpty
    }

    private static var route: Section<Route> {
        Section(
            title: "a route", documentation: "A rule of an http listener.",
            prototype: Route(position: SourcePosition(line: 1, column: 1)),
            fields: [
                Field("match", \.match, routeMatch),
                Field("pool", \.poolName, poolReference.optional, absent: "", "Goes to this pool."),
                Field(
                    "split", \.shares, split.optional, absent: "", "Goes to one of several pools, by share."),
                Field("redirect", \.redirect, redirect, absent: ""),
                Field("respond", \.response, respond, absent: ""),
                Field(
                    "request_headers", \.requestHeaders,
                    headerChanges("Changes to the request that goes to the backend.", isRequest: true)),
                Field(
                    "response_headers", \.responseHeaders,
                    headerChanges("Changes to the response that goes to the client.", isRequest: false)),
                Field("rewrite", \.rewrite, rewrite),
                Field("retry", \.retry, retry, absent: "that of the listener"),
                Field("rate_limit", \.rateLimit, rateLimit, absent: "no limit"),
            ],
            judge: { node, _, owner, context in Validation.checkAction(of: node, owner: owner, &context) },
            trim: { _, rendered in rendered.withoutEmptyMappings })
    }

    private static var routeMatch: Section<RouteMatch> {
        Section(
            title: "`match`", documentation: "What a request must be; without it, any.",
            prototype: RouteMatch(),
            fields: [
                Field(
                    "host", \.host, hostPattern.optional, absent: "any",
                    "Without port: `api.example.com`, or `\"*.example.com\"` for every name below it."),
                Field(
                    "path", \.path, pathPattern.optional, absent: "any",
                    "`/old` alone, or `/v1/*` for `/v1` and everything below; compared as it came."),
                Field(
                    "method", \.methods, method.oneOrList(limit: 32, of: "them").omittedWhenEmpty,
                    absent: "any", "One of these; case counts, and `GET` is not `HEAD`."),
                Field(
                    "headers", \.headers,
                    conditions(
                        "header", example: "x-canary: \"1\"", names: tokenPattern,
                        name: HTTPText.headerName, value: HTTPText.headerValue, isCaseSensitive: false),
                    absent: "any", "All of these: a value, or `any` for a header that only has to be there."),
                Field(
                    "query", \.query,
                    conditions(
                        "query parameter", example: "beta: any", names: "^[^&=#\\s]+$",
                        name: HTTPText.queryName, value: HTTPText.queryValue, isCaseSensitive: true),
                    absent: "any", "All of these, compared as they stand in the URL."),
            ])
    }

    private static var split: ValueType<[PoolShare]> {
        let share = ValueType<Double>.share
        let type = ValueType<[PoolShare]>.mapping(
            expectation: "pools with their shares, as in `{ api: 95%, next: 5% }`",
            keys: Names.pattern, values: share.shape, limit: 100,
            read: { entry, context in
                context.poolReferences.append(.init(pool: entry.key, span: entry.keySpan))
                return share.read(entry.value, &context).map { PoolShare(pool: entry.key, share: $0) }
            },
            write: { .init(key: $0.pool, value: share.render($0.share) ?? .scalar("")) })
        var checking = type
        checking.reader = { node, expected, context in
            let errorsBefore = context.errorCount
            guard let shares = type.reader(node, expected, &context) else { return nil }
            let millionths = shares.reduce(0) { $0 + Int(($1.share * 1_000_000).rounded()) }
            if millionths != 1_000_000, context.errorCount == errorsBefore {
                let sum = Quantities.shareText(Double(millionths) / 1_000_000)
                context.report("the shares add up to \(sum), not to 100%", at: node.span)
            }
            return shares
        }
        return checking
    }

    private static var redirect: Section<Redirect> {
        Section(
            title: "`redirect`", documentation: "Answered with another address.", prototype: Redirect(),
            fields: [
                Field(
                    "to", \.location,
                    .scalar(
                        expectation: "a path or a URL, `/new` or `https://example.com/`",
                        shape: .text(pattern: "^(/|https?://)"),
                        parse: { scalar throws(TextProblem) in try HTTPText.location(scalar.text) },
                        write: { $0 }), isRequired: true,
                    "The query of the request is kept, unless this has one."),
                Field(
                    "status", \.status,
                    status("301, 302, 303, 307 or 308", [301...303, 307...308]),
                    "307 and 308 keep the method; 301 and 308 are remembered by clients."),
            ])
    }

    private static var respond: Section<FixedResponse> {
        Section(
            title: "`respond`", documentation: "Answered by Weir itself.", prototype: FixedResponse(),
            fields: [
                Field("status", \.status, status("a status, 200 to 599", [200...599]), "The status."),
                Field(
                    "body", \.body,
                    .scalar(
                        expectation: "text of at most \(Quantities.sizeText(bytes: UInt64(bodyLimitBytes)))",
                        shape: .anyText,
                        parse: { scalar throws(TextProblem) in
                            if scalar.text.utf8.count <= bodyLimitBytes { return scalar.text }
                            throw TextProblem(message: "the body has \(scalar.text.utf8.count) bytes")
                        }, write: { $0 }), absent: "empty", "The body."),
                Field(
                    "content_type", \.contentType,
                    headerValue("a media type such as `text/html`"), "What the body is."),
            ],
            judge: { node, response, _, context in
                // RFC 9110, 15.3.5, 15.3.6 and 15.4.5.
                guard [204, 205, 304].contains(response.status), !response.body.isEmpty,
                    let body = node.value(at: "body")
                else { return }
                context.report("a response with status \(response.status) has no body", at: body.span)
            })
    }

    private static func headerChanges(_ documentation: String, isRequest: Bool) -> Section<HeaderChanges> {
        let title = isRequest ? "`request_headers`" : "`response_headers`"
        return Section(
            title: title, documentation: documentation, prototype: HeaderChanges(),
            fields: [
                Field(
                    "set", \.fieldsSet, headerFields, absent: "none",
                    "Put in place of what is there, or where nothing is."),
                Field("add", \.fieldsAdded, headerFields, absent: "none", "Put beside what is there."),
                Field(
                    "remove", \.namesRemoved,
                    changeableHeaderName.oneOrList(limit: headerChangeLimit, of: "them").omittedWhenEmpty,
                    absent: "none", "Taken out."),
            ],
            judge: { node, _, _, context in
                Validation.checkHeaderChanges(node, isRequest: isRequest, &context)
            },
            trim: { _, rendered in rendered.withoutEmptyMappings })
    }

    static var headerFields: ValueType<[HeaderField]> {
        let value = headerValue("the value of a header")
        return ValueType<[HeaderField]>.mapping(
            expectation: "headers with their values, as in `{ x-env: prod }`",
            keys: tokenPattern, values: value.shape, limit: headerChangeLimit,
            read: { entry, context in
                guard let name = entry.name(HTTPText.changeableHeaderName, "header", &context),
                    let text = value.read(entry.value, &context)
                else { return nil }
                return HeaderField(name: name, value: text)
            },
            write: { .init(key: $0.name, value: .scalar($0.value)) }
        ).omittedWhenEmpty
    }

    private static var rewrite: Section<PathRewrite> {
        let prefix = ValueType<String>.scalar(
            expectation: "the start of a path, `/shop`", shape: .text(pattern: "^/.*[^/]$"),
            parse: { scalar throws(TextProblem) in try HTTPText.pathPrefix(scalar.text) }, write: { $0 }
        ).optional
        return Section(
            title: "`rewrite`", documentation: "Changes to the path before it goes to the backend.",
            prototype: PathRewrite(),
            fields: [
                Field(
                    "strip_prefix", \.stripPrefix, prefix, absent: "none",
                    "Taken off: `/shop` makes `/x` of `/shop/x` and leaves `/shopping`."),
                Field(
                    "add_prefix", \.addPrefix, prefix, absent: "none",
                    "Put in front, after `strip_prefix`."),
            ])
    }

    // MARK: - Pools

    static var keepAlive: Section<KeepAliveSettings> {
        Section(
            title: "`keep_alive`", documentation: "Connections to backends that wait for the next request.",
            prototype: KeepAliveSettings(),
            fields: [
                Field(
                    "idle", \.idle, .wholeNumber(0...65_535),
                    "For http: waiting connections of each worker; 0 closes each after its response."),
                Field(
                    "idle_timeout", \.idleTimeoutNanoseconds, .duration(durationRangeNanoseconds),
                    "For http: how long one waits."),
                Field(
                    "max_requests", \.maxRequests, .wholeNumber(0...1_000_000_000),
                    "For http: requests of one connection; 0 is no limit."),
                Field(
                    "batch", \.batch, .wholeNumber(1...16),
                    "For http: how many small GET requests of one moment share a connection; 1 gives each its own."
                ),
            ])
    }

    // MARK: - Values

    private static var tokenPattern: String { HTTPText.tokenPattern }

    private static func token(_ expectation: String, as noun: String) -> ValueType<String> {
        .scalar(
            expectation: expectation, shape: .text(pattern: tokenPattern),
            parse: { scalar throws(TextProblem) in
                if HTTPText.isToken(scalar.text) { return scalar.text }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) is not \(noun)")
            }, write: { $0 })
    }

    private static var changeableHeaderName: ValueType<String> {
        .scalar(
            expectation: "the name of a header", shape: .text(pattern: tokenPattern),
            parse: { scalar throws(TextProblem) in try HTTPText.changeableHeaderName(scalar.text) },
            write: { $0 })
    }

    private static func headerValue(_ expectation: String) -> ValueType<String> {
        .scalar(
            expectation: expectation, shape: .anyText,
            parse: { scalar throws(TextProblem) in try HTTPText.headerValue(scalar.text) }, write: { $0 })
    }

    private static var hostPattern: ValueType<HostPattern> {
        .scalar(
            expectation: "a host name, or `*.` and one", shape: .text(pattern: "^[^/\\s]+$"),
            parse: { scalar throws(TextProblem) in try HTTPText.hostPattern(scalar.text) },
            write: HTTPText.hostText)
    }

    private static var pathPattern: ValueType<PathPattern> {
        .scalar(
            expectation: "a path such as `/old`, or `/v1/*`", shape: .text(pattern: "^/[^?#\\s]*$"),
            parse: { scalar throws(TextProblem) in try HTTPText.pathPattern(scalar.text) },
            write: HTTPText.pathText)
    }

    private static var method: ValueType<String> {
        .scalar(
            expectation: "a method such as `GET`", shape: .text(pattern: tokenPattern),
            parse: { scalar throws(TextProblem) in try HTTPText.method(scalar.text) }, write: { $0 })
    }

    private static func status(_ expectation: String, _ ranges: [ClosedRange<Int>]) -> ValueType<Int> {
        .scalar(
            expectation: expectation, shape: .either(ranges.map(Shape.integer)),
            parse: { scalar throws(TextProblem) in
                if let status = Int(scalar.text), ranges.contains(where: { $0.contains(status) }) {
                    return status
                }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) is not a status for this")
            }, write: { String($0) })
    }

    private static func conditions(
        _ noun: String, example: String, names: String,
        name: @escaping (String) throws(TextProblem) -> String,
        value: @escaping (String) throws(TextProblem) -> String, isCaseSensitive: Bool
    ) -> ValueType<[FieldCondition]> {
        let wanted = ValueType<String>.scalar(
            expectation: "a value, or `any`", shape: .anyText,
            parse: { scalar throws(TextProblem) in try value(scalar.text) }, write: { $0 }
        ).optional.orExactWord("any", for: nil, where: { $0 == nil })
        return ValueType<[FieldCondition]>.mapping(
            expectation: "\(noun)s with their values or `any`, as in `{ \(example) }`",
            keys: names, values: wanted.shape, limit: conditionLimit,
            read: { entry, context in
                guard let name = entry.name(name, noun, &context),
                    let value = wanted.read(entry.value, &context)
                else { return nil }
                return FieldCondition(name: isCaseSensitive ? name : name.lowercased(), value: value)
            },
            write: { .init(key: $0.name, value: wanted.render($0.value) ?? .scalar("any")) }
        ).omittedWhenEmpty
    }
}

/// The action of a route as the keys that may stand for it.
extension Route {
    fileprivate var poolName: String? {
        get { if case .pool(let name) = action { name } else { nil } }
        set { if let newValue { action = .pool(newValue) } }
    }

    fileprivate var shares: [PoolShare]? {
        get { if case .split(let shares) = action { shares } else { nil } }
        set { if let newValue { action = .split(newValue) } }
    }

    fileprivate var redirect: Redirect? {
        get { if case .redirect(let redirect) = action { redirect } else { nil } }
        set { if let newValue { action = .redirect(newValue) } }
    }

    fileprivate var response: FixedResponse? {
        get { if case .respond(let response) = action { response } else { nil } }
        set { if let newValue { action = .respond(newValue) } }
    }
}

extension Node.Entry {
    /// The key, where it is a good name; else that is reported.
    fileprivate func name(
        _ parse: (String) throws(TextProblem) -> String, _ noun: String, _ context: inout ReadingContext
    ) -> String? {
        do throws(TextProblem) {
            return try parse(key)
        } catch {
            context.report(error, at: keySpan, expected: "the name of a \(noun)")
            return nil
        }
    }
}

extension RenderedValue {
    /// A mapping without the sections that say nothing.
    fileprivate var withoutEmptyMappings: RenderedValue {
        guard case .mapping(let entries) = self else { return self }
        return .mapping(entries.filter { $0.value != .mapping([]) })
    }
}
