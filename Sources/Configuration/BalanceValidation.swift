// What is wrong with the keys that choose a backend together: a hash without a key, keys that the policy has no
// use for, keys that only requests have in a pool that gets none.

extension Validation {
    /// Points of the ring: about 50 MB.
    static let ketamaWeightLimit = 32_768
    private static let consistentHashKeys = ["algorithm", "bounded_load"]

    /// A pool whose keys were read.
    static func check(_ pool: Pool, _ node: Node, _ context: inout ReadingContext) {
        // A policy that could not be read has been reported; what it would have needed is unknown.
        let balance = node.value(at: "balance")
        if let balance, node.scalarText(at: "balance") != pool.balance.rawValue, !balance.isNull { return }
        checkPrequal(pool, node, balance, &context)
        let hash = node.value(at: "hash")
        guard pool.balance == .consistentHash else {
            for key in consistentHashKeys {
                guard let entry = hash?.entry(at: key) else { continue }
                context.report(
                    "\(key.quotedForMessage) has no meaning with `balance: \(pool.balance.rawValue)`",
                    at: entry.keySpan, hint: "it belongs to `balance: consistent_hash`")
            }
            return
        }
        if hash == nil, let balance {
            context.report(
                "`consistent_hash` needs `hash` with a `key`", at: balance.span,
                hint: "for the client's address: `hash: { key: client_ip }`")
        }
        let weight = pool.backends.reduce(0) { $0 + $1.weight }
        if pool.hash?.algorithm == .ketama, weight > ketamaWeightLimit {
            context.report(
                "the weights of the pool add up to \(weight), too much for a `ketama` ring",
                at: hash?.value(at: "algorithm")?.span ?? node.span,
                expected: "at most \(ketamaWeightLimit)",
                hint: "smaller weights in the same proportion do the same; `maglev` has no such limit")
        }
    }

    static func checkRemoval(_ pool: Pool, _ node: Node, _ context: inout ReadingContext) {
        guard pool.onRemove != .drain, let entry = node.entry(at: "drain_timeout") else { return }
        context.report(
            "`drain_timeout` has no meaning with `on_remove: \(pool.onRemove.rawValue)`", at: entry.keySpan,
            hint: "it belongs to `on_remove: drain`")
    }

    private static func checkPrequal(
        _ pool: Pool, _ node: Node, _ balance: Node?, _ context: inout ReadingContext
    ) {
        if pool.balance == .prequal, pool.prequal == nil, let balance {
            context.report(
                "`prequal` needs `prequal` with a `path`", at: balance.span,
                hint: "where backends tell their load: `prequal: { path: /load }`")
        }
        guard pool.balance != .prequal, let entry = node.entry(at: "prequal") else { return }
        context.report(
            "`prequal` has no meaning with `balance: \(pool.balance.rawValue)`", at: entry.keySpan,
            hint: "it belongs to `balance: prequal`")
    }

    /// What only requests have, in pools that only tcp listeners use.
    static func checkUseOfRequests(
        _ configuration: Configuration, _ root: Node, _ context: inout ReadingContext
    ) {
        guard areModesKnown(root) else { return }
        let ofTCP = Set(configuration.listeners.filter { $0.mode == .tcp }.flatMap(\.usedPools))
        let ofHTTP = Set(configuration.listeners.filter { $0.mode == .http }.flatMap(\.usedPools))
        for pool in configuration.pools where ofTCP.contains(pool.name) && !ofHTTP.contains(pool.name) {
            guard let node = root.value(at: "pools")?.value(at: pool.name) else { continue }
            if let settings = pool.hash, let hash = node.value(at: "hash") {
                checkKeys(settings, hash, &context)
            }
            if pool.affinity?.cookie != nil, let cookie = node.value(at: "affinity")?.entry(at: "cookie") {
                context.report(
                    "`cookie` is something of requests, and only listeners with `mode: tcp` use this pool",
                    at: cookie.keySpan, expected: "`client_ip: true`")
            }
        }
    }

    private static func checkKeys(_ settings: HashSettings, _ hash: Node, _ context: inout ReadingContext) {
        for (name, key) in [("key", settings.key), ("fallback", settings.fallback)]
        where key != .clientAddress {
            guard let value = hash.value(at: name) else { continue }
            context.report(
                "\(key.description.quotedForMessage) is something of requests, and only listeners with "
                    + "`mode: tcp` use this pool", at: value.span, expected: "`client_ip`")
        }
    }

    private static func areModesKnown(_ root: Node) -> Bool {
        guard case .mapping(let listeners)? = root.value(at: "listeners")?.content else { return false }
        return listeners.allSatisfy { listener in
            guard let mode = listener.value.value(at: "mode") else { return true }
            guard case .scalar(let scalar) = mode.content else { return false }
            return ListenerMode(rawValue: scalar.text) != nil
        }
    }

    /// What a pool's policy, or its way to remove backends, has no use for is not shown.
    static func trim(_ pool: Pool, _ rendered: RenderedValue) -> RenderedValue {
        guard case .mapping(let all) = rendered else { return rendered }
        let entries = pool.onRemove == .drain ? all : all.filter { $0.key != "drain_timeout" }
        if pool.balance == .consistentHash { return .mapping(entries) }
        return .mapping(
            entries.map { entry in
                guard entry.key == "hash", case .mapping(let inner) = entry.value else { return entry }
                let kept = inner.filter { !consistentHashKeys.contains($0.key) }
                return RenderedValue.Entry(key: entry.key, value: .mapping(kept))
            })
    }
}
