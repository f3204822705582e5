// When each backend is checked next: the first time spread over an interval, so that a thousand backends are not
// asked at once; then an interval after the last time, a little more or less by chance.

import Base

public struct CheckSchedule {
    private struct Due {
        var at: UInt64
        var target: Int
    }

    /// A binary heap by time.
    private var heap: [Due]
    private let intervals: [UInt64]
    private let jitterPercents: [Int]
    private var random: RandomSource

    /// Of each target an interval in nanoseconds and the jitter in percent of it.
    public init(_ targets: [(intervalNanoseconds: UInt64, jitterPercent: Int)], seed: UInt64, now: UInt64) {
        intervals = targets.map(\.intervalNanoseconds)
        jitterPercents = targets.map(\.jitterPercent)
        random = RandomSource(seed: seed)
        heap = []
        let count = Double(max(targets.count, 1))
        for (target, interval) in intervals.enumerated() {
            // Neighbours are of the same pool, often of the same host: the golden ratio keeps them apart.
            let place = (Double(target) * 0.618_033_988_749_895).truncatingRemainder(dividingBy: 1)
            let shift = place + random.nextUnit() / count
            push(
                Due(
                    at: now + UInt64(Double(interval) * shift.truncatingRemainder(dividingBy: 1)),
                    target: target))
        }
    }

    /// When somebody is due; `UInt64.max` where nobody ever is.
    public var nextAt: UInt64 { heap.first?.at ?? UInt64.max }

    /// A target that is due, which is due again after its interval. nil where nobody is.
    public mutating func next(now: UInt64) -> Int? {
        guard let first = heap.first, first.at <= now else { return nil }
        let interval = Double(intervals[first.target])
        let jitter = (random.nextUnit() * 2 - 1) * Double(jitterPercents[first.target]) / 100
        heap[0].at = first.at + UInt64(interval * (1 + jitter))
        // Who was late is not asked twice to make up for it, and all who were late are spread anew.
        if heap[0].at <= now { heap[0].at = now + 1 + UInt64(interval * random.nextUnit()) }
        sink()
        return first.target
    }

    private mutating func push(_ due: Due) {
        heap.append(due)
        var place = heap.count - 1
        while place > 0, heap[place].at < heap[(place - 1) / 2].at {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func sink() {
        var place = 0
        while true {
            var least = 2 * place + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, heap[least + 1].at < heap[least].at { least += 1 }
            guard heap[least].at < heap[place].at else { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
