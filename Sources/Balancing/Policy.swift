// The register of policies, and the candidate sequence that a session walks: first whom the policy
// chooses, then, where that one refuses, every other usable candidate once. A new policy is a file beside
// this one and a case in each switch below.

import Base

/// How a pool chooses a backend for a session.
public enum Policy: UInt8, Sendable {
    case roundRobin
    case random

    /// As the configuration and the log name it.
    public var name: StaticString {
        switch self {
        case .roundRobin: "round_robin"
        case .random: "random"
        }
    }
}

/// What one worker remembers for one pool between choices.
public struct PolicyState: ~Copyable {
    public let policy: Policy
    private var roundRobin: RoundRobin
    private let weightedRandom: WeightedRandom
    private var random: RandomSource

    /// The seed also sets where the rotation begins, so that workers do not all begin with the first one.
    public init(policy: Policy, candidates: Candidates, seed: UInt64) {
        self.policy = policy
        random = RandomSource(seed: seed)
        roundRobin = RoundRobin(candidates: candidates, random: &random)
        weightedRandom = WeightedRandom(candidates: candidates)
    }

    /// The index of the next candidate in `sequence` that is usable now; nil when all were tried or none
    /// is usable.
    public mutating func next(_ sequence: inout CandidateSequence, of candidates: Candidates) -> Int? {
        guard sequence.tried == 0 else { return sequence.following(of: candidates, random: &random) }
        let first =
            switch policy {
            case .roundRobin: roundRobin.choose(from: candidates)
            case .random: weightedRandom.choose(from: candidates, random: &random)
            }
        guard let first else { return nil }
        sequence.begin(at: first)
        return first
    }
}

/// Where a session is in its walk over a pool's candidates: each at most once.
public struct CandidateSequence: BitwiseCopyable, Sendable {
    /// The policy's choice.
    private var start: UInt16 = 0
    /// Coprime to the number of candidates, so that the walk meets each once; 0 until it is needed.
    private var step: UInt16 = 0
    /// How many positions of the walk were used, passed-over ones included.
    public private(set) var tried: UInt16 = 0

    public init() {}

    mutating func begin(at index: Int) {
        start = UInt16(index)
        step = 0
        tried = 1
    }

    /// The walk goes on in steps of a random size, so that the sessions of a dead backend spread over all
    /// the others instead of falling on its neighbour.
    mutating func following(of candidates: Candidates, random: inout RandomSource) -> Int? {
        let count = UInt32(candidates.count)
        if step == 0 { step = UInt16(Self.randomStep(coprimeTo: count, random: &random)) }
        while UInt32(tried) < count {
            let index = (UInt32(start) + UInt32(tried) * UInt32(step)) % count
            tried += 1
            if candidates[Int(index)].isUsable { return Int(index) }
        }
        return nil
    }

    private static func randomStep(coprimeTo count: UInt32, random: inout RandomSource) -> UInt32 {
        if count <= 2 { return 1 }
        var step = 1 + random.next(below: count - 1)
        while greatestCommonDivisor(step, count) != 1 { step = step % (count - 1) + 1 }
        return step
    }

    private static func greatestCommonDivisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
