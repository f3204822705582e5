// The histogram against sorted arrays of what was recorded: percentiles to within a thousandth, and nothing lost
// when threads are added up.

import Base
import Bench
import Testing

/// The value that `percent` of the sorted values do not exceed.
private func exact(_ sorted: [UInt64], _ percent: Double) -> UInt64 {
    sorted[max(1, Int((percent / 100 * Double(sorted.count)).rounded(.up))) - 1]
}

/// Random durations of a shape that latencies have.
private enum Shape: CaseIterable {
    case uniform, acrossMagnitudes, mostlyShortWithATail, allAlike

    func draw(_ random: inout RandomSource) -> UInt64 {
        switch self {
        case .uniform: UInt64(random.next(below: 5_000_000))
        case .acrossMagnitudes: UInt64(1) << UInt64(random.next(below: 40)) + random.next() % 1_000
        case .mostlyShortWithATail:
            random.next(below: 100) == 0
                ? 1_000_000_000 + random.next() % 5_000_000_000 : 50_000 + random.next() % 200_000
        case .allAlike: 123_456_789
        }
    }
}

@Suite struct HistogramTests {
    private static let percentiles: [Double] = [0, 1, 10, 50, 75, 90, 99, 99.9, 99.99, 100]

    @Test(arguments: Shape.allCases, [1, 2, 7, 1_000, 50_000])
    fileprivate func percentilesAreRightToAThousandth(_ shape: Shape, count: Int) {
        var random = RandomSource(seed: UInt64(count))
        let values = (0..<count).map { _ in shape.draw(&random) }.sorted()
        var histogram = Histogram()
        for value in values { histogram.record(value) }
        for percent in Self.percentiles {
            let (wanted, found) = (exact(values, percent), histogram.percentile(percent))
            #expect(found >= wanted && found <= wanted + wanted / 1000 + 1, "p\(percent)")
        }
        #expect(histogram.minimum == values.first && histogram.maximum == values.last)
        #expect(histogram.percentile(100) == values.last)
        let mean = Double(values.reduce(0, &+)) / Double(count)
        #expect(abs(histogram.mean - mean) <= mean / 1e9)
    }

    @Test func threadsAddUpToOne() {
        var random = RandomSource(seed: 3)
        var first = Histogram()
        var second = Histogram()
        var whole = Histogram()
        for index in 0..<10_000 {
            let value = Shape.acrossMagnitudes.draw(&random)
            if index % 3 == 0 { first.record(value) } else { second.record(value) }
            whole.record(value)
        }
        first.add(second)
        #expect(first.count == 10_000)
        for percent in Self.percentiles { #expect(first.percentile(percent) == whole.percentile(percent)) }
        #expect(first.mean == whole.mean && first.minimum == whole.minimum && first.maximum == whole.maximum)
    }

    @Test func theSummaryCountsEachDurationOnceAndInItsRange() {
        var random = RandomSource(seed: 4)
        var histogram = Histogram()
        let values = (0..<5_000).map { _ in Shape.acrossMagnitudes.draw(&random) }
        for value in values { histogram.record(value) }
        let ranges = histogram.summary()
        #expect(ranges.reduce(0) { $0 + $1.count } == 5_000)
        var seen: UInt64 = 0
        for range in ranges {
            seen += range.count
            #expect(values.count { $0 <= range.upTo } == seen)
        }
    }

    @Test func durationsBeyondTheLargestAreCountedAndTheMaximumKnowsThem() {
        var histogram = Histogram()
        histogram.record(1)
        histogram.record(.max / 2)
        #expect(histogram.count == 2 && histogram.maximum == .max / 2)
        #expect(histogram.percentile(50) == 1)
        #expect(histogram.percentile(99) >= Histogram.largestNanoseconds)
    }

    @Test func anEmptyOneSaysNothing() {
        let histogram = Histogram()
        #expect(histogram.percentile(99) == 0 && histogram.maximum == 0 && histogram.mean == 0)
        #expect(histogram.summary().isEmpty)
    }
}
