// Smooth weighted round robin: candidates have turns in proportion to their weights and spread as evenly as
// they allow (`SmoothCycle`). Who cannot take a session when its turn comes loses that turn and gathers no
// credit, so nobody is flooded when it is well again. A choice costs the same for any number of backends.

import Base

/// Where one worker is in its rotation over one pool.
struct RoundRobin: ~Copyable {
    /// The next turn of the cycle.
    private var turn: Int
    /// Everybody's next turn, where the cycle is too long to be kept: with weights that add up to more than
    /// 65,536. A choice then costs the logarithm of the number of candidates.
    private var queue: TurnQueue

    /// Beyond so many lost turns and one for each candidate, nearly all belong to backends that cannot take one.
    private static var longestWalk: Int { 256 }
    /// Of a round, in which each candidate has as many turns as its weight says.
    private static var partsOfRound: UInt32 { 1 << 16 }

    /// Begins at a random turn of the cycle, so that workers, and the same worker with another snapshot, do not
    /// all begin with the same candidate.
    init(_ tier: Tier, random: inout RandomSource) {
        let cycle = tier.cycle
        turn = cycle.count > 0 ? Int(random.next(below: UInt32(cycle.count))) : 0
        let needsQueue = cycle.count == 0 && tier.candidates.totalWeight > 0
        queue = TurnQueue(needsQueue ? Self.turns(tier.candidates, &random) : [])
    }

    /// First turns after a random time of the round. Each candidate's own are shifted by multiples of the golden
    /// ratio, else those of equal weight would come in a heap.
    private static func turns(_ candidates: Candidates, _ random: inout RandomSource) -> [Turn] {
        let start = UInt64(random.next(below: partsOfRound))
        let parts = UInt64(partsOfRound)
        return (0..<candidates.count).filter { candidates[$0].weight > 0 }.map { index in
            let weight = UInt64(candidates[index].weight)
            let shift = UInt64(index) * 40_503 % parts
            let number = (start * weight + shift) / parts + 1
            return Turn(number: number * parts - shift, step: parts, weight: weight, player: index)
        }
    }

    mutating func take(from tier: Tier, _ random: inout RandomSource) -> Int? {
        guard tier.candidates.totalWeight > 0 else { return nil }
        for _ in 0..<tier.candidates.count + Self.longestWalk {
            let index = next(of: tier.cycle)
            if tier.candidates.admits(index, &random), tier.candidates.take(index) { return index }
        }
        return WeightedRandom.takeAmongUsable(of: tier.candidates, &random)
    }

    @inline(__always)
    private mutating func next(of cycle: SmoothCycle) -> Int {
        guard queue.count == 0 else { return queue.next() }
        let index = cycle.owner(turn)
        turn = turn + 1 < cycle.count ? turn + 1 : 0
        return index
    }
}
