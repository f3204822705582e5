// Counters of backends and listeners, and the buckets of their histograms.

import Telemetry
import Testing

@Test func talliesOfWorkersAddUpAndDoNotMix() {
    let tallies = Tallies(count: 3, cells: 9, workers: 4)
    for index in 0..<3 {
        for worker in 0..<4 {
            for cell in 0..<9 {
                tallies[index].add(cell, UInt64(index * 100 + worker + cell), worker: worker)
            }
        }
    }
    for index in 0..<3 {
        for cell in 0..<9 {
            #expect(tallies[index].sum(cell) == UInt64(4 * (index * 100 + cell) + 0 + 1 + 2 + 3))
        }
    }
}

@Test func aDurationIsInTheFirstBucketWhoseBoundIsNotBelowIt() {
    let bounds = (0..<DurationBuckets.count - 1).map { DurationBuckets.boundMicroseconds($0)! }
    #expect(DurationBuckets.boundMicroseconds(DurationBuckets.count - 1) == nil)
    #expect(bounds.first == 64 && bounds.last == 64 << 20)
    #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 && $1 <= $0 * 3 / 2 })
    var values: [UInt64] = [0, 1, .max]
    for bound in bounds { values += [bound - 1, bound, bound + 1] }
    for value in values {
        let wanted = bounds.firstIndex { $0 >= value } ?? bounds.count
        #expect(DurationBuckets.index(microseconds: value) == wanted, "\(value)")
    }
}
