// How a pool chooses its backends, compiled from the configuration, and what a session is chosen by.

import Balancing
import Configuration
import Routing
import Telemetry

extension Pool {
    /// In the order of the plan: backups after all others.
    public var backendsBackupsLast: [Backend] {
        backends.filter { !$0.isBackup } + backends.filter(\.isBackup)
    }
}

extension PoolPlan {
    /// Who the client is has a say in its backend.
    var looksAtClients: Bool {
        if case .clientAddress = affinity { return true }
        return balance.policy.needsKey
    }

    /// The hash of what a request is chosen by, and what that was; nil where the policy looks at no key.
    func key(
        _ view: RequestView, client: ClientAddress
    ) -> (hash: UInt64, origin: HashKeyOrigin)? {
        guard balance.policy.needsKey else { return nil }
        let address = (client.high, client.low)
        if balance.policy == .ipHash { return (hashOfAddress(address), .clientAddress) }
        return hash?.find(view, client: address) ?? (hashOfAddress(address), .clientAddress)
    }
}

extension PolicyPlan {
    /// `backends` are those of the pool, backups last.
    init(_ pool: Pool, _ backends: [Backend]) {
        let policy: Policy =
            switch pool.balance {
            case .roundRobin: .roundRobin
            case .leastConnections: .leastConnections
            case .random: .random
            case .powerOfTwo: .powerOfTwo
            case .ipHash: .ipHash
            case .consistentHash: pool.hash?.algorithm == .ketama ? .ketama : .maglev
            case .peakEWMA: .peakEWMA
            case .adaptive: .adaptive
            case .prequal: .prequal
            }
        self.init(
            policy,
            backends.map { backend in
                BackendShare(
                    identity: stableHash(backend.name), weight: UInt32(backend.weight),
                    maxSessions: UInt32(backend.maxSessions ?? Int(UInt32.max)), isBackup: backend.isBackup)
            }, boundPercent: pool.balance == .consistentHash ? pool.hash?.boundedLoadPercent ?? 0 : 0,
            panicPercent: pool.health.panicBelowPercent)
    }
}

/// What the log calls what was hashed.
struct KeyNames {
    let key: UnsafeRawBufferPointer
    let fallback: UnsafeRawBufferPointer
    let client: UnsafeRawBufferPointer

    init(_ pool: Pool, _ memory: SnapshotMemory) {
        let hash = pool.balance == .consistentHash ? pool.hash : nil
        client = memory.keep(HashKey.clientAddress.description)
        key = hash.map { memory.keep($0.key.description) } ?? client
        fallback = hash.map { memory.keep($0.fallback.description) } ?? client
    }

    func name(_ origin: HashKeyOrigin) -> UnsafeRawBufferPointer {
        switch origin {
        case .key: key
        case .fallback: fallback
        case .clientAddress: client
        }
    }
}

extension Worker {
    /// A session of tcp mode has nothing but its client's address.
    func noteClientKey(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.pool.pointee.plan.pointee.balance.policy.needsKey else { return }
        let client = session.pointee.client
        session.pointee.key = hashOfAddress((client.high, client.low))
        session.pointee.keyOrigin = .clientAddress
    }

    /// What a request is chosen by.
    func noteKey(_ session: UnsafeMutablePointer<Session>, _ view: RequestView) {
        let pool = session.pointee.pool.pointee.plan
        guard pool.pointee.balance.policy.needsKey,
            let key = pool.pointee.key(view, client: session.pointee.client)
        else { return }
        (session.pointee.key, session.pointee.keyOrigin) = key
    }

    /// The session's backend took so long to answer.
    func observeLatency(_ session: UnsafeMutablePointer<Session>, since start: UInt64) {
        tally(.answers, session)
        tally(.answerMicroseconds, session, (now &- start) / 1000)
        let pool = session.pointee.pool.pointee.plan
        // The call copies the plan.
        guard pool.pointee.balance.policy.followsLatency else { return }
        pool.pointee.balance.observe(Int(session.pointee.backend), nanoseconds: now &- start, now: now)
    }

    /// The session's backend did not answer.
    func observeFailure(_ session: UnsafeMutablePointer<Session>, since start: UInt64) {
        guard session.pointee.holdsBackend else { return }
        let pool = session.pointee.pool.pointee.plan
        pool.pointee.balance.observeFailure(
            Int(session.pointee.backend), nanoseconds: now &- start, now: now)
    }

    /// Why the session, or its request, went to its backend.
    func writePick(_ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>) {
        let pool = session.pointee.pool.pointee.plan
        let policy = pool.pointee.balance.policy
        let pick = session.pointee.sequence.pick
        record.beginObject("pick")
        record.word("policy", policy.name)
        record.number("candidates", UInt64(pool.pointee.candidates.count))
        if pick.full > 0 || pick.overBound > 0 || pick.excluded != Exclusions() {
            record.beginObject("excluded")
            if pick.full > 0 { record.number("full", UInt64(pick.full)) }
            if pick.overBound > 0 { record.number("bounded_load", UInt64(pick.overBound)) }
            writeExcluded(&record, pick.excluded, .unhealthy)
            writeExcluded(&record, pick.excluded, .ejected)
            writeExcluded(&record, pick.excluded, .draining)
            writeExcluded(&record, pick.excluded, .disabled)
            record.endObject()
        }
        if pick.isBackup { record.flag("backup") }
        if pick.isFallback { record.word("fallback", Policy.peakEWMA.name) }
        if pick.isHot { record.flag("hot") }
        if pick.isPanic { record.flag("panic") }
        writeAffinity(&record, session)
        if policy.needsKey {
            record.text("key", pool.pointee.keyNames.name(session.pointee.keyOrigin))
            record.identifier("hash", session.pointee.key)
        }
        if policy.hasScore, session.pointee.attempts > 0, pick.sticky != .taken {
            record.number("score", UInt64(pick.score))
        }
        record.endObject()
    }
    private func writeExcluded(
        _ record: inout RecordWriter, _ excluded: Exclusions, _ state: BackendState
    ) {
        let count = excluded.count(state)
        if count > 0 { record.number(state.name, UInt64(count)) }
    }
}
