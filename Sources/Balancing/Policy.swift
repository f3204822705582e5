// The register of policies: what the snapshot builds for a pool, shared by all workers, and what each worker
// remembers for it. A new policy is a file beside this one and a case in each switch below.

import Base

/// How a pool chooses a backend for a session.
public enum Policy: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    case roundRobin
    case leastConnections
    case random
    case powerOfTwo
    /// As `maglev`; the key is the client's address.
    case ipHash
    /// `consistent_hash` on a ring.
    case ketama
    /// `consistent_hash` by a table.
    case maglev
    case peakEWMA
    case adaptive
    case prequal

    /// True where `PolicyPlan.observe` has an effect.
    @inlinable
    public var followsLatency: Bool {
        switch self {
        case .peakEWMA, .prequal, .adaptive: true
        case .roundRobin, .leastConnections, .random, .powerOfTwo, .ipHash, .ketama, .maglev: false
        }
    }

    /// As the configuration and the log name it.
    public var name: StaticString {
        switch self {
        case .roundRobin: "round_robin"
        case .leastConnections: "least_connections"
        case .random: "random"
        case .powerOfTwo: "power_of_two"
        case .ipHash: "ip_hash"
        case .ketama, .maglev: "consistent_hash"
        case .peakEWMA: "peak_ewma"
        case .adaptive: "adaptive"
        case .prequal: "prequal"
        }
    }

    /// True where `Choice.key` decides.
    public var needsKey: Bool {
        switch self {
        case .ipHash, .ketama, .maglev: true
        case .roundRobin, .leastConnections, .random, .powerOfTwo, .peakEWMA, .adaptive, .prequal: false
        }
    }

    /// True where `Pick.score` says something: the sessions that the backend had (`least_connections`,
    /// `power_of_two`), the cost in microseconds (`peak_ewma`), the percentage of its weight (`adaptive`), the
    /// latency in microseconds that the backend told (`prequal`; where `Pick.isFallback`, as `peak_ewma`).
    public var hasScore: Bool {
        switch self {
        case .leastConnections, .powerOfTwo, .peakEWMA, .adaptive, .prequal: true
        case .roundRobin, .random, .ipHash, .ketama, .maglev: false
        }
    }
}

/// What is chosen among together: all that are no backups, or all backups. With what the policy has built for
/// them.
struct Tier: BitwiseCopyable, @unchecked Sendable {
    let candidates: Candidates
    let draw: WeightedDraw
    let cycle: SmoothCycle
    let places: KeyPlaces
    /// Of a backend's share of the sessions; 0 is no bound.
    let boundPercent: UInt64
    /// What its backends said of their load; nil where nobody asks them.
    let probes: ProbePool?
}

/// What a pool's policy needs that does not change, and the counts that all workers share. Lives until
/// `deallocate`.
public struct PolicyPlan: BitwiseCopyable, @unchecked Sendable {
    public let policy: Policy
    /// All backends, in the order that they were given.
    public let candidates: Candidates
    let primaries: Tier
    let backups: Tier

    /// Backups come after all others. `boundPercent` is for the policies with a key: no backend gets more than
    /// so much of its share of the sessions; 0 is no bound. Where fewer than `panicPercent` of the backends are
    /// well, health is ignored; 0 for never. `maglevTableSize` is a prime; with a hundred entries
    /// for each backend shares differ by about 1 %.
    public init(
        _ policy: Policy, _ backends: [BackendShare], boundPercent: Int = 0, panicPercent: Int = 0,
        maglevTableSize: Int = 65_537
    ) {
        let primaryCount = backends.prefix { !$0.isBackup }.count
        precondition(backends[primaryCount...].allSatisfy(\.isBackup), "backups come last")
        let candidates = Candidates(
            backends, countsSessions: boundPercent > 0, panicPercent: panicPercent)
        let tier = { (places: Range<Int>) in
            let part = Array(backends[places])
            let keyPlaces: KeyPlaces =
                switch policy {
                case .ipHash, .maglev: Maglev.places(of: part, tableSize: maglevTableSize)
                case .ketama: Ketama.places(of: part)
                case .roundRobin, .leastConnections, .random, .powerOfTwo, .peakEWMA, .adaptive, .prequal:
                    .none
                }
            let weights = part.map(\.weight)
            return Tier(
                candidates: Candidates(candidates, places, of: backends),
                draw: WeightedDraw(weights: weights),
                cycle: policy == .roundRobin ? SmoothCycle(weights: weights) : .none, places: keyPlaces,
                boundPercent: UInt64(boundPercent),
                // Backups are not asked: they have nothing to do.
                probes: policy == .prequal && places.lowerBound == 0 ? ProbePool() : nil)
        }
        self.policy = policy
        self.candidates = candidates
        primaries = tier(0..<primaryCount)
        backups = tier(primaryCount..<backends.count)
    }

    /// Gives the memory back. Nobody may use a copy, or a `PolicyState` of it, afterwards.
    public func deallocate() {
        for tier in [primaries, backups] {
            tier.draw.deallocate()
            tier.cycle.deallocate()
            tier.places.deallocate()
            tier.probes?.deallocate()
        }
        candidates.deallocate()
    }

