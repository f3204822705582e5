// How durations are sorted for histograms: two buckets for each doubling from 64 microseconds to 67 seconds, so that
// a percentile is known to within a half, and the bucket of a duration is found without a search.

public enum DurationBuckets {
    /// The last one has no upper bound.
    public static let count = 2 * doublings + 2

    private static let doublings = 20
    private static let firstBoundMicroseconds: UInt64 = 64
    private static let firstBit = 6

    /// The bucket that a duration falls into: the first one whose bound is not below it.
    @inline(__always)
    public static func index(microseconds: UInt64) -> Int {
        let value = max(microseconds, 1) &- 1
        if value < firstBoundMicroseconds { return 0 }
        let bit = 63 &- value.leadingZeroBitCount
        let half = Int(truncatingIfNeeded: (value >> UInt64(bit &- 1)) & 1)
        return min(1 &+ 2 &* (bit &- firstBit) &+ half, count &- 1)
    }

    /// The longest duration in a bucket; nil of the last one.
    public static func boundMicroseconds(_ index: Int) -> UInt64? {
        if index >= count - 1 { return nil }
        let doubled = firstBoundMicroseconds << UInt64(index / 2)
        return index % 2 == 0 ? doubled : doubled / 2 * 3
    }
}
