// Affinity in http worlds: clients bring cookies of backends, or junk; in a strict world they must be served by
// whom they name, and everywhere an answer sets the cookie of who gave it, unless the client has it.

import Configuration
import Dataplane
import SimulatedKernel

/// What a request brings as cookies.
struct CookiePlan {
    /// The value of Cookie.
    var text: String
    /// Index of the backend in its pool that it names; nil where it names none.
    var backend: Int?
}

extension WorldPlan {
    /// One address of a client stands for the same backend for a world's whole life.
    static var longTimeToLiveNanoseconds: UInt64 { 86_400_000_000_000 }

    mutating func drawAffinity(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            var affinity = AffinitySettings()
            if isHTTP, !source.oneIn(3) {
                affinity.cookie = "WEIR"
            } else {
                affinity.isByClientAddress = true
                affinity.clients = isStrict ? 64 : Int(1 + source.below(4))
                affinity.timeToLiveNanoseconds =
                    isStrict
                    ? Self.longTimeToLiveNanoseconds : source.logarithmic(1_000_000_000, 60_000_000_000)
            }
            configuration.pools[pool].affinity = affinity
        }
    }
}

extension HTTPSource {
    /// Most clients bring a cookie of the pool, some of another one's, some what no Weir ever set.
    mutating func cookie(_ pool: Pool, _ others: [Pool]) -> CookiePlan? {
        if oneIn(4) { return nil }
        let junk = [
            "WEIR", "WEIR=", "weir=0123456789abcdef", "a=b", "WEIR=0123456789abcdef", ";;", "WEIR=\"x\"",
        ]
        if oneIn(4) { return CookiePlan(text: junk[below(junk.count)], backend: nil) }
        let other = others[below(others.count)]
        let owner = oneIn(5) ? other : pool
        let backends = owner.backendsBackupsLast
        let index = below(backends.count)
        let number = String(affinityNumber(pool: owner.name, backend: backends[index].name), radix: 16)
        let value = String(repeating: "0", count: 16 - number.utf8.count) + number
        let before = oneIn(2) ? junk[below(junk.count)] + "; " : ""
        return CookiePlan(
            text: "\(before)WEIR=\(value)", backend: owner.name == pool.name ? index : nil)
    }
}

extension HTTPLedger {
    func pool(ofClient connection: Int32) -> Pool {
        let name = plan.configuration.listeners[Int(kernel.connection(connection).pointee.place)].pool
        return plan.configuration.pools.first { $0.name == name }!
    }

    /// What a client of the listener brings; only where its pool sets cookies.
    func drawCookie(_ client: Int32) -> CookiePlan? {
        let pool = pool(ofClient: client)
        guard pool.affinity?.cookie != nil else { return nil }
        return source.cookie(pool, plan.configuration.pools)
    }

    /// Who serves a connection, as the index within its pool.
    func backendIndex(_ connection: Int32, _ pool: Pool) -> Int? {
        let name = "b\(kernel.connection(connection).pointee.place)"
        return pool.backendsBackupsLast.firstIndex { $0.name == name }
    }

    /// A backend sees a request.
    func checkStickiness(_ connection: Int32, _ facts: RequestFacts) {
        // A request that is tried again goes to another one.
        guard plan.isStrict, facts.sightings.isEmpty else { return }
        let pool = pool(ofClient: facts.client)
        guard let affinity = pool.affinity, let backend = backendIndex(connection, pool) else { return }
        if let named = facts.plan.cookie?.backend, named != backend {
            fail("request \(facts.plan.number) names backend \(named) and is sent to \(backend)")
        }
        // Of a request that is tried again the next backend is remembered before it sees it.
        guard affinity.isByClientAddress, plan.configuration.listeners.allSatisfy({ $0.retry == nil }) else {
            return
        }
        let client = "\(pool.name) \(kernel.clientHost(facts.client))"
        let known = backendsOfClients[client] ?? backend
        backendsOfClients[client] = backend
        if known != backend {
            fail("request \(facts.plan.number) of client \(client) goes from backend \(known) to \(backend)")
        }
    }

    /// A client is sent the answer of a backend, or one of Weir's own.
    func checkCookie(answer: Int32?, _ head: MessageHead, _ facts: RequestFacts) {
        let lines = head.values("set-cookie")
        let pool = pool(ofClient: facts.client)
        guard let answer, pool.affinity?.cookie != nil,
            let backend = backendIndex(answers[Int(answer)].backend, pool),
            facts.plan.cookie?.backend != backend
        else {
            // Whom its cookie names may have been out until the request was tried again.
            if !lines.isEmpty, !plan.operates {
                fail("request \(facts.plan.number) is given a cookie that it has")
            }
            return
        }
        let number = affinityNumber(pool: pool.name, backend: pool.backendsBackupsLast[backend].name)
        guard lines.count == 1, let line = lines.first, line.hasPrefix("WEIR="),
            UInt64(line.dropFirst(5).prefix { $0 != ";" }, radix: 16) == number
        else { return fail("request \(facts.plan.number) is given \(lines), not the cookie of its backend") }
        if head.values("cache-control") != ["private"] {
            fail("request \(facts.plan.number) is given a cookie that caches may keep")
        }
    }
}
