// The table of all keys: name, kind of value, default (what the model's initialisers hold), meaning. To
// add a key, add it here and to the model; reading, rendering, JSON Schema and reference follow.

enum Keys {
    static let sessionRange = 1...1_000_000
    static let workerRange = 1...256
    /// The kernel's limit of one buffer ring is 32768 entries.
    static let bufferRange = 16...32_768
    static let bufferSizeRangeBytes = 1024...(1 << 20)
    static let memoryRangeBytes = (1 << 20)...(1 << 50)
    static let bodySizeRangeBytes = 0...(1 << 50)
    static let headerCountRange = 8...1024
    static let weightRange = 0...65_535
    static let backendLimit = 65_535
    static let bindLimit = 1024
    static let durationRangeNanoseconds: ClosedRange<UInt64> = 1_000...(30 * 86_400 * 1_000_000_000)

    static var file: Section<Configuration> {
        Section(
            title: "the file", documentation: "The configuration of Weir.", prototype: Configuration(),
            fields: [
                Field(
                    "workers", \.workers, workerCount,
                    "Worker threads; `auto` is one for each usable core."),
                Field(
                    "engine", \.engine, .choice("engine"),
                    "The kernel interface; `auto` takes io_uring where it works, else epoll."),
                Field(
                    "watch", \.watch, .truth,
                    "The file is applied anew when it has changed, as on SIGHUP."),
                Field("reload", \.reload, reload, absent: "nothing is taken back"),
                Field("limits", \.limits, processLimits),
                Field("admin", \.admin, admin, absent: "no admin API"),
                Field("logs", \.logs, logs),
                Field("alerts", \.alerts, alerts, absent: "no alerts"),
                Field(
                    "listeners", \.listeners,
                    listener.byName("listener", name: \.name) {
                        Listener(name: $0, bind: [], pool: nil, position: $1)
                    },
                    isRequired: true, "Where Weir accepts connections, by name."),
                Field(
                    "pools", \.pools,
                    pool.byName("pool", name: \.name) { Pool(name: $0, backends: [], position: $1) },
                    isRequired: true, "Groups of backends, by name."),
            ])
    }

    // MARK: - The process

    private static var processLimits: Section<ProcessLimits> {
        Section(
            title: "`limits`", documentation: "Limits of the whole process.", prototype: ProcessLimits(),
            fields: [
                Field(
                    "sessions", \.sessions, .wholeNumber(sessionRange),
                    "Client connections at once. Beyond it, accepting pauses."),
                Field(
                    "buffers", \.buffers,
                    ValueType.wholeNumber(bufferRange).optional
                        .orWord("auto", for: nil, where: { $0 == nil }),
                    "Receive buffers of each worker; `auto` sizes them from `sessions`."),
                Field(
                    "buffer_size", \.bufferSizeBytes, .size(bufferSizeRangeBytes),
                    "Size of one receive buffer."),
                Field(
                    "header_size", \.headerSizeBytes, .size(bufferSizeRangeBytes),
                    "Size of a request or response head, at most `buffer_size`."),
                Field(
                    "headers", \.headers, .wholeNumber(headerCountRange),
                    "Header fields of a request or response."),
                Field(
                    "memory", \.memoryBytes, ValueType.size(memoryRangeBytes).optional,
                    absent: "the limit of the cgroup, where there is one",
                    "Above 95% of it accepting pauses. Given, it is the resident memory that counts."),
            ],
            judge: { node, limits, _, context in Validation.check(&limits, node, &context) })
    }

    private static var logs: Section<LogSettings> {
        Section(
            title: "`logs`", documentation: "Where records go and how they look.", prototype: LogSettings(),
            fields: [
                Field(
                    "access", \.access, logDestination,
                    "One record for each tcp session and each http request."),
                Field(
                    "events", \.events, logDestination, "Start, stop, configuration changes, errors."),
                Field("format", \.format, .choice("format"), "How records look."),
                Field(
                    "sample", \.successSampleShare, .share,
                    "Share of what went well that is logged. Failures always are."),
            ])
    }

