// What the tests of this folder share: pools of made-up backends, and choices among them.

import Balancing
import Base

/// A backend's identity as the data plane makes it: any hash of its name.
func identity(_ number: Int) -> UInt64 {
    var random = RandomSource(seed: 0xB0B0 &+ UInt64(number) &* 7919)
    return random.next()
}

func shares(_ weights: [UInt32], maxSessions: UInt32 = .max) -> [BackendShare] {
    weights.enumerated().map {
        BackendShare(identity: identity($0), weight: $1, maxSessions: maxSessions)
    }
}

func plan(
    _ policy: Policy, _ weights: [UInt32], maxSessions: UInt32 = .max, boundPercent: Int = 0,
    maglevTableSize: Int = 65_537
) -> PolicyPlan {
    PolicyPlan(
        policy, shares(weights, maxSessions: maxSessions), boundPercent: boundPercent,
        maglevTableSize: maglevTableSize)
}

extension PolicyState {
    /// The first choice of a fresh sequence; the place is given back at once.
    mutating func pick(key: UInt64 = 0, now: UInt64 = 0) -> Int? {
        let index = hold(key: key, now: now)
        if let index { plan.candidates.release(index) }
        return index
    }

    /// The first choice of a fresh sequence; the place stays taken.
    mutating func hold(key: UInt64 = 0, now: UInt64 = 0) -> Int? {
        var sequence = CandidateSequence()
        return take(&sequence, Choice(key: key, now: now))
    }

    /// Everybody that one sequence meets, given back at once.
    mutating func walk(key: UInt64 = 0) -> [Int] {
        var sequence = CandidateSequence()
        var met: [Int] = []
        while let index = take(&sequence, Choice(key: key)) {
            plan.candidates.release(index)
            met.append(index)
        }
        return met
    }
}

/// How often each of `count` candidates comes in so many picks.
func counts(_ state: inout PolicyState, picks: Int, now: UInt64 = 0) -> [Int] {
    var random = RandomSource(seed: 99)
    var counts = [Int](repeating: 0, count: state.plan.candidates.count)
    for _ in 0..<picks {
        if let index = state.pick(key: random.next(), now: now) { counts[index] += 1 }
    }
    return counts
}

/// Whose each of `count` keys is.
func owners(_ plan: PolicyPlan, keys count: Int) -> [Int] {
    var state = PolicyState(plan, seed: 1)
    var random = RandomSource(seed: 5)
    return (0..<count).map { _ in state.pick(key: random.next())! }
}
