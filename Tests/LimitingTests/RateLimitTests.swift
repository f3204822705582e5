// Limits of single keys, against an account in exact whole numbers.

import Base
import Limiting
import Testing

/// The same limit, slowly: how much is missing, in parts so small that nothing is rounded.
private struct ExactBucket {
    let limit: RateLimit
    /// Nanoseconds times grants.
    private var missing: UInt64 = 0
    private var at: UInt64 = 0

    init(_ limit: RateLimit) { self.limit = limit }

    /// What is missing after the grant, in parts of a grant; the caller takes it or not.
    mutating func settle(now: UInt64) {
        let (passed, overflow) = (now - at).multipliedReportingOverflow(by: limit.grants)
        missing = overflow || passed > missing ? 0 : missing - passed
        at = now
    }

    /// How far the grant is within the limit, in nanoseconds times grants; below zero where there is none.
    func slack() -> Int { Int(limit.period * limit.burst) - Int(missing + limit.period) }

    mutating func take() { missing += limit.period }
}

private func limit(_ grants: UInt64, _ period: UInt64 = 1_000_000_000, burst: UInt64) -> RateLimit {
    RateLimit(grants: grants, period: period, burst: burst)
}

@Suite struct RateLimitTests {
    @Test(arguments: [0, 1, 1_000_000_007, UInt64.max / 2, UInt64.max - 2_000_000_000])
    func burstThenRate(start: UInt64) {
        let table = RateTable(limit(100, burst: 5), keys: 100, seed: 1)
        let key = table.key(1, 2)
        for left in (0..<5).reversed() {
            let verdict = table.take(key, now: start)
            #expect(verdict.isGranted && verdict.remaining == UInt64(left))
        }
        let refused = table.take(key, now: start)
        #expect(!refused.isGranted && refused.remaining == 0)
        // A grant comes back every 10 ms.
        #expect(!table.take(key, now: start + 9_900_000).isGranted)
        #expect(table.take(key, now: start + 10_000_001).isGranted)
        #expect(!table.take(key, now: start + 10_000_001).isGranted)
    }

    @Test(arguments: [
        limit(1, burst: 1), limit(100, burst: 200), limit(700_000, burst: 1000),
        limit(1_000_000, burst: 1_000_000),
        limit(3, 60_000_000_000, burst: 2), limit(1, 86_400_000_000_000, burst: 30),
        limit(7, 3_600_000_000_000, burst: 1),
    ])
    func waitingAsToldSucceeds(limit: RateLimit) {
        let table = RateTable(limit, keys: 10, seed: 1)
        var now: UInt64 = 12_345
        var granted: UInt64 = 0
        for _ in 0..<limit.burst where table.take(7, now: now).isGranted { granted += 1 }
        #expect(granted == limit.burst)
        for _ in 0..<50 {
            let refused = table.take(7, now: now)
            #expect(!refused.isGranted)
            let wait = limit.nanoseconds(ticks: refused.ticksToNext)
            let grant = limit.period / limit.grants
            #expect(wait > 0 && wait <= grant + grant / 100 + 2)
            now += wait
            #expect(table.take(7, now: now).isGranted)
        }
        let full = limit.nanoseconds(ticks: table.take(7, now: now).ticksToFull)
        #expect(
            abs(Double(full) / (Double(limit.period) * Double(limit.burst) / Double(limit.grants)) - 1) < 0.01
        )
    }

    /// Random limits and gaps. The table may differ from the exact account only where that is within two ticks of
    /// its edge.
    @Test(arguments: 0..<100 as Range<UInt64>) func agreesWithExactAccount(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let periods: [UInt64] = [1_000_000_000, 60_000_000_000, 3_600_000_000_000]
        let period = periods[Int(random.next(below: 3))]
        let most: UInt32 = period == periods[0] ? 1_000_000 : 100_000
        let grants = UInt64(1 + random.next(below: most) >> random.next(below: 20))
        let limit = limit(
            grants, period, burst: UInt64(1 + random.next(below: 1000) >> random.next(below: 10)))
        let table = RateTable(limit, keys: 64, seed: seed)
        var exact = ExactBucket(limit)
        var now = random.next() >> (8 + UInt64(random.next(below: 40)))
        exact.settle(now: now)
        let key = table.key(random.next(), 0)
        let interval = limit.period / limit.grants
        let tick = Int(limit.period / 256)
        var granted = 0
        let started = now
        for _ in 0..<1000 {
            if random.next(below: 3) > 0 { now += random.next() % (interval + interval / 2 + 2) }
            if random.next(below: 500) == 0 { now += interval * limit.burst }
            exact.settle(now: now)
            let slack = exact.slack()
            let verdict = table.take(key, now: now)
            if abs(slack) > 2 * tick {
                #expect(verdict.isGranted == (slack >= 0), "seed \(seed), slack \(slack)")
            }
            if verdict.isGranted {
                exact.take()
                granted += 1
            }
        }
        let allowed =
            Double(now - started) * Double(limit.grants) / Double(limit.period) + Double(limit.burst)
        #expect(Double(granted) <= allowed + 1)
    }

    /// The time in a word comes round after hours, for the fastest limits. What was used up then is not used up for
    /// ever, nor again.
    @Test func timeComesRound() {
        let limit = limit(1_000_000, burst: 1000)
        // A tick is 1/512 of a microsecond, and a word has 44 bits of it.
        let range: UInt64 = (1 << 44) / 512 * 1000
        for gap in [range / 4, range / 2, range * 3 / 4, range, range * 2, range * 7 + 3] {
            for offset in stride(from: -2_000_000, through: 2_000_000, by: 250_000) {
                let table = RateTable(limit, keys: 100, seed: 3)
                let key = table.key(9, 9)
                let start = range &* 2 / 3
                for _ in 0..<1000 { _ = table.take(key, now: start) }
                #expect(!table.take(key, now: start).isGranted)
                // Somebody else asks in between, or nobody.
                if offset % 500_000 == 0 { _ = table.take(table.key(1, 1), now: start + gap / 2) }
                let later = UInt64(Int(start + gap) + offset)
                let verdict = table.take(key, now: later)
                #expect(verdict.isGranted && verdict.remaining == 999, "gap \(gap), offset \(offset)")
            }
        }
    }

    /// Workers read their clocks at different times.
    @Test func clockThatIsALittleBehind() {
        let table = RateTable(limit(1000, burst: 10), keys: 100, seed: 1)
        let key = table.key(1, 1)
        for _ in 0..<10 { #expect(table.take(key, now: 5_000_000_000).isGranted) }
        for behind in [1, 1000, 1_000_000, 900_000_000] as [UInt64] {
            #expect(!table.take(key, now: 5_000_000_000 - behind).isGranted)
        }
    }
}
