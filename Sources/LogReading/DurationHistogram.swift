// Durations counted into buckets that grow with them, so that a percentile of any number of durations
// takes fixed memory and is at most 1/32 too high.

public struct DurationHistogram: Sendable {
    /// Buckets of each power of two; below this number every microsecond has a bucket of its own.
    private static let bucketsPerDoubling = 32
    private static let bucketBits = 5

    private var counts = [UInt64](repeating: 0, count: (64 - bucketBits + 1) * bucketsPerDoubling)
    public private(set) var count: UInt64 = 0
    public private(set) var largest: UInt64 = 0

    public init() {}

    public mutating func add(_ microseconds: UInt64) {
        counts[Self.bucket(of: microseconds)] += 1
        count += 1
        largest = max(largest, microseconds)
    }

    /// The duration that a `share` (0...1) of all does not exceed, by nearest rank; nil where there is none.
    public func percentile(_ share: Double) -> UInt64? {
        guard count > 0 else { return nil }
        let rank = max(1, UInt64((share * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for (bucket, number) in counts.enumerated() {
            seen += number
            if seen >= rank { return min(Self.highest(of: bucket), largest) }
        }
        return largest
    }

    private static func bucket(of value: UInt64) -> Int {
        if value < UInt64(bucketsPerDoubling) { return Int(value) }
        let doubling = 63 - value.leadingZeroBitCount - bucketBits
        // The highest bit and the five below it, of which the highest is always set.
        return (doubling + 1) * bucketsPerDoubling + Int(value >> UInt64(doubling)) - bucketsPerDoubling
    }

    private static func highest(of bucket: Int) -> UInt64 {
        let (row, column) = bucket.quotientAndRemainder(dividingBy: bucketsPerDoubling)
        if row == 0 { return UInt64(column) }
        let shift = UInt64(row - 1)
        return UInt64(column + bucketsPerDoubling) << shift + (1 << shift - 1)
    }
}
