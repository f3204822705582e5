// Smooth weighted round robin, as nginx made it known (commit 52327e0627f4, 2012): at each choice every
// usable candidate gains its weight, the richest is taken and pays the sum. Weights 5, 1, 1 give
// a a b a c a a. With equal weights that is a plain rotation, which costs no walk.

import Base

/// What one worker remembers of its rotation over one pool.
@safe
struct RoundRobin: ~Copyable {
    /// The next position of the plain rotation.
    private var position: Int
    /// What each candidate has gained and not yet paid; nil where weights are equal. No array: its check
    /// for other owners has no place in a choice.
    private let credit: UnsafeMutablePointer<Int64>?

    /// Walking further than this into the cycle at start would take long with many backends.
    private static var furthestStart: Int { 256 }

    /// Begins at a random place of the cycle.
    init(candidates: Candidates, random: inout RandomSource) {
        let begin = candidates.count > 0 ? Int(random.next(below: UInt32(candidates.count))) : 0
        position = begin
        guard !candidates.weightsAreEqual else {
            unsafe credit = nil
            return
        }
        let zeroed = UnsafeMutablePointer<Int64>.allocate(capacity: max(candidates.count, 1))
        unsafe zeroed.initialize(repeating: 0, count: candidates.count)
        unsafe credit = zeroed
        for _ in 0..<min(begin, Self.furthestStart) { _ = unsafe chooseRichest(of: candidates, zeroed) }
    }

    deinit { unsafe credit?.deallocate() }

    mutating func take(from candidates: Candidates, _ random: inout RandomSource) -> Int? {
        guard let credit = unsafe credit else {
            return rotate(over: candidates, &random)
                ?? WeightedRandom.takeAmongUsable(of: candidates, &random)
        }
        // Another worker may take the last place of the one that was chosen.
        for _ in 0..<4 {
            guard let index = unsafe chooseRichest(of: candidates, credit) else { return nil }
            if candidates.admits(index, &random), candidates.take(index) { return index }
        }
        return WeightedRandom.takeAmongUsable(of: candidates, &random)
    }

    private mutating func rotate(over candidates: Candidates, _ random: inout RandomSource) -> Int? {
        for _ in 0..<candidates.count {
            let index = position
            position = position + 1 < candidates.count ? position + 1 : 0
            if candidates.admits(index, &random), candidates.take(index) { return index }
        }
        return nil
    }

    private func chooseRichest(
        of candidates: Candidates, _ credit: UnsafeMutablePointer<Int64>
    ) -> Int? {
        var richest: Int?
        var total: Int64 = 0
        for index in 0..<candidates.count where candidates.isUsable(index) {
            let weight = Int64(candidates[index].weight)
            unsafe credit[index] += weight
            total += weight
            if let known = richest, unsafe credit[known] >= credit[index] { continue }
            richest = index
        }
        if let richest { unsafe credit[richest] -= total }
        return richest
    }
}
