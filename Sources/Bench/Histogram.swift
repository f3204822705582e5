// Counts of durations in buckets whose width grows with the value, so that every percentile is known to within
// a thousandth in a fixed amount of memory. One for each load thread; they are added up at the end.
//
// Values below 2,048 have a bucket each; each doubling from there on has 1,024 buckets (after Gil Tene's
// HdrHistogram with three significant digits).

import Base

public struct Histogram: ~Copyable {
    /// Longer durations are counted in the last bucket (about 2.4 hours); `maximum` knows them exactly.
    public static var largestNanoseconds: UInt64 { 1 << 43 - 1 }

    private static var bucketsPerDoubling: UInt64 { 1024 }
    private static var bucketCount: Int { index(of: largestNanoseconds) + 1 }

    private let counts: UnsafeMutablePointer<UInt64>
    /// How many durations were recorded.
    public private(set) var count: UInt64 = 0
    /// The longest of them; 0 where there is none.
    public private(set) var maximum: UInt64 = 0
    /// The shortest of them; `UInt64.max` where there is none.
    public private(set) var minimum = UInt64.max
    private var sum: UInt64 = 0

    public init() { counts = PagedMemory.reserve(UInt64.self, count: Self.bucketCount) }

    deinit { PagedMemory.release(counts, byteCount: Self.bucketCount * MemoryLayout<UInt64>.stride) }

    /// Nanoseconds; 0 where nothing was recorded.
    public var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

    public mutating func record(_ nanoseconds: UInt64) {
        counts[Self.index(of: min(nanoseconds, Self.largestNanoseconds))] &+= 1
        count &+= 1
        sum &+= nanoseconds
        maximum = max(maximum, nanoseconds)
        minimum = min(minimum, nanoseconds)
    }

    /// The duration (nanoseconds) that `percent` of all do not exceed, up to 0.1 % too long; 0 where nothing was
    /// recorded.
    public func percentile(_ percent: Double) -> UInt64 {
        let rank = max(1, UInt64((percent / 100 * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen += counts[index]
            if seen >= rank { return min(Self.largestValue(inBucket: index), maximum) }
        }
        return maximum
    }

    /// Adds what another one has counted.
    public mutating func add(_ other: borrowing Histogram) {
        for index in 0..<Self.bucketCount { counts[index] &+= other.counts[index] }
        count &+= other.count
        sum &+= other.sum
        maximum = max(maximum, other.maximum)
        minimum = min(minimum, other.minimum)
    }

    /// The counts in ranges of an eighth of a doubling, without the empty ones: the longest duration of the
    /// range in nanoseconds, and how many fell into it.
    public func summary() -> [(upTo: UInt64, count: UInt64)] {
        let width = Int(Self.bucketsPerDoubling / 8)
        return stride(from: 0, to: Self.bucketCount, by: width).compactMap { first in
            let sum = (first..<first + width).reduce(UInt64(0)) { $0 + counts[$1] }
            return sum == 0 ? nil : (Self.largestValue(inBucket: first + width - 1), sum)
        }
    }

    private static func index(of value: UInt64) -> Int {
        if value < 2 * bucketsPerDoubling { return Int(value) }
        let shift = UInt64(53 - value.leadingZeroBitCount)
        return Int(shift * bucketsPerDoubling + value >> shift)
    }

    private static func largestValue(inBucket index: Int) -> UInt64 {
        let index = UInt64(index)
        if index < 2 * bucketsPerDoubling { return index }
        let shift = index / bucketsPerDoubling - 1
        return (index - shift * bucketsPerDoubling + 1) << shift - 1
    }
}