    private static var workerCount: ValueType<WorkerCount> {
        ValueType<Int>.wholeNumber(workerRange)
            .map(
                { WorkerCount.count($0) },
                back: { if case .count(let count) = $0 { count } else { nil } }
            )
            .orWord("auto", for: .automatic, where: { $0 == .automatic })
    }

    private static var logDestination: ValueType<LogDestination> {
        let words: [(word: String, destination: LogDestination)] = [
            ("stdout", .standardOutput), ("stderr", .standardError), ("off", .off),
        ]
        return .scalar(
            expectation: "`stdout`, `stderr`, `off` or a path with a `/`",
            shape: .either([.choice(words.map(\.word)), .text(pattern: "/")]),
            parse: { scalar throws(TextProblem) in
                let text = scalar.text
                if let match = words.first(where: { $0.word == text }) { return match.destination }
                if text.unicodeScalars.contains(where: { $0.isUnprintable }) {
                    throw TextProblem(message: "\(text.quotedForMessage) has control characters in it")
                }
                if text.utf8.contains(UInt8(ascii: "/")) { return .file(path: text) }
                throw TextProblem(
                    message: "unknown destination \(text.quotedForMessage)",
                    suggestion: nearestSpelling(of: text, among: words.map(\.word)))
            },
            write: { destination in
                if case .file(let path) = destination { return path }
                return words.first { $0.destination == destination }?.word ?? "off"
            })
    }

    // MARK: - Listeners

    static var listener: Section<Listener> {
        Section(
            title: "a listener", documentation: "An address that Weir accepts on.",
            prototype: Listener(name: "", bind: [], pool: nil, position: SourcePosition(line: 1, column: 1)),
            fields: [
                Field(
                    "bind", \.bind, bindAddress.oneOrList(limit: bindLimit, of: "them"), isRequired: true,
                    "Where to accept: `0.0.0.0:6379`, `\"[::]:8080\"`, `unix:/path`."),
                Field("mode", \.mode, .choice("mode"), "What the listener speaks."),
                Field(
                    "pool", \.pool, poolReference.optional,
                    absent: "required in tcp mode; in http mode 404",
                    "The pool that serves it; in http mode what no route matches."),
                Field("timeouts", \.timeouts, timeouts),
                Field("limits", \.limits, listenerLimits),
                Field("rate_limit", \.rateLimit, rateLimit, absent: "no limit"),
                Field(
                    "allow", \.allow, addressList, absent: "everybody",
                    "The only clients that are served (http mode: others get 403; tcp mode: are closed)."),
                Field(
                    "deny", \.deny, addressList, absent: "nobody",
                    "Clients that are not served. Of blocks in `allow` and `deny` the longest decides."),
                Field(
                    "relay", \.relay, .choice("relay"),
                    "How bytes are moved; `auto` copies small traffic and splices bulk."),
                Field("forwarded", \.forwarded, forwarded),
                Field("retry", \.retry, retry, absent: "see docs/http.md"),
                Field(
                    "routes", \.routes, routes, absent: "none",
                    "In http mode: what becomes of a request. The first route that matches decides."),
            ],
            judge: { node, listener, owner, context in
                Validation.check(&listener, node, owner: owner, &context)
            },
            trim: Validation.trim)
    }

    private static var timeouts: Section<ListenerTimeouts> {
        Section(
            title: "`timeouts`", documentation: "How long to wait.", prototype: ListenerTimeouts(),
            fields: [
                Field(
                    "connect", \.connectNanoseconds, .duration(durationRangeNanoseconds),
                    "For a connection to a backend, each one tried."),
                Field(
                    "idle", \.idleNanoseconds, .duration(durationRangeNanoseconds),
                    "Without a byte either way; then the session ends. In http mode it counts while a "
                        + "request is under way, and is `5m` unless given."),
                Field(
                    "request_head", \.http.requestHeadNanoseconds, .duration(durationRangeNanoseconds),
                    "In http mode: from the first byte of a request to the end of its head."),
                Field(
                    "request_body_idle", \.http.requestBodyIdleNanoseconds,
                    .duration(durationRangeNanoseconds),
                    "In http mode: without a byte of a request body that is not complete."),
                Field(
                    "keep_alive", \.http.keepAliveNanoseconds, .duration(durationRangeNanoseconds),
                    "In http mode: between two requests of a connection."),
                Field(
                    "response_head", \.http.responseHeadNanoseconds, .duration(durationRangeNanoseconds),
                    "In http mode: from the end of a request to the end of the response's head."),
                Field(
                    "tunnel", \.http.tunnelNanoseconds, .duration(durationRangeNanoseconds),
                    "In http mode: without a byte either way after an upgrade (WebSocket)."),
            ])
    }

