// What policies do when one of three backends becomes ten times slower, in simulated time.

import Balancing
import Testing

@testable import Bench

@Suite struct SlowBackendTests {
    private func shareWhileSlow(_ outcome: SlowBackend.Outcome, of world: SlowBackend) -> Double {
        outcome.shares[world.slowSeconds].reduce(0, +) / Double(world.slowSeconds.count)
    }

    private func p99(_ outcome: SlowBackend.Outcome) -> Double {
        outcome.latencies[outcome.latencies.count * 99 / 100]
    }

    @Test(arguments: [1, 2, 3]) func peakEWMAHasAThirdOfTheTailOfRoundRobin(seed: UInt64) {
        var world = SlowBackend()
        world.seed = seed
        #expect(p99(world.run(.peakEWMA)) * 3 < p99(world.run(.roundRobin)))
    }

    /// What holds up all backends alike must not hide which of them is slow.
    @Test(arguments: [200, 1000, 4000] as [Double], [(1, 10e6), (1, 20e6), (4, 10e6)] as [(Double, Double)])
    func peakEWMASparesTheSlowOneAlthoughEverythingPauses(rate: Double, pauses: (Double, Double)) {
        var world = SlowBackend()
        world.requestsPerSecond = rate
        (world.stallsPerSecond, world.stallNanoseconds) = pauses
        let outcome = world.run(.peakEWMA)
        #expect(shareWhileSlow(outcome, of: world) < 0.005)
    }

    @Test func peakEWMAComesBackOnceTheBackendDoes() {
        var world = SlowBackend()
        world.seconds = 60
        let outcome = world.run(.peakEWMA)
        #expect(outcome.shares[50...].reduce(0, +) / 10 > 0.2)
    }

    /// Sessions at once are what these see: ten times longer ones are a tenth as many.
    @Test(arguments: [Policy.leastConnections, .powerOfTwo])
    func countsOfSessionsFindTheSlowOne(policy: Policy) {
        let world = SlowBackend()
        let share = shareWhileSlow(world.run(policy), of: world)
        #expect(share > 0.03 && share < 0.15)
    }

    @Test(arguments: [Policy.roundRobin, .random, .maglev, .ketama]) func othersDoNotNotice(policy: Policy) {
        let world = SlowBackend()
        #expect(abs(shareWhileSlow(world.run(policy), of: world) - 1.0 / 3) < 0.07)
    }
}
