// Policies that follow response times.

import Base
import Glibc
import TestSupport
import Testing

@testable import Balancing

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

@Suite struct LatencyTests {
    /// One of three answers ten times slower.
    private func skewed(_ policy: Policy) -> PolicyPlan {
        let pool = plan(policy, [1, 1, 1])
        for round in 1...200 {
            for index in 0..<3 {
                pool.observe(
                    index, nanoseconds: (index == 0 ? 100 : 10) * millisecond, now: UInt64(round) * second)
            }
        }
        return pool
    }

    @Test func peakEWMASparesASlowBackend() {
        var state = PolicyState(skewed(.peakEWMA), seed: 1)
        let counts = counts(&state, picks: 10_000, now: 200 * second)
        // It is chosen only where it was drawn twice, or alone.
        #expect(counts[0] < 100)
        #expect(counts.reduce(0, +) == 10_000)
    }

    @Test func peakEWMAWeighsSessionsAgainstTime() {
        var state = PolicyState(skewed(.peakEWMA), seed: 1)
        var held = [Int](repeating: 0, count: 3)
        for _ in 0..<210 { held[state.hold(now: 200 * second)!] += 1 }
        // Ten times slower: a tenth of the sessions.
        #expect((8...12).contains(held[0]))
        #expect(abs(held[1] - held[2]) < 10)
    }

    @Test func peakEWMAJumpsUpAtOnceAndDecays() {
        let latency = Latency()
        PeakEWMA.observe(latency, 1_000_000, now: second)
        #expect(latency.nanoseconds.load(ordering: .relaxed) == 1_000_000)
        PeakEWMA.observe(latency, 50_000_000, now: 2 * second)
        #expect(latency.nanoseconds.load(ordering: .relaxed) == 50_000_000)
        // After the time of decay 1/e of the peak is left, and the rest is what is seen now.
        PeakEWMA.observe(latency, 0, now: 12 * second)
        #expect(abs(latency.nanoseconds.load(ordering: .relaxed) / 50_000_000 - 0.3679) < 0.001)
    }

    @Test func peakEWMAForgivesAPeakAfterSomeDozensOfAnswers() {
        let latency = Latency()
        PeakEWMA.observe(latency, 50_000_000, now: second)
        for _ in 0..<32 { PeakEWMA.observe(latency, 1_000_000, now: second) }
        #expect(abs(latency.nanoseconds.load(ordering: .relaxed) / 18_740_000 - 1) < 0.01)
    }

    @Test func whoWasSlowIsAskedAgainOnceItIsForgotten() {
        var state = PolicyState(skewed(.peakEWMA), seed: 1)
        // Others are seen again, it is not.
        for index in 1...2 { state.plan.observe(index, nanoseconds: 10 * millisecond, now: 260 * second) }
        #expect(counts(&state, picks: 1000, now: 260 * second)[0] > 300)
    }

    @Test func whoFailsFastDoesNotLookFast() {
        var state = PolicyState(plan(.peakEWMA, [1, 1]), seed: 1)
        state.plan.observe(0, nanoseconds: 10 * millisecond, now: second)
        state.plan.observeFailure(1, nanoseconds: 1000, now: second)
        #expect(counts(&state, picks: 1000, now: second)[1] < 20)
    }

    @Test func anUnknownBackendIsTriedOnceAndNotFlooded() {
        var state = PolicyState(plan(.peakEWMA, [1, 1]), seed: 1)
        state.plan.observe(0, nanoseconds: 10 * millisecond, now: second)
        var held = [Int](repeating: 0, count: 2)
        for _ in 0..<100 { held[state.hold(now: second)!] += 1 }
        // More than once only where it was the only one drawn.
        #expect((1...4).contains(held[1]))
    }

    @Test func adaptiveStaysWithinHalfAndTwiceTheWeight() {
        let pool = skewed(.adaptive)
        var state = PolicyState(pool, seed: 1)
        let counts = counts(&state, picks: 100_000).map(Double.init)
        // The average is 40 ms: factors 0.5 (40 / 100, bounded) and 2 (40 / 10, bounded).
        #expect(abs(counts[0] / 100_000 - 0.5 / 4.5) < 0.01)
        #expect(abs(counts[1] / 100_000 - 2 / 4.5) < 0.01)
    }

    @Test func adaptiveComesBackWhenTheBackendDoes() {
        let pool = skewed(.adaptive)
        for _ in 0..<1000 {
            for index in 0..<3 { pool.observe(index, nanoseconds: 10 * millisecond, now: 300 * second) }
        }
        var state = PolicyState(pool, seed: 1)
        for count in counts(&state, picks: 90_000) { #expect(abs(count - 30_000) < 900) }
    }

    /// Each fast answer takes away a part of the peak, so what is left tells how many were counted.
    @Test func observationsOfManyWorkersAreNotLost() {
        let pool = plan(.peakEWMA, [1])
        PeakEWMA.observe(pool.candidates[0].latency, 1e300, now: second)
        onThreads(4) { worker in
            for _ in 0..<5_000 { pool.observe(0, nanoseconds: 0, now: second) }
        }
        let left = pool.candidates[0].latency.nanoseconds.load(ordering: .relaxed)
        let counted = log(left / 1e300) / log(31.0 / 32)
        // Who finds it changed by others again and again gives up.
        #expect(counted > 19_900 && counted < 20_000.5)
    }
}
