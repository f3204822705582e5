// Choices a second of every policy on one core, for 3 to 10,000 backends, each with its place taken and given
// back; and how long the tables of hash policies take to build. Built with WEIR_MEASURE=1 only.

import Balancing
import Base
import Glibc

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Unequal weights are 1, 2, 3, 1, 2, 3, ...
func backends(_ count: Int, areEqual: Bool) -> [BackendShare] {
    var random = RandomSource(seed: 7)
    return (0..<count).map {
        BackendShare(identity: random.next(), weight: areEqual ? 1 : UInt32(1 + $0 % 3))
    }
}

/// Answers to probes, where the policy goes by them: as many as it keeps. Answers for how many choices they last.
func tellLoads(of plan: PolicyPlan, _ book: inout ProbeBook?) -> Int {
    guard book != nil else { return 0 }
    let count = min(plan.candidates.count, 16)
    for index in 0..<count {
        _ = book?.answered(index, inFlight: 0, latencyMicroseconds: 1000, now: nanoseconds())
    }
    // Each may be used 16 times, and two are to be left.
    return 16 * (count - 1)
}

/// Nanoseconds of a choice, measured over a tenth of a second.
func choiceNanoseconds(_ plan: PolicyPlan) -> Double {
    var state = PolicyState(plan, seed: 1)
    var keys = RandomSource(seed: 2)
    let now = nanoseconds()
    for index in 0..<plan.candidates.count {
        plan.observe(index, nanoseconds: 1_000_000 + UInt64(index), now: now)
    }
    var book = ProbeBook(plan, mostPerSecond: 100, seed: 3, now: now)
    var choices = 0
    var batch = 1
    var elapsed: UInt64 = 0
    while elapsed < 100_000_000 {
        let told = tellLoads(of: plan, &book)
        if told > 0 { batch = told }
        let start = nanoseconds()
        for _ in 0..<batch {
            var sequence = CandidateSequence()
            let choice = Choice(key: keys.next(), now: start)
            guard let index = state.take(&sequence, choice) else { fatalError("nobody is usable") }
            plan.candidates.release(index)
        }
        elapsed += nanoseconds() - start
        choices += batch
        batch = min(batch * 2, 100_000)
    }
    return Double(elapsed) / Double(choices)
}

func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(width - text.count, 0)) + text
}

func oneDecimal(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
}

let counts = [3, 100, 1_000, 10_000]
for areEqual in [true, false] {
    print("millions of choices a second, \(areEqual ? "equal" : "unequal") weights; backends:")
    print(padded("", 20) + counts.map { padded("\($0)", 10) }.joined())
    for policy in Policy.allCases {
        let cells = counts.map { count in
            let plan = PolicyPlan(policy, backends(count, areEqual: areEqual))
            return padded(oneDecimal(1000 / choiceNanoseconds(plan)), 10)
        }
        print(padded("\(policy)", 20) + cells.joined())
    }
}
for policy in [Policy.maglev, .ketama] {
    let start = nanoseconds()
    _ = PolicyPlan(policy, backends(10_000, areEqual: true))
    print("\(policy) of 10,000 backends is built in \((nanoseconds() - start) / 1_000_000) ms")
}
