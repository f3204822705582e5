// The prober's side of a pool of probe results: whom to ask next, how often, and what an answer changes. One thread
// has it; workers see what it writes into the `ProbePool`. Reads no clock: `now` is an argument.

import Base

/// What one prober keeps for one pool of backends.
public struct ProbeBook {
    /// Where the paper's range of 0.6 to 0.9 did best: that share of the answers tells no more than a cold backend has.
    private static let coldShare = 0.84
    /// So few in flight are not many, however few the others have: else, with little to do, a slow backend that has
    /// nothing would be the only cold one beside fast ones that have two.
    private static let neverHot = 4
    /// Answers that the share is taken of.
    private static let recentLimit = 64
    /// Probes for each request, up to the rate that is allowed.
    private static let probesPerRequest = 1.0
    /// While nobody asks anything.
    public static let idleProbesPerSecond = 4.0
    private static let usesAtLeast = 16

    private let plan: PolicyPlan
    private let probes: ProbePool
    private let mostPerSecond: Double
    private var random: RandomSource

    /// Whom to ask, in random order; when all were asked it is shuffled anew.
    private var order: [UInt16]
    private var asked = 0
    /// Probes that may begin now.
    private var credit = 0.0
    private var tickedAt: UInt64
    private var choicesSeen: UInt64
    /// Smoothed over about a second.
    private var choicesPerSecond = 0.0

    /// Requests in flight of the last answers, in a circle.
    private var recent: [Int] = []
    private var recentNext = 0
    /// By backend: it answered, but with nothing to choose by.
    private var isMute: [Bool]
    private var muteCount = 0
    private var replacesOldest = false

    /// nil where the policy asks for no probes. `mostPerSecond` of probes.
    public init?(_ plan: PolicyPlan, mostPerSecond: Int, seed: UInt64, now: UInt64) {
        guard plan.policy == .prequal, let probes = plan.primaries.probes else { return nil }
        let candidates = plan.primaries.candidates
        self.plan = plan
        self.probes = probes
        self.mostPerSecond = Double(mostPerSecond)
        random = RandomSource(seed: seed)
        order = (0..<candidates.count).filter { candidates[$0].weight > 0 }.map { UInt16($0) }
        asked = order.count
        isMute = Array(repeating: false, count: candidates.count)
        tickedAt = now
        choicesSeen = probes.choiceCount
    }

    // MARK: When and whom

    /// To be called every some milliseconds. Answers how many probes are to begin.
    public mutating func probesDue(now: UInt64) -> Int {
        guard now > tickedAt, !order.isEmpty else { return 0 }
        let seconds = Double(now - tickedAt) / 1e9
        let choices = probes.choiceCount
        let rate = Double(choices &- choicesSeen) / seconds
        choicesPerSecond += (rate - choicesPerSecond) * min(seconds, 1)
        (tickedAt, choicesSeen) = (now, choices)
        let wanted = muteCount > 0 ? 0 : rate * Self.probesPerRequest
        let allowed = min(max(wanted, Self.idleProbesPerSecond), mostPerSecond)
        // Who could not ask for a while does not make up for it.
        credit = min(credit + allowed * seconds, Double(order.count))
        let due = Int(credit)
        credit -= Double(due)
        return due
    }

    /// Whom to ask next; nil where there is nobody.
    public mutating func nextBackend() -> Int? {
        guard !order.isEmpty else { return nil }
        if asked == order.count { shuffle() }
        asked += 1
        return Int(order[asked - 1])
    }

    private mutating func shuffle() {
        for place in stride(from: order.count - 1, to: 0, by: -1) {
            order.swapAt(place, Int(random.next(below: UInt32(place + 1))))
        }
        asked = 0
    }

    // MARK: What an answer changes

    /// A backend told its load. True where it is the first answer after `isWithoutLoad`.
    public mutating func answered(
        _ backend: Int, inFlight: Int, latencyMicroseconds: UInt32, now: UInt64
    ) -> Bool {
        let inFlight = max(inFlight, 0)
        note(inFlight)
        let own = max(plan.primaries.candidates[backend].active.load(ordering: .relaxed), 0)
        let load = ProbedLoad(
            backend: backend, othersInFlight: inFlight - own, latencyMicroseconds: latencyMicroseconds,
            uses: uses, now: now)
        let place = place(for: backend, now)
        // Workers may use what stands there meanwhile: they only count down.
        while !probes.replace(probes.load(place), at: place, with: load) {}
        return setMute(backend, false)
    }

    /// A backend answered, but not with its load: as long as one does, the pool is chosen from without probes. True
    /// where that is new.
    public mutating func isWithoutLoad(_ backend: Int) -> Bool {
        forget(backend)
        return setMute(backend, true)
    }

    /// A backend did not answer: nothing is known of it.
    public mutating func forget(_ backend: Int) {
        for place in 0..<ProbePool.capacity {
            var load = probes.load(place)
            while !load.isNone, load.backend == backend, !probes.replace(load, at: place, with: .none) {
                load = probes.load(place)
            }
        }
    }

    private mutating func setMute(_ backend: Int, _ mute: Bool) -> Bool {
        if isMute[backend] == mute { return false }
        isMute[backend] = mute
        muteCount += mute ? 1 : -1
        probes.suspend(muteCount > 0)
        return true
    }

    /// How often an answer may be used: twice what comes to one on the average, so that the pool does not run dry.
    private var uses: Int {
        let probesPerSecond = min(
            max(choicesPerSecond * Self.probesPerRequest, Self.idleProbesPerSecond), mostPerSecond)
        return max(Self.usesAtLeast, Int(min(2 * choicesPerSecond / probesPerSecond, 1e6)))
    }

    private mutating func note(_ inFlight: Int) {
        if recent.count < Self.recentLimit {
            recent.append(inFlight)
        } else {
            recent[recentNext] = inFlight
            recentNext = (recentNext + 1) % Self.recentLimit
        }
        let sorted = recent.sorted()
        let quantile = sorted[Int(Double(sorted.count - 1) * Self.coldShare)]
        probes.setHotAbove(max(quantile, Self.neverHot))
    }

    /// Where the backend's own answer stands; else a free place; else, in turns, the oldest and the worst one.
    private mutating func place(for backend: Int, _ now: UInt64) -> Int {
        var free: Int?
        var (oldest, oldestAge) = (0, UInt64(0))
        var (worst, worstRank) = (0, UInt64(0))
        let hotAbove = probes.hotAbove
        for place in 0..<ProbePool.capacity {
            let load = probes.load(place)
            let age = load.age(now: now)
            if load.isNone || age > ProbePool.ageLimitNanoseconds { free = free ?? place }
            if load.isNone { continue }
            if load.backend == backend { return place }
            if age >= oldestAge { (oldest, oldestAge) = (place, age) }
            let active = plan.primaries.candidates[load.backend].active.load(ordering: .relaxed)
            let rank = Prequal.rank(
                load.othersInFlight + max(active, 0), load.latencyCode, hotAbove: hotAbove)
            if rank >= worstRank { (worst, worstRank) = (place, rank) }
        }
        if let free { return free }
        replacesOldest.toggle()
        return replacesOldest ? oldest : worst
    }
}
