// How an explanation is printed: for a terminal, and as JSON.

import Configuration
import Dataplane
import LogReading
import Routing

extension Explanation {
    /// For a terminal: a word at the left, what it means at the right.
    public func text(_ configuration: Configuration) -> String {
        var page = Page()
        page.add("request", ["\(request.method) \(request.url) from \(request.client)"])
        page.add("listener", [listener.name])
        if case .refused(let status, let cause) = decision.outcome {
            page.add("refused", ["\(status), cause \(cause); the connection is closed"])
            page.add("", ["docs/http.md has the rules. No route was looked for."])
            return page.text
        }
        if let client = decision.forwardedClient {
            page.add("client", ["\(client), by X-Forwarded-For of a peer in forwarded.trusted"])
        }
        page.add("route", [routeText])
        if decision.outcome == .denied {
            page.add("denied", ["403: \(clientText) is not served (allow and deny of the listener)"])
            return page.text
        }
        page.add("limits", limitLines)
        page.add("action", actionLines(configuration.pools))
        if let choice {
            page.add("sends", ["\(request.method) \(decision.backendTarget)"])
            page.add("headers", requestHeaderLines)
            page.add("", (route?.responseHeaders.summaries ?? []).map { "to the client: \($0)" })
            if let cookie = choice.setCookie {
                page.add("", ["to the client: \(cookie)", "to the client: Cache-Control: private"])
            }
            page.add(
                "pool", ["\(choice.pool.name): \(policyText(choice.pool))"] + backendLines(choice))
            if let affinity { page.add("affinity", [affinity.text]) }
            page.add("choice", choiceLines(choice))
        } else {
            page.add("headers", (route?.responseHeaders.summaries ?? []).map { "to the client: \($0)" })
        }
        return page.text
    }

    private var clientText: String { decision.forwardedClient ?? request.client }

    /// How many came before is known to a running Weir only.
    private var limitLines: [String] {
        [("listener", listener.rateLimit), ("route", route?.rateLimit)].compactMap { owner, limit in
            limit.map {
                "\(owner): \($0.rate) for each \($0.key.words), \($0.burst ?? 0) at once; beyond it 429"
            }
        }
    }

    private var routeText: String {
        guard let index = decision.route, let route else {
            return listener.routes.isEmpty
                ? "none: the listener has none" : "none of \(listener.routes.count) matches"
        }
        let place = route.position.line > 0 ? " (line \(route.position.line))" : ""
        return "\(index + 1) of \(listener.routes.count)\(place): \(route.match.summary)"
    }

    private func actionLines(_ pools: [Pool]) -> [String] {
        guard let route else {
            if let pool = listener.pool { return ["pool \(pool), the listener's own"] }
            return ["404, because the listener has no pool for what no route takes"]
        }
        switch decision.outcome {
        case .redirect(let location):
            guard case .redirect(let redirect) = route.action else { return [] }
            return ["redirect, status \(redirect.status)", "Location: \(location)"]
        case .respond:
            guard case .respond(let response) = route.action else { return [] }
            return [
                "respond, status \(response.status)",
                response.body.isEmpty
                    ? "no body" : "\(response.body.utf8.count) bytes of \(response.contentType)",
            ]
        case .pool(let index):
            guard let reason = splitReason(pools) else { return [route.action.summary] }
            return [route.action.summary, "\(reason) -> \(pools[index].name)"]
        case .refused, .denied, .notFound: return []
        }
    }

    private var requestHeaderLines: [String] {
        var lines: [String] = []
        if !decision.fieldsLeftOut.isEmpty {
            lines.append("left out: \(decision.fieldsLeftOut.joined(separator: ", "))")
        }
        lines += (route?.requestHeaders.summaries ?? []).map { "to the backend: \($0)" }
        if listener.forwarded.xForwarded != .off {
            lines.append(
                "X-Forwarded-For, -Proto, -Host, -Port: \(forwardingText(listener.forwarded.xForwarded))")
        }
        if listener.forwarded.forwarded != .off {
            lines.append("Forwarded: \(forwardingText(listener.forwarded.forwarded))")
        }
        if let via = listener.forwarded.via { lines.append("Via: \(via) added") }
        if let name = listener.forwarded.requestID { lines.append("\(name): made where it is missing") }
        return lines
    }