    private static var listenerLimits: Section<ListenerLimits> {
        Section(
            title: "`limits` of a listener", documentation: "Limits of this listener.",
            prototype: ListenerLimits(),
            fields: [
                Field(
                    "sessions", \.sessions, ValueType.wholeNumber(sessionRange).optional,
                    absent: "no own limit",
                    "Sessions of this listener at once. Beyond it, accepting on it pauses."),
                Field(
                    "sessions_per_client", \.sessionsPerClient, ValueType.wholeNumber(sessionRange).optional,
                    absent: "no limit",
                    "Sessions of one client address at once. Beyond it, a connection is closed."),
                Field(
                    "body_size", \.bodySizeBytes, .size(bodySizeRangeBytes),
                    "In http mode: a request's body. A longer one is answered with 413."),
            ])
    }

    /// Loose: the reader says precisely what is wrong with an address.
    private static let addressPattern = "^(unix:/.+|.+:[0-9]+)$"

    static var bindAddress: ValueType<Address> {
        let type = ValueType<Address>.scalar(
            expectation: "an address such as `0.0.0.0:6379`, `[::]:6379` or `unix:/path`",
            shape: .text(pattern: addressPattern),
            parse: { scalar throws(TextProblem) in try Address.parse(scalar.text, for: .listening) },
            write: { $0.description })
        var recording = type
        recording.reader = { node, expected, context in
            guard let address = type.reader(node, expected, &context) else { return nil }
            context.boundAddresses.append(.init(address: address, span: node.span))
            return address
        }
        return recording
    }

    static var poolReference: ValueType<String> {
        let type = ValueType<String>.scalar(
            expectation: "the name of a pool", shape: .text(pattern: Names.pattern),
            parse: { $0.text }, write: { $0 })
        var recording = type
        recording.reader = { node, expected, context in
            guard let name = type.reader(node, expected, &context) else { return nil }
            context.poolReferences.append(.init(pool: name, span: node.span))
            return name
        }
        return recording
    }

    // MARK: - Pools

    static var pool: Section<Pool> {
        Section(
            title: "a pool", documentation: "A group of backends.",
            prototype: Pool(name: "", backends: [], position: SourcePosition(line: 1, column: 1)),
            fields: [
                Field("balance", \.balance, .choice("balance policy"), "How the next backend is picked."),
                Field(
                    "backends", \.backends, backends, isRequired: true,
                    "The servers: an address, or a section with the keys below."),
                Field("hash", \.hash, hash, absent: "requests do not stick"),
                Field("affinity", \.affinity, affinity, absent: "sessions do not come back"),
                Field("prequal", \.prequal, prequal, absent: "required with `balance: prequal`"),
                Field("keep_alive", \.keepAlive, keepAlive),
                Field("health", \.health, health),
                Field(
                    "slow_start", \.slowStartNanoseconds, slowStart,
                    "Over this time a backend that recovers or joins gets its share, from a tenth to all of it."
                ),
                Field("breaker", \.breaker, breaker),
                Field(
                    "on_remove", \.onRemove, .choice("way to remove"),
                    "What becomes of sessions of a backend that is removed: `drain` lets them end by themselves, "
                        + "for `drain_timeout` at most; `keep` does so without end; `close` ends them at once."
                ),
                Field(
                    "drain_timeout", \.drainNanoseconds, .duration(durationRangeNanoseconds),
                    "With `on_remove: drain`: how long sessions of a removed backend may go on."),
            ],
            judge: { node, pool, _, context in
                Validation.check(pool, node, &context)
                Validation.checkRemoval(pool, node, &context)
            },
            trim: Validation.trim)
    }

