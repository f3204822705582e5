// The running estimate of what one answer in twenty takes longer than.

import Base
import Testing

@testable import Dataplane

private func estimate(_ count: Int, _ quantile: LatencyQuantile = LatencyQuantile(), _ next: () -> UInt64)
    -> LatencyQuantile
{
    var quantile = quantile
    for _ in 0..<count { quantile.observe(nanoseconds: next()) }
    return quantile
}

@Test func nothingIsSaidOfFewAnswers() {
    #expect(estimate(19) { 1000 }.estimate(after: LatencyQuantile.enough) == nil)
    #expect(estimate(20) { 1000 }.estimate(after: LatencyQuantile.enough) == 1000)
    #expect(estimate(2) { 1000 }.estimate(after: 2) == 1000)
}

@Test(arguments: [1, 2, 3] as [UInt64])
func oneInTwentyTakesLonger(seed: UInt64) {
    var random = RandomSource(seed: seed)
    var quantile = estimate(2000) { random.next() % 100_000_000 }
    var above = 0
    for _ in 0..<20_000 {
        let observed = random.next() % 100_000_000
        if observed > quantile.estimate(after: 20)! { above += 1 }
        quantile.observe(nanoseconds: observed)
    }
    #expect((900...1100).contains(above), "\(above) of 20,000")
}

@Test func aPoolThatChangesIsFollowed() throws {
    let slow = estimate(40) { 50_000_000 }
    #expect((40_000_000...60_000_000).contains(try #require(slow.estimate(after: 20))))
    let fast = estimate(600, slow) { 1_000_000 }
    #expect(try #require(fast.estimate(after: 20)) < 2_000_000)
    let slowAgain = estimate(40, fast) { 50_000_000 }
    #expect(try #require(slowAgain.estimate(after: 20)) > 40_000_000)
}

@Test func oneAnswerThatNeverCameChangesLittle() throws {
    var quantile = estimate(100) { 1_000_000 }
    quantile.observe(nanoseconds: UInt64.max)
    #expect(try #require(quantile.estimate(after: 20)) < 1_400_000)
}
