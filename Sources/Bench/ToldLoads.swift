// Made-up backends that tell their load, where a policy asks for it: for pictures and measurements of policies by
// themselves.

import Balancing
import Base

struct ToldLoads {
    private var book: ProbeBook
    private var loads: [OriginLoad]
    private var tickedAt: UInt64 = 0

    /// nil where the policy asks nobody.
    init?(_ plan: PolicyPlan, mostPerSecond: Int = 100) {
        guard let book = ProbeBook(plan, mostPerSecond: mostPerSecond, seed: 1, now: 0) else { return nil }
        self.book = book
        loads = Array(repeating: OriginLoad(), count: plan.candidates.count)
    }

    mutating func begin(_ backend: Int) { loads[backend].begin() }

    mutating func end(_ backend: Int, startedAt: UInt64, now: UInt64) {
        loads[backend].end()
        loads[backend].answered(startedAt: startedAt, now: now)
    }

    /// Probes that are due are answered at once.
    mutating func tick(now: UInt64) {
        guard now >= tickedAt + 20_000_000 else { return }
        tickedAt = now
        for _ in 0..<book.probesDue(now: now) {
            if let backend = book.nextBackend() { tell(backend, now) }
        }
    }

    /// As many backends as are kept in mind tell that they have nothing to do. Answers for how many choices that lasts:
    /// each answer may be used 16 times, and two are to be left.
    mutating func tellAll(now: UInt64) -> Int {
        let count = min(loads.count, 16)
        for backend in 0..<count { tell(backend, now) }
        return 16 * (count - 1)
    }

    private mutating func tell(_ backend: Int, _ now: UInt64) {
        let latency = UInt32(clamping: loads[backend].latencyMicroseconds(now: now))
        _ = book.answered(
            backend, inFlight: loads[backend].inFlight, latencyMicroseconds: latency, now: now)
    }
}