    private func forwardingText(_ mode: ForwardingHeader) -> String {
        if mode == .replace { return "replaced" }
        return decision.trustsClient
            ? "added to, because the client is in forwarded.trusted"
            : "replaced, because the client is not in forwarded.trusted"
    }

    private func policyText(_ pool: Pool) -> String {
        guard pool.balance == .prequal, let prequal = pool.prequal else { return pool.balance.rawValue }
        return "prequal, asking \(prequal.path); fallback: \(Self.prequalFallback)"
    }

    private func backendLines(_ choice: Choice) -> [String] {
        var rows = choice.order.enumerated().map { position, index in
            let backend = choice.pool.backends[index]
            let most = backend.maxSessions.map { ", unless it has \($0) sessions" } ?? ""
            return [
                "\(position + 1).", backend.name, backend.address.description, "weight \(backend.weight)",
                backend.isBackup ? "backup\(most)" : "\(choice.shareText(of: backend)) of requests\(most)",
            ]
        }
        for (index, backend) in choice.pool.backends.enumerated() {
            guard let why = exclusion(of: index, choice) else { continue }
            rows.append(["-", backend.name, backend.address.description, why, "excluded"])
        }
        // A backend without a name of its own is called by its address.
        let isNamed = choice.pool.backends.contains { $0.name != $0.address.description }
        if !isNamed { for index in rows.indices { rows[index].remove(at: 2) } }
        return Page.aligned(rows)
    }

    private func choiceLines(_ choice: Choice) -> [String] {
        guard let first = choice.order.first else { return ["none: every backend is excluded"] }
        let backend = choice.pool.backends[first]
        if first == choice.sticky { return [backend.name, "Its cookie names it: the policy is not asked."] }
        if let origin = decision.keyOrigin {
            let key = keyText(choice.pool, origin)
            return [backend.name, "The key is \(key): the same key always goes there."]
        }
        if choice.pool.balance == .prequal {
            return [
                backend.name,
                "Nobody was asked for its load here: the choice is that of \(Self.prequalFallback), as in a running",
                "Weir while fewer than 2 backends have told theirs in the last second.",
            ]
        }
        let order =
            choice.order.count > 1
            ? [
                "The order is that of a policy that has just begun: a running Weir is somewhere in its rotation."
            ]
            : []
        return [backend.name] + order
    }

    private static let prequalFallback = BalancePolicy.peakEWMA.rawValue

    private func keyText(_ pool: Pool, _ origin: HashKeyOrigin) -> String {
        guard pool.balance == .consistentHash, let hash = pool.hash else { return "client_ip" }
        switch origin {
        case .key: return hash.key.description
        case .fallback: return "\(hash.fallback), because \(hash.key) is missing"
        case .clientAddress: return "client_ip, because \(hash.key) is missing"
        }
    }
}

// MARK: - JSON

extension Explanation {
    /// The same for programs. Keys that do not apply are left out.
    public func json(_ configuration: Configuration) -> String {
        var members: [JSON.Member] = [
            .init("method", .string(request.method)), .init("url", .string(request.url)),
            .init("client", .string(request.client)), .init("listener", .string(listener.name)),
        ]
        if let index = decision.route, let route {
            members.append(.init("route", .integer(index + 1)))
            members.append(.init("line", .integer(route.position.line)))
            members.append(.init("match", .string(route.match.summary)))
        }
        members += outcomeMembers(configuration.pools)
        if !limitLines.isEmpty { members.append(.init("rate_limits", .array(limitLines.map(JSON.string)))) }
        if let choice { members += choiceMembers(choice) }
        return JSON.object(members).text() + "\n"
    }

