// The candidate with the fewest sessions for its weight, this one included: the smallest (active + 1) /
// weight. It looks at all of them, a cache line each: for a hundred that is well below a microsecond, for
// ten thousand tens of them, where `power_of_two` does nearly as well.

/// What one worker remembers between choices.
struct LeastConnections {
    /// Of equals the first from here on is taken, so that they take turns.
    private var position = 0

    /// Others may choose the same at the same time: who finds its count changed looks again.
    private static var attempts: Int { 8 }

    init(position: Int) { self.position = position }

    mutating func take(from candidates: Candidates, _ pick: inout Pick) -> Int? {
        for attempt in 1...Self.attempts {
            guard let (index, active) = least(of: candidates) else { return nil }
            let isTaken =
                attempt < Self.attempts
                ? candidates.take(index, ifActiveIs: active) : candidates.take(index)
            guard isTaken else { continue }
            position = index + 1 < candidates.count ? index + 1 : 0
            pick.score = UInt32(clamping: active)
            return index
        }
        return nil
    }

    private func least(of candidates: Candidates) -> (index: Int, active: Int)? {
        var best: (index: Int, active: Int)?
        var bestWeight: UInt64 = 0
        var index = position
        for _ in 0..<candidates.count {
            let weight = candidates.weight(index)
            let active = candidates[index].active.load(ordering: .relaxed)
            if weight > 0, active < Int(candidates[index].maxSessions) {
                // (active + 1) / weight, compared without dividing.
                let isLess =
                    best.map { UInt64(active + 1) * bestWeight < UInt64($0.active + 1) * weight } ?? true
                if isLess { (best, bestWeight) = ((index, active), weight) }
            }
            index = index + 1 < candidates.count ? index + 1 : 0
        }
        return best
    }
}
