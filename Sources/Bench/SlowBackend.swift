// A made-up half minute of three backends of which one is slow for a while: what a policy sends it then. Time is
// simulated and everything follows from the seed, so the same policy gives the same figures everywhere.

import Balancing
import Base

/// An open loop of requests on backends that answer after a time of their own, however many they have.
struct SlowBackend {
    var requestsPerSecond = 1000.0
    var seconds = 30
    /// When the first backend is slow, and how much.
    var slowSeconds = 10..<20
    var slowFactor = 10.0
    var meanLatencyNanoseconds = 2e6
    /// So often the whole machine stands still, for so long; 0 is never.
    var stallsPerSecond = 0.0
    var stallNanoseconds = 0.0
    var seed: UInt64 = 1

    struct Outcome {
        /// Of the requests of each second, the part that the first backend got.
        var shares: [Double] = []
        /// Of those that came while it was slow, in nanoseconds, sorted.
        var latencies: [Double] = []
    }

    private struct Answer {
        let at: Double
        let began: Double
        let backend: Int
    }

    func run(_ policy: Policy) -> Outcome {
        var random = RandomSource(seed: seed)
        let plan = PolicyPlan(policy, (0..<3).map { _ in BackendShare(identity: random.next(), weight: 1) })
        var state = PolicyState(plan, seed: random.next())
        var told = ToldLoads(plan)
        var outcome = Outcome()
        var underWay: [Answer] = []
        var now = 0.0
        for second in 0..<seconds {
            var counts = [0, 0, 0]
            while now < Double(second + 1) * 1e9 {
                finish(until: now, &underWay, plan, &told)
                told?.tick(now: UInt64(now))
                var sequence = CandidateSequence()
                let choice = Choice(key: random.next(), now: UInt64(now))
                guard let index = state.take(&sequence, choice) else { break }
                counts[index] += 1
                told?.begin(index)
                let isSlow = slowSeconds.contains(second)
                let mean = meanLatencyNanoseconds * (index == 0 && isSlow ? slowFactor : 1)
                let end = answerTime(now, mean, &random)
                insert(Answer(at: end, began: now, backend: index), into: &underWay)
                if isSlow { outcome.latencies.append(end - now) }
                now += 1e9 / requestsPerSecond
            }
            outcome.shares.append(Double(counts[0]) / Double(counts.reduce(0, +)))
        }
        outcome.latencies.sort()
        return outcome
    }

    /// Between half the mean and a whole one more; what would come during a stall comes at its end.
    private func answerTime(_ now: Double, _ mean: Double, _ random: inout RandomSource) -> Double {
        let end = now + mean * (0.5 + random.nextUnit())
        guard stallsPerSecond > 0 else { return end }
        let period = 1e9 / stallsPerSecond
        let phase = end.truncatingRemainder(dividingBy: period)
        return phase < stallNanoseconds ? end - phase + stallNanoseconds : end
    }

    private func finish(
        until now: Double, _ underWay: inout [Answer], _ plan: PolicyPlan, _ told: inout ToldLoads?
    ) {
        while let next = underWay.last, next.at <= now {
            underWay.removeLast()
            plan.candidates.release(next.backend)
            plan.observe(next.backend, nanoseconds: UInt64(next.at - next.began), now: UInt64(next.at))
            told?.end(next.backend, startedAt: UInt64(next.began), now: UInt64(next.at))
        }
    }

    /// The next to come stands last.
    private func insert(_ answer: Answer, into underWay: inout [Answer]) {
        let place = underWay.lastIndex { $0.at > answer.at } ?? -1
        underWay.insert(answer, at: place + 1)
    }
}