    private func outcomeMembers(_ pools: [Pool]) -> [JSON.Member] {
        switch decision.outcome {
        case .refused(let status, let cause):
            return [
                .init("action", .string("refuse")), .init("status", .integer(status)),
                .init("cause", .string(cause)),
            ]
        case .denied:
            return [
                .init("action", .string("deny")), .init("status", .integer(403)),
                .init("denied_client", .string(clientText)),
            ]
        case .notFound: return [.init("action", .string("not_found")), .init("status", .integer(404))]
        case .redirect(let location):
            guard case .redirect(let redirect)? = route?.action else { return [] }
            return [
                .init("action", .string("redirect")), .init("status", .integer(redirect.status)),
                .init("location", .string(location)),
            ]
        case .respond:
            guard case .respond(let response)? = route?.action else { return [] }
            return [
                .init("action", .string("respond")), .init("status", .integer(response.status)),
                .init("body", .string(response.body)), .init("content_type", .string(response.contentType)),
            ]
        case .pool(let index):
            let pool: [JSON.Member] = [.init("pool", .string(pools[index].name))]
            guard let reason = splitReason(pools), case .split(let shares)? = route?.action else {
                return [.init("action", .string("pool"))] + pool
            }
            let parts = shares.map { JSON.Member($0.pool, .string(Quantities.shareText($0.share))) }
            return [
                .init("action", .string("split")), .init("split", .object(parts)),
                .init("split_by", .string(reason)),
            ] + pool
        }
    }

    private func choiceMembers(_ choice: Choice) -> [JSON.Member] {
        let candidates = choice.order.map { index in
            let backend = choice.pool.backends[index]
            var members: [JSON.Member] = [
                .init("backend", .string(backend.name)),
                .init("address", .string(backend.address.description)),
                .init("weight", .integer(backend.weight)),
                .init("share", .string(choice.shareText(of: backend))),
            ]
            if let most = backend.maxSessions { members.append(.init("max_sessions", .integer(most))) }
            return JSON.object(members)
        }
        let excluded = choice.pool.backends.enumerated().compactMap { index, backend in
            exclusion(of: index, choice).map { why in
                JSON.object([.init("backend", .string(backend.name)), .init("why", .string(why))])
            }
        }
        var members: [JSON.Member] = [
            .init("target", .string(decision.backendTarget)),
            .init("fields_left_out", .array(decision.fieldsLeftOut.map(JSON.string))),
            .init("request_headers", .array((route?.requestHeaders.summaries ?? []).map(JSON.string))),
            .init("response_headers", .array((route?.responseHeaders.summaries ?? []).map(JSON.string))),
            .init("client_is_trusted", .boolean(decision.trustsClient)),
            .init("policy", .string(choice.pool.balance.rawValue)),
            .init("candidates", .array(candidates)), .init("excluded", .array(excluded)),
        ]
        if choice.pool.balance == .prequal {
            members.append(.init("fallback", .string(Self.prequalFallback)))
        }
        if let affinity {
            members.append(
                .init(
                    "affinity",
                    .object([
                        .init("by", .string(affinity.by)), .init("result", .string(affinity.result)),
                    ])))
        }
        if let cookie = choice.setCookie { members.append(.init("set_cookie", .string(cookie))) }
        if let first = choice.order.first {
            members.append(.init("choice", .string(choice.pool.backends[first].name)))
        }
        return members
    }
}

extension RateKey {
    /// What has a limit of its own.
    fileprivate var words: String {
        switch self {
        case .clientNetwork(32, 128): "client"
        case .clientNetwork(let ipv4, let ipv6): "network of clients (/\(ipv4) of IPv4, /\(ipv6) of IPv6)"
        case .header(let name): "value of \(name) (without it: client)"
        case .route: "route"
        }
    }
}
