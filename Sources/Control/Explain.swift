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
        let snapshot = Snapshot(configuration) {
            $0.address.socketAddress ?? SocketAddress(ipv4: 0, port: 0)
        }
        // Mixed: small numbers shall not draw alike.
        var random = RandomSource(seed: draw)
        listener = configuration.listeners[index]
        decision = snapshot.decide(head: head, listener: index, client: client, draw: random.next())
        if case .pool(let pool) = decision.outcome {
            var shown = configuration.pools[pool]
            shown.backends = shown.backendsBackupsLast
            choice = Choice(
                pool: shown,
                order: snapshot.candidates(ofPool: pool, key: decision.key, seed: random.next()))
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
    func exclusion(of backend: Backend) -> String? {
        backend.weight == 0 ? "weight 0" : nil
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
