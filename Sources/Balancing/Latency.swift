// How long backends take to answer, as all workers of the process see it together. Policies that follow
// response times read it at each choice; the data plane tells it each response.

import Synchronization

/// Of one backend, or of a whole pool.
struct Latency: ~Copyable {
    /// Smoothed, in nanoseconds; 0 until something was observed.
    let nanoseconds = Atomic<Double>(0)
    /// When it changed last, on the workers' clock.
    let changedAt = Atomic<UInt64>(0)

    /// Other workers may change it at the same time. One that never gets through loses an observation.
    private static var attempts: Int { 8 }

    /// Takes over what another one knows. Nobody else uses this one yet.
    func copy(_ other: borrowing Latency) {
        nanoseconds.store(other.nanoseconds.load(ordering: .relaxed), ordering: .relaxed)
        changedAt.store(other.changedAt.load(ordering: .relaxed), ordering: .relaxed)
    }

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
