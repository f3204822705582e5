// One random candidate in proportion to the weights, in the same time for three and for ten thousand: an
// alias table (Walker, "An efficient method for generating discrete random variables with general
// distributions", 1977; built as Vose does, 1991). Shared by all workers; random numbers are the caller's.

import Base

@safe
struct WeightedDraw: BitwiseCopyable, @unchecked Sendable {
    /// A place of the table belongs to its own candidate up to `threshold` (of 2^32), then to `other`.
    private struct Place: BitwiseCopyable {
        var threshold: UInt32
        var other: UInt16
    }

    private let count: UInt32
    /// nil where weights are equal.
    private let places: UnsafePointer<Place>?

    /// At most 65,535 weights below 65,536. Lives until `deallocate`.
    init(weights: [UInt32]) {
        count = UInt32(weights.count)
        let total = weights.reduce(0) { $0 + UInt64($1) }
        guard total > 0, !weights.allSatisfy({ $0 == weights[0] }) else {
            unsafe places = nil
            return
        }
        let table = Self.table(weights, total: total)
        let memory = UnsafeMutablePointer<Place>.allocate(capacity: table.count)
        unsafe memory.initialize(from: table, count: table.count)
        unsafe places = UnsafePointer(memory)
    }

    func deallocate() { unsafe places?.deallocate() }

    /// Each place holds `total` of what the candidates have, `count` times their weight.
    private static func table(_ weights: [UInt32], total: UInt64) -> [Place] {
        var left = weights.map { UInt64($0) * UInt64(weights.count) }
        var places = weights.indices.map { Place(threshold: .max, other: UInt16($0)) }
        var small = left.indices.filter { left[$0] < total }
        var large = left.indices.filter { left[$0] >= total }
        while let poor = small.popLast(), let rich = large.popLast() {
            places[poor] = Place(threshold: UInt32((left[poor] << 32) / total), other: UInt16(rich))
            left[rich] -= total - left[poor]
            if left[rich] < total { small.append(rich) } else { large.append(rich) }
        }
        return places
    }

    /// The index of a candidate. There must be one with a weight.
    @inline(__always)
    func draw(_ random: inout RandomSource) -> Int {
        let bits = random.next()
        let index = Int(((bits >> 32) &* UInt64(count)) >> 32)
        guard let places = unsafe places else { return index }
        let place = unsafe places[index]
        return UInt32(truncatingIfNeeded: bits) < place.threshold ? index : Int(place.other)
    }
}
