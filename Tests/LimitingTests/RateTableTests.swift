// Many keys in bounded memory, and many threads at one key.

import Base
import Limiting
import Synchronization
import TestSupport
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct RateTableTests {
    @Test func keysDoNotDisturbEachOther() {
        let table = RateTable(RateLimit(grants: 1, period: second, burst: 3), keys: 20_000, seed: 4)
        var shared = 0
        for number in 0..<10_000 as Range<UInt64> {
            var granted = 0
            for _ in 0..<5 where table.take(table.key(number, ~number), now: 1).isGranted { granted += 1 }
            if granted != 3 { shared += 1 }
        }
        // Of 10,000 keys none or one shares a word with another.
        #expect(shared <= 2)
        #expect(abs(table.countKeys(now: 1) - 10_000) <= 2)
    }

    /// Whoever is at the limit stays known, however many others come once.
    @Test func passersByDoNotFreeTheBusy() {
        let table = RateTable(RateLimit(grants: 10, period: second, burst: 20), keys: 1000, seed: 5)
        let busy = (0..<200).map { table.key(UInt64($0), 1) }
        var granted = 0
        var refused = 0
        var other: UInt64 = 0
        for step in 0..<200 as Range<UInt64> {
            let now = step * 50_000_000
            for key in busy where table.take(key, now: now).isGranted { granted += 1 }
            for _ in 0..<200 {
                other += 1
                if !table.take(table.key(other, 2), now: now).isGranted { refused += 1 }
            }
        }
        #expect(refused == 0)
        // 10 seconds at 10 a second and 20 at once, each.
        let expected = 200 * (10 * 10 + 20)
        #expect(Double(abs(granted - expected)) < 0.01 * Double(expected), "\(granted) of \(expected)")
    }

    @Test func bucketsThatAreFullMakeRoomFirst() {
        let table = RateTable(RateLimit(grants: 10, period: second, burst: 10), keys: 8, seed: 6)
        // Sixteen words hold far fewer than these, one after the other, each full again before the next.
        for number in 0..<1000 as Range<UInt64> {
            let verdict = table.take(table.key(number, 0), now: number * second / 5)
            #expect(verdict.isGranted && !verdict.hasForgotten)
        }
        var forgotten = 0
        for number in 0..<1000 as Range<UInt64>
        where table.take(table.key(number, 1), now: 500 * second).hasForgotten {
            forgotten += 1
        }
        #expect(forgotten >= 900)
    }

    @Test func memoryIsWhatWasTold() {
        #expect(RateTable.bytes(keys: 1) == 64)
        #expect(RateTable.bytes(keys: 65_536) == 1 << 20)
        #expect(RateTable.bytes(keys: 65_537) == 2 << 20)
    }

    /// As many grants for four threads as for one.
    @Test func threadsShareOneLimit() {
        let limit = RateLimit(grants: 1000, period: second, burst: 50)
        let table = RateTable(limit, keys: 1000, seed: 7)
        let threads = 4
        let granted = Atomic<Int>(0)
        let clock = Atomic<UInt64>(0)
        let key = table.key(3, 3)
        withoutActuallyEscaping({ (_: Int) in
            var mine = 0
            // Together they move the time on by two seconds.
            while true {
                let now = clock.wrappingAdd(50_000, ordering: .relaxed).newValue
                if now > 2 * second { break }
                if table.take(key, now: now).isGranted { mine += 1 }
            }
            granted.wrappingAdd(mine, ordering: .relaxed)
        }) { work in
            nonisolated(unsafe) let work = work
            onThreads(threads) { work($0) }
        }
        let total = granted.load(ordering: .relaxed)
        #expect(total <= 2050 && total >= 2048, "\(total)")
    }

    /// New keys of several threads in one small table: nothing is granted beyond the limits of those that stay.
    @Test func threadsThatPushEachOtherOut() {
        let table = RateTable(RateLimit(grants: 1, period: second, burst: 5), keys: 100, seed: 8)
        let busy = table.key(1, 1)
        let granted = Atomic<Int>(0)
        withoutActuallyEscaping({ (thread: Int) in
            for number in 0..<20_000 as Range<UInt64> {
                if number % 4 == 0, table.take(busy, now: 1).isGranted {
                    granted.wrappingAdd(1, ordering: .relaxed)
                }
                _ = table.take(table.key(number, UInt64(thread) + 10), now: 1)
            }
        }) { work in
            nonisolated(unsafe) let work = work
            onThreads(4) { work($0) }
        }
        #expect(granted.load(ordering: .relaxed) >= 5 && granted.load(ordering: .relaxed) <= 6)
    }
}
