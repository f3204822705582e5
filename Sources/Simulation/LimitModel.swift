// What lists of addresses and rate limits must do, from the network's side: nobody is turned away without a cause,
// and nobody gets more than a limit leaves.

import Configuration
import Dataplane
import SimulatedKernel

extension WorldPlan {
    /// In some worlds, of which none is strict.
    mutating func drawLimits(_ source: inout PlanSource) {
        if isStrict { return }
        if faults.descriptorLimit < 4096, source.oneIn(2) {
            descriptorWatermark = Int32(faults.descriptorLimit) - Int32(source.below(6))
        }
        for listener in configuration.listeners.indices {
            if source.oneIn(2) {
                var limit = RateLimitSettings()
                limit.rate = Rate(
                    count: Int(1 + source.below(20)), unit: source.oneIn(2) ? .second : .minute)
                limit.burst = Int(1 + source.below(6))
                limit.keys = source.oneIn(4) ? 1 : 64
                if isHTTP, source.oneIn(3) { limit.key = .route }
                configuration.listeners[listener].rateLimit = limit
            }
            if source.oneIn(3) {
                let host = AddressRange.ipv4(0x0A00_0000 + UInt32(source.below(4)), prefixLength: 32)
                if source.oneIn(3) {
                    configuration.listeners[listener].allow = [host]
                } else {
                    configuration.listeners[listener].deny = [host]
                }
            }
        }
    }
}

extension Listener {
    /// Whether a host of the simulated network is served.
    func serves(host: Int32) -> Bool {
        let range = AddressRange.ipv4(0x0A00_0000 + UInt32(host), prefixLength: 32)
        return !deny.contains(range) && (allow.isEmpty || allow.contains(range))
    }
}

/// What the model knows of one key of one rate limit.
struct LimitFacts {
    /// Grants that were seen to have an effect.
    var granted = 0
    /// Times at which it may have been asked.
    var firstAt = UInt64.max
    var lastAt: UInt64 = 0
    var refused = 0
    /// How often it may have been asked.
    var asked = 0

    mutating func ask(at time: UInt64) {
        asked += 1
        firstAt = min(firstAt, time)
        lastAt = max(lastAt, time)
    }

    /// Why it cannot be; nil where it can. What was asked at one time may be decided at another that is `slack` away.
    func contradiction(_ limit: RateLimitSettings, slackNanoseconds slack: UInt64) -> String? {
        let burst = limit.burst ?? limit.rate.count
        if refused > 0, asked - refused < burst { return "\(refused) are refused before \(burst) had come" }
        guard asked > 0 else { return nil }
        let time = Double(lastAt - firstAt + slack) / Double(limit.rate.unit.nanoseconds)
        let most = Double(burst) + time * Double(limit.rate.count) + 1
        return Double(granted) > most ? "\(granted) are served, and \(most) is the most" : nil
    }
}

extension World {
    /// Hosts, and one more for a limit that all share.
    private static let keysOfListener = 5

    private func place(_ listener: Int, _ limit: RateLimitSettings, _ client: Int32) -> Int {
        listener * Self.keysOfListener + (limit.key == .route ? 4 : Int(kernel.clientHost(client)))
    }

    /// Why a session or request cannot have been turned away with this reason; nil where it can.
    func contradiction(toRefusing client: Int32, _ reason: Reason) -> String? {
        let listener = plan.configuration.listeners[Int(kernel.connection(client).pointee.place)]
        if reason == .denied { return listener.serves(host: kernel.clientHost(client)) ? "it may come" : nil }
        return listener.rateLimit == nil ? "there is no limit" : nil
    }

    /// Of tcp mode: who is not served has no backend.
    func checkIsServed(_ client: Int32) {
        let one = kernel.connection(client).pointee
        let listener = plan.configuration.listeners[Int(one.place)]
        if !listener.serves(host: kernel.clientHost(client)), !one.resetReachedUs {
            fail("connection \(client) is served, and its host is denied")
        }
    }

    /// At the end: grants and refusals of every key.
    func checkRateLimits() {
        let listeners = plan.configuration.listeners
        var keys = [LimitFacts](repeating: LimitFacts(), count: listeners.count * Self.keysOfListener)
        for client in clients {
            let one = kernel.connection(client).pointee
            let listener = Int(one.place)
            guard let limit = listeners[listener].rateLimit, one.acceptedAt > 0,
                listeners[listener].serves(host: kernel.clientHost(client))
            else { continue }
            let key = place(listener, limit, client)
            if let ledger {
                ledger.count(client, one, into: &keys[key])
            } else {
                keys[key].ask(at: one.acceptedAt)
                guard Int(client) < facts.count else { continue }
                if facts[Int(client)].wasRateLimited { keys[key].refused += 1 }
                // Who was gone when it was asked for its address has none.
                if facts[Int(client)].wasRelaying, !one.resetReachedUs { keys[key].granted += 1 }
            }
        }
        for (index, key) in keys.enumerated() {
            let name = listeners[index / Self.keysOfListener].name
            guard let limit = listeners[index / Self.keysOfListener].rateLimit,
                let wrong = key.contradiction(limit, slackNanoseconds: Self.patienceOfModel)
            else { continue }
            fail("limit of \(name), \(limit.rate) with a burst of \(limit.burst ?? 0): \(wrong)")
        }
    }
}

extension HTTPLedger {
    /// Nothing of whom the lists deny reaches a backend.
    func checkIsServed(_ client: Int32) {
        let listener = plan.configuration.listeners[Int(kernel.connection(client).pointee.place)]
        if !listener.serves(host: kernel.clientHost(client)) {
            fail("a backend sees a request of client \(client), whose host is denied")
        }
    }

    /// The requests of a client. Between a grant and what is seen of it there may be a connect, so the time begins
    /// with the client.
    func count(_ client: Int32, _ one: Connection, into key: inout LimitFacts) {
        for number in taps[Int(client)].requests {
            let request = requests[Int(number)]
            guard Int(one.toUs.read) >= request.headEnd else { continue }
            key.ask(at: one.acceptedAt)
            if request.status == 429 { key.refused += 1 }
            if request.sightedAt > 0 {
                key.lastAt = max(key.lastAt, request.sightedAt)
                if !one.resetReachedUs { key.granted += 1 }
            }
        }
    }
}
