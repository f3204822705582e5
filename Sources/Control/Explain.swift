// `weir explain`: what a configuration would do with a request, and why. The decision is that of the code that
// serves (Dataplane/RequestDecision.swift); here it is joined with the words of the configuration.

import Base
import Configuration
import Dataplane

/// A request and what would become of it.
public struct Explanation {
    let request: MadeUpRequest
    let listener: Listener
    let decision: RequestDecision
    /// Of the decision's pool; backups stand last.
    let choice: Choice?

    /// A pool's backends as its policy sees them.
    struct Choice {
        let pool: Pool
        /// Indices of backends, in the order in which they would be tried.
        let order: [Int]
        /// Index of whom the request's cookie names.
        let sticky: Int?
        /// What the response sets, so that the next request comes back.
        let setCookie: String?

        /// Of requests, in the long run, while nobody is full; with at most two decimals.
        func shareText(of backend: Backend) -> String {
            let total = pool.backends.filter { !$0.isBackup }.reduce(0) { $0 + $1.weight }
            let hundredths = total == 0 ? 0 : (Double(backend.weight) / Double(total) * 10_000).rounded()
            return Quantities.shareText(hundredths / 10_000)
        }
    }

    /// The part that the decision's route has in the configuration.
    var route: Route? { decision.route.map { listener.routes[$0] } }

    /// - Parameters:
    ///   - listenerName: may be left out where there is one http listener.
    ///   - draw: for what is left to chance: the same number, the same answer.
    public init(
        _ request: MadeUpRequest, _ configuration: Configuration, listenerName: String?, draw: UInt64
    ) throws(Failure) {
        self.request = request
        let index = try Self.listener(listenerName, configuration)
        let head = try request.head()
        let client = try request.clientAddress()
        // Nothing is connected to: names need not be looked up.
        let generation = Generation(configuration, sockets: [], seed: draw) {
            $0.address.socketAddress ?? SocketAddress(ipv4: 0, port: 0)
        }
        defer { withExtendedLifetime(generation) {} }
        let snapshot = generation.snapshot
        // Mixed: small numbers shall not draw alike.
        var random = RandomSource(seed: draw)
        listener = configuration.listeners[index]
        decision = snapshot.decide(head: head, listener: index, client: client, draw: random.next())
        if case .pool(let pool) = decision.outcome {
            var shown = configuration.pools[pool]
            shown.backends = shown.backendsBackupsLast
            choice = Choice(shown, pool, decision, snapshot, seed: random.next())
        } else {
            choice = nil
        }
    }

    private static func listener(
        _ name: String?, _ configuration: Configuration
    ) throws(Failure) -> Int {
        let http = configuration.listeners.indices.filter { configuration.listeners[$0].mode == .http }
        let known = http.map { configuration.listeners[$0].name }.joined(separator: ", ")
        if http.isEmpty {
            throw Failure("the configuration has no listener with `mode: http`; only those have routes")
        }
        guard let name else {
            if http.count == 1 { return http[0] }
            throw Failure("which listener? Name one with --listener: \(known)")
        }
        guard let index = configuration.listeners.firstIndex(where: { $0.name == name }) else {
            throw Failure("there is no listener `\(name)`; of http mode there is: \(known)")
        }
        if http.contains(index) { return index }
        throw Failure(
            "the listener `\(name)` is of tcp mode, where nothing of a request is read; "
                + "of http mode there is: \(known)")
    }

    /// Why a backend gets nothing; nil where it may.
    func exclusion(of index: Int, _ choice: Choice) -> String? {
        choice.pool.backends[index].weight == 0 && choice.sticky != index ? "weight 0" : nil
    }

    /// Whether affinity chose, in the words of the access log, and in a sentence; nil where there is none.
    var affinity: (by: String, result: String, text: String)? {
        guard let choice, let finding = decision.affinity?.finding else { return nil }
        guard let cookie = choice.pool.affinity?.cookie else {
            return (
                "client_ip", "none",
                "client_ip: as of a client that is not remembered; others go where they went before"
            )
        }
        switch finding {
        case .missing: return ("cookie", "none", "cookie \(cookie): the request has none")
        case .unknown: return ("cookie", "unknown", "cookie \(cookie): names no backend of the pool")
        case .backend(let index):
            return ("cookie", "hit", "cookie \(cookie): names \(choice.pool.backends[index].name)")
        }
    }

    /// By what a split decided, in words; nil where there was none.
    func splitReason(_ pools: [Pool]) -> String? {
        switch decision.splitBy {
        case nil: return nil
        case .chance?: return "drawn anew for each request"
        case .key(let index, let origin)?:
            guard let hash = pools[index].hash else { return nil }
            switch origin {
            case .key: return "sticks by \(hash.key.description), the hash of pool \(pools[index].name)"
            case .fallback:
                return "sticks by \(hash.fallback.description), because it has no \(hash.key.description)"
            case .clientAddress:
                return "sticks by client_ip, because it has neither \(hash.key.description) nor "
                    + hash.fallback.description
            }
        }
    }
}

extension Explanation.Choice {
    /// `pool` has its backends in the order of the snapshot, where it is the one at `index`.
    fileprivate init(
        _ pool: Pool, _ index: Int, _ decision: RequestDecision, _ snapshot: Snapshot, seed: UInt64
    ) {
        self.pool = pool
        if case .backend(let backend)? = decision.affinity?.finding { sticky = backend } else { sticky = nil }
        order = snapshot.candidates(ofPool: index, key: decision.key, sticky: sticky, seed: seed)
        if let first = order.first, first != sticky, let affinity = decision.affinity {
            setCookie = snapshot.setCookie(
                ofPool: index, backend: first, isSecure: affinity.setsSecureCookie)
        } else {
            setCookie = nil
        }
    }
}
