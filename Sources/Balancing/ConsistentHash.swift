// Choice by a key: the same key goes to the same backend, on every worker and every Weir, as long as that
// one is there. From the key's place a walk over the places goes on to the next best, past those that are
// full, were tried already, or have more than their share (bounded load).

/// The places of a ring or table, each with its owner. A key has a place, and the walk goes up from there.
@safe
struct KeyPlaces: BitwiseCopyable, @unchecked Sendable {
    let count: Int
    private let owners: UnsafePointer<UInt16>
    /// Where each place stands, ascending; nil where they stand at equal distances.
    private let points: UnsafePointer<UInt64>?

    static var none: KeyPlaces { KeyPlaces(owners: [], points: nil) }

    /// Lives until `deallocate`.
    init(owners: [UInt16], points: [UInt64]?) {
        count = owners.count
        unsafe self.owners = keep(owners)
        if let points { unsafe self.points = keep(points) } else { unsafe self.points = nil }
    }

    func deallocate() {
        unsafe owners.deallocate()
        unsafe points?.deallocate()
    }

    /// The first place at or after the key, or the first of all.
    @inline(__always)
    func place(of key: UInt64) -> Int {
        guard let points = unsafe points else { return Int(key.multipliedFullWidth(by: UInt64(count)).high) }
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if unsafe points[middle] >= key { high = middle } else { low = middle + 1 }
        }
        return low < count ? low : 0
    }

    @inline(__always)
    func place(after place: Int) -> Int { place + 1 < count ? place + 1 : 0 }

    @inline(__always)
    func owner(_ place: Int) -> Int {
        precondition(place >= 0 && place < count)
        return unsafe Int(owners[place])
    }
}

/// A copy that lives until it is deallocated.
func keep<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element> {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    unsafe memory.initialize(from: elements, count: elements.count)
    return unsafe UnsafePointer(memory)
}

enum ConsistentHash {
    /// So many places are looked at before all candidates are: enough unless hardly any is usable.
    private static var longestWalk: Int { 256 }

    private enum Outcome { case taken, unusable, overBound }

    static func take(from tier: Tier, _ sequence: inout CandidateSequence, key: UInt64) -> Int? {
        guard tier.places.count > 0 else { return nil }
        var place = tier.places.place(of: key)
        let first = tier.places.owner(place)
        var overBound = Remembered()
        for _ in 0..<min(longestWalk, tier.places.count) {
            let index = tier.places.owner(place)
            place = tier.places.place(after: place)
            if sequence.wasChosen(index) || overBound.contains(index) { continue }
            if !tier.candidates.admits(index, key: key) { continue }
            switch take(index, of: tier) {
            case .taken:
                sequence.pick.overBound = UInt8(overBound.count)
                return index
            case .overBound: overBound.add(index)
            case .unusable: break
            }
        }
        sequence.pick.overBound = UInt8(overBound.count)
        return takeAny(of: tier, sequence, from: first)
    }

    /// Within the bound where there is one, else beyond it: a session is not refused for the sake of balance.
    private static func takeAny(of tier: Tier, _ sequence: CandidateSequence, from first: Int) -> Int? {
        let count = tier.candidates.count
        for pass in 0..<2 {
            for offset in 0..<count {
                let index = first + offset < count ? first + offset : first + offset - count
                if sequence.wasChosen(index) { continue }
                let isTaken = pass == 0 ? take(index, of: tier) == .taken : tier.candidates.take(index)
                if isTaken { return index }
            }
        }
        return nil
    }

    /// Bounded load: no backend gets more than `boundPercent` of its share of the pool's sessions, this one
    /// included (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads", 2017).
    private static func take(_ index: Int, of tier: Tier) -> Outcome {
        let candidates = tier.candidates
        guard tier.boundPercent > 0 else { return candidates.take(index) ? .taken : .unusable }
        // Another worker may change the count in between.
        for _ in 0..<4 {
            guard candidates.isUsable(index) else { return .unusable }
            let seen = candidates[index].active.load(ordering: .relaxed)
            let shares =
                tier.boundPercent * UInt64(candidates.activeCount + 1) * candidates.weight(index)
            let whole = 100 * candidates.weightNow
            if UInt64(seen + 1) > (shares + whole - 1) / whole { return .overBound }
            if candidates.take(index, ifActiveIs: seen) { return .taken }
        }
        return .unusable
    }
}

/// A few candidates; beyond that it forgets.
struct Remembered: BitwiseCopyable, Sendable {
    static var limit: Int { 4 }
    private var indices = InlineArray<4, UInt16>(repeating: 0)
    private var stored: UInt8 = 0

    var count: Int { Int(stored) }
    var isFull: Bool { count == Self.limit }
    var first: Int { Int(indices[0]) }

    mutating func add(_ index: Int) {
        guard count < Self.limit else { return }
        indices[count] = UInt16(index)
        stored += 1
    }

    @inline(__always)
    func contains(_ index: Int) -> Bool {
        var position = 0
        while position < count {
            if indices[position] == UInt16(index) { return true }
            position += 1
        }
        return false
    }
}
