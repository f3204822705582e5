// How long backends take to answer, as all workers of the process see it together. Policies that follow
// response times read it at each choice; the data plane tells it each response.

import Synchronization

/// Of one backend, or of a whole pool: one cache line.
struct Latency: ~Copyable {
    /// Smoothed, in nanoseconds; 0 until something was observed.
    let nanoseconds = Atomic<Double>(0)
    /// When it changed last, on the workers' clock.
    let changedAt = Atomic<UInt64>(0)
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

    /// Other workers may change it at the same time. One that never gets through loses an observation.
    private static var attempts: Int { 8 }

    @inline(__always)
    func change(now: UInt64, _ changed: (_ nanoseconds: Double, _ elapsedNanoseconds: UInt64) -> Double) {
        for _ in 0..<Self.attempts {
            let before = nanoseconds.load(ordering: .relaxed)
            let since = changedAt.load(ordering: .relaxed)
            let after = changed(before, now > since ? now - since : 0)
            guard nanoseconds.compareExchange(expected: before, desired: after, ordering: .relaxed).exchanged
            else { continue }
            changedAt.store(now, ordering: .relaxed)
            return
        }
    }
}

/// Those of the backends of a pool, and the pool's own.
@safe
struct Latencies: BitwiseCopyable, @unchecked Sendable {
    private let first: UnsafeMutablePointer<Latency>
    private let count: Int
    private let whole: UnsafeMutablePointer<Latency>

    /// Lives as long as the process.
    init(count: Int) {
        unsafe first = cacheLines(for: Latency.self, count: count + 1)
        for index in 0...count { unsafe (first + index).initialize(to: Latency()) }
        unsafe whole = first + count
        self.count = count
    }

    /// Those of a part of the backends.
    init(_ latencies: Latencies, _ places: Range<Int>) {
        precondition(places.lowerBound >= 0 && places.upperBound <= latencies.count)
        unsafe first = latencies.first + places.lowerBound
        unsafe whole = latencies.whole
        count = places.count
    }

    subscript(index: Int) -> Latency {
        @inline(__always)
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(first + index)
        }
    }

    var pool: Latency {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(whole) }
    }
}
