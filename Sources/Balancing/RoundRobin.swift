// Smooth weighted round robin, as nginx made it known (commit 52327e0627f4, 2012): at each choice every
// usable candidate gains its weight, the richest is taken and pays the sum. Weights 5, 1, 1 give
// a a b a c a a. With equal weights that is a plain rotation, which costs no walk.

import Base

/// What one worker remembers of its rotation over one pool.
struct RoundRobin: ~Copyable {
    /// The next position of the plain rotation.
    private var position: Int
    /// What each candidate has gained and not yet paid; empty where weights are equal.
    private var credit: [Int64]

    /// Begins at a random place of the cycle.
    init(candidates: Candidates, random: inout RandomSource) {
        let begin = candidates.count > 0 ? Int(random.next(below: UInt32(candidates.count))) : 0
        position = begin
        credit = candidates.weightsAreEqual ? [] : Array(repeating: 0, count: candidates.count)
        if !credit.isEmpty {
            for _ in 0..<begin { _ = choose(from: candidates) }
        }
    }

    mutating func choose(from candidates: Candidates) -> Int? {
        credit.isEmpty ? rotate(over: candidates) : chooseRichest(of: candidates)
    }

    private mutating func rotate(over candidates: Candidates) -> Int? {
        for _ in 0..<candidates.count {
            let index = position
            position = position + 1 < candidates.count ? position + 1 : 0
            if candidates[index].isUsable { return index }
        }
        return nil
    }

    private mutating func chooseRichest(of candidates: Candidates) -> Int? {
        var richest: Int?
        var total: Int64 = 0
        for index in 0..<candidates.count where candidates[index].isUsable {
            let weight = Int64(candidates[index].weight)
            credit[index] += weight
            total += weight
            if let known = richest, credit[known] >= credit[index] { continue }
            richest = index
        }
        if let richest { credit[richest] -= total }
        return richest
    }
}