    static var backendSection: Section<Backend> {
        Section(
            title: "a backend", documentation: "A server behind Weir.",
            prototype: Backend(
                name: "", address: .unix(path: ""), position: SourcePosition(line: 1, column: 1)),
            fields: [
                Field("name", \.name, backendName, absent: "the address", "What logs and commands call it."),
                Field(
                    "address", \.address, backendAddress, isRequired: true,
                    "Where it is: `10.0.0.1:6379`, `\"[::1]:6379\"`, `name:6379`, `unix:/path`."),
                Field(
                    "weight", \.weight, .wholeNumber(weightRange),
                    "Share of new sessions relative to the others of the pool; 0 takes none."),
                Field(
                    "max_sessions", \.maxSessions, ValueType.wholeNumber(sessionRange).optional,
                    absent: "no limit",
                    "Sessions (http: requests) at once. Beyond it, the backend is passed over."),
                Field(
                    "backup", \.isBackup, backup, absent: "`false`",
                    "Takes sessions only where no backend that is no backup can."),
                Field(
                    "state", \.state, operatedState, absent: "`enabled`",
                    "`enabled`; `draining` takes no sessions but of clients that stick to it; `disabled` takes "
                        + "none, and is not checked."),
            ])
    }

    private static var backendAddress: ValueType<Address> {
        .scalar(
            expectation: "an address such as `10.0.0.1:6379`, `[::1]:6379`, `name:6379` or `unix:/path`",
            shape: .text(pattern: addressPattern),
            parse: { scalar throws(TextProblem) in try Address.parse(scalar.text, for: .backend) },
            write: { $0.description })
    }

    private static let backendNameLimit = 255

    private static var backendName: ValueType<String> {
        ValueType<String>.scalar(
            expectation: "a name without spaces, 1 to \(backendNameLimit) characters",
            shape: .text(pattern: "^\\S{1,\(backendNameLimit)}$"),
            parse: { scalar throws(TextProblem) in
                let scalars = scalar.text.unicodeScalars
                let isClean = scalars.allSatisfy { !$0.isUnprintable && !$0.properties.isWhitespace }
                if isClean, (1...backendNameLimit).contains(scalars.count) { return scalar.text }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) cannot name a backend")
            },
            write: { $0 })
    }

    /// A list whose elements are an address or a section.
    private static var backends: ValueType<[Backend]> {
        let section = backendSection
        let address = backendAddress
        let backend = ValueType<Backend>(
            expectation: "an address, or a section with `address`",
            shape: .either([address.shape, .section(section.shape)]),
            reader: { node, expected, context in
                var backend = section.prototype
                backend.position = context.source.position(of: node.span.start)
                if case .mapping = node.content {
                    section.read(node, into: &backend, owner: node.span, &context)
                    if backend.name.isEmpty { backend.name = node.scalarText(at: "address") ?? "" }
                } else {
                    guard let read = address.reader(node, expected, &context) else { return nil }
                    backend.address = read
                    if case .scalar(let scalar) = node.content { backend.name = scalar.text }
                }
                let nameSpan = node.value(at: "name")?.span ?? node.value(at: "address")?.span ?? node.span
                context.backendNames.append(.init(name: backend.name, span: nameSpan))
                return backend
            },
            render: { backend in
                guard case .mapping(var entries) = section.render(backend) else { return nil }
                // A backend that is called by its address needs no name, and some addresses are no names.
                if backend.name == backend.address.description { entries.removeAll { $0.key == "name" } }
                return .mapping(entries)
            })
        let list = backend.list(limit: backendLimit, of: "addresses or sections")
        var checking = list
        checking.reader = { node, expected, context in
            context.backendNames = []
            guard let backends = list.reader(node, expected, &context) else { return nil }
            Validation.check(backends, at: node.span, &context)
            return backends
        }
        return checking
    }
}