    /// A backend took so long to answer. For the policies that follow it.
    public func observe(_ index: Int, nanoseconds: UInt64, now: UInt64) {
        switch policy {
        case .peakEWMA, .prequal: PeakEWMA.observe(candidates[index].latency, Double(nanoseconds), now: now)
        case .adaptive: Adaptive.observe(index, of: candidates, Double(nanoseconds), now: now)
        case .roundRobin, .leastConnections, .random, .powerOfTwo, .ipHash, .ketama, .maglev: break
        }
    }

    /// A backend did not answer, after so long. Who fails fast must not look fast: it counts as a second.
    public func observeFailure(_ index: Int, nanoseconds: UInt64, now: UInt64) {
        observe(index, nanoseconds: max(nanoseconds, 1_000_000_000), now: now)
    }
}

/// What one worker remembers for one pool between choices.
public struct PolicyState: ~Copyable {
    public let plan: PolicyPlan
    private var primaries: TierState
    private var backups: TierState
    private var random: RandomSource

    /// The seed also sets where the rotation begins, so that workers do not all begin with the first one.
    public init(_ plan: PolicyPlan, seed: UInt64) {
        self.plan = plan
        random = RandomSource(seed: seed)
        primaries = TierState(plan.primaries, &random)
        backups = TierState(plan.backups, &random)
    }

    /// Takes a place at the next candidate in `sequence` and answers its index; nil when all were tried or
    /// none is usable. `Candidates.release` gives the place back.
    public mutating func take(_ sequence: inout CandidateSequence, _ choice: Choice) -> Int? {
        sequence.pick.full = UInt16(clamping: plan.candidates.fullCount)
        sequence.pick.excluded = plan.candidates.excluded
        sequence.pick.isPanic = sequence.pick.excluded.word != 0 && plan.candidates.isPanicking
        while let index = takeNext(&sequence, choice) {
            if let trial = mutant(.manyOnTrial) ? .noTrial : plan.candidates.begin(index) {
                sequence.trial = trial
                return index
            }
            plan.candidates.release(index)
        }
        return nil
    }

    private mutating func takeNext(_ sequence: inout CandidateSequence, _ choice: Choice) -> Int? {
        if let sticky = choice.sticky, sequence.takeSticky(sticky, of: plan.candidates) {
            sequence.pick.isBackup = sticky >= plan.primaries.candidates.count
            return sticky
        }
        sequence.pick.isBackup = false
        if !sequence.isAmongBackups {
            if let index = primaries.take(plan.policy, &sequence, choice, &random) { return index }
            guard plan.backups.candidates.count > 0 else { return nil }
            sequence.enterBackups(primaryCount: plan.primaries.candidates.count)
        }
        guard let index = backups.take(plan.policy, &sequence, choice, &random) else { return nil }
        sequence.pick.isBackup = true
        return plan.primaries.candidates.count + index
    }
}

private struct TierState: ~Copyable {
    let tier: Tier
    private var roundRobin: RoundRobin
    private var leastConnections: LeastConnections

    init(_ tier: Tier, _ random: inout RandomSource) {
        self.tier = tier
        roundRobin = RoundRobin(tier, random: &random)
        let count = UInt32(tier.candidates.count)
        leastConnections = LeastConnections(position: count > 0 ? Int(random.next(below: count)) : 0)
    }

    mutating func take(
        _ policy: Policy, _ sequence: inout CandidateSequence, _ choice: Choice, _ random: inout RandomSource
    ) -> Int? {
        guard sequence.isFresh || (policy.needsKey && !sequence.isAtLimit) else {
            return sequence.takeFollowing(of: tier.candidates, &random)
        }
        guard let index = choose(policy, &sequence, choice, &random) else { return nil }
        let isSticky = sequence.wasSticky(index)
        sequence.noteChoice(index)
        guard isSticky else { return index }
        // The policy knows nothing of who was tried before it was asked.
        tier.candidates.release(index)
        return sequence.takeFollowing(of: tier.candidates, &random)
    }

    @inline(__always)
    private mutating func choose(
        _ policy: Policy, _ sequence: inout CandidateSequence, _ choice: Choice, _ random: inout RandomSource
    ) -> Int? {
        switch policy {
        case .roundRobin: roundRobin.take(from: tier, &random)
        case .leastConnections: leastConnections.take(from: tier.candidates, &sequence.pick)
        case .random: WeightedRandom.take(from: tier, &random)
        case .powerOfTwo: PowerOfTwo.take(from: tier, &random, &sequence.pick)
        case .ipHash, .ketama, .maglev: ConsistentHash.take(from: tier, &sequence, key: choice.key)
        case .peakEWMA: PeakEWMA.take(from: tier, &random, now: choice.now, &sequence.pick)
        case .adaptive: Adaptive.take(from: tier, &random, &sequence.pick)
        case .prequal: Prequal.take(from: tier, &random, now: choice.now, &sequence.pick)
        }
    }
}
