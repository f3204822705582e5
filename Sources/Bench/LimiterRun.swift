// Measures the rate limiter without a network: what a decision costs, how much memory ten million keys take, and
// whether those that are at their limit get just what it leaves while all the others pass by. Costs are CPU time.

import Base
import Glibc
import Limiting

/// What `weir-bench limiter` was asked for.
public struct LimiterOptions: Sendable {
    /// Different keys that ask, once each.
    public var offeredKeys = 10_000_000
    /// Keys that the table has room for.
    public var tableKeys = 65_536
    /// Keys that ask all the time, for twice of what they may.
    public var busyKeys = 1000

    public init() {}
}

public struct LimiterReport: Sendable {
    /// Nanoseconds of a decision.
    let onePerDecision: Double
    let busyPerDecision: Double
    let freshPerDecision: Double
    let mixedPerDecision: Double
    let keyPerDecision: Double
    let tableBytes: Int
    let residentBytes: Int
    let offeredKeys: Int
    let granted: Int
    let expected: Int
    /// The most that one busy key got too much or too little, as a share.
    let worstError: Double
    let forgotten: Int

    public var text: String {
        let error = (Double(granted) / Double(expected) - 1) * 100
        return """
            limiter: \(offeredKeys) keys offered, \(tableBytes >> 10) KiB of table, \(residentBytes >> 10) KiB more \
            resident at the end than at the start
              decision  \(tenths(onePerDecision)) ns of one key, \(tenths(busyPerDecision)) ns of \
            1000 keys in turn, \(tenths(freshPerDecision)) ns of a key never seen, hash of the key \
            included (\(tenths(keyPerDecision)) ns)
              accuracy  keys at their limit got \(granted) of \(expected), \(hundredths(error)) %; the worst of them \
            \(hundredths(worstError * 100)) %, at \(tenths(mixedPerDecision)) ns a decision
              forgotten \(forgotten) buckets that were not full

            """
    }

    private func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
    private func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
}

public enum LimiterRun {
    private static let limit = RateLimit(grants: 100, period: 1_000_000_000, burst: 200)

    public static func run(_ options: LimiterOptions) -> LimiterReport {
        let residentBefore = residentBytes()
        let table = RateTable(limit, keys: options.tableKeys, seed: 0x5EED)
        let (one, _) = measure(10_000_000) { table.take(table.key(0, 1), now: UInt64($0) * 100).isGranted }
        let (busy, _) = measure(10_000_000) {
            table.take(table.key(1, UInt64($0 % 1000)), now: UInt64($0) * 100).isGranted
        }
        let (fresh, _) = measure(options.offeredKeys) {
            table.take(table.key(2, UInt64($0)), now: 2_000_000_000 + UInt64($0) * 100).isGranted
        }
        let (key, _) = measure(10_000_000) { table.key(3, UInt64($0)) & 1 == 0 }
        let accuracy = measureAccuracy(options)
        return LimiterReport(
            onePerDecision: one, busyPerDecision: busy, freshPerDecision: fresh,
            mixedPerDecision: accuracy.cost,
            keyPerDecision: key, tableBytes: RateTable.bytes(keys: options.tableKeys),
            residentBytes: max(residentBytes() - residentBefore, 0), offeredKeys: options.offeredKeys,
            granted: accuracy.granted, expected: accuracy.expected, worstError: accuracy.worst,
            forgotten: accuracy.forgotten)
    }

    /// Nanoseconds of one call, and how many said yes.
    private static func measure(_ count: Int, _ decide: (Int) -> Bool) -> (Double, Int) {
        var granted = 0
        let start = cpuNanoseconds()
        for number in 0..<count where decide(number) { granted += 1 }
        return (Double(cpuNanoseconds() - start) / Double(count), granted)
    }

    /// In ten simulated seconds each busy key asks for twice its rate, evenly; between, all the others ask once.
    private static func measureAccuracy(
        _ options: LimiterOptions
    ) -> (cost: Double, granted: Int, expected: Int, worst: Double, forgotten: Int) {
        let table = RateTable(limit, keys: options.tableKeys, seed: 0xACC)
        let (seconds, asksPerSecond) = (10, 200)
        let rounds = seconds * asksPerSecond
        var grants = [Int](repeating: 0, count: options.busyKeys)
        var forgotten = 0
        var next = 0
        let start = cpuNanoseconds()
        for round in 0..<rounds {
            let now = UInt64(round) * 1_000_000_000 / UInt64(asksPerSecond)
            let last = options.offeredKeys * (round + 1) / rounds
            for busy in 0..<options.busyKeys where table.take(table.key(4, UInt64(busy)), now: now).isGranted
            {
                grants[busy] += 1
            }
            while next < last {
                if table.take(table.key(5, UInt64(next)), now: now).hasForgotten { forgotten += 1 }
                next += 1
            }
        }
        let decisions = rounds * options.busyKeys + options.offeredKeys
        let cost = Double(cpuNanoseconds() - start) / Double(decisions)
        // A burst, and what came back until the last of them asked.
        let each = 200 + 100 * (rounds - 1) / asksPerSecond
        let worst = grants.map { abs(Double($0) / Double(each) - 1) }.max() ?? 0
        return (cost, grants.reduce(0, +), each * options.busyKeys, worst, forgotten)
    }

    /// CPU time of this thread: a busy machine disturbs it little.
    private static func cpuNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Of this process: the second number of proc_pid_statm(5), in pages.
    private static func residentBytes() -> Int {
        let descriptor = open("/proc/self/statm", O_RDONLY)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = max(read(descriptor, &bytes, bytes.count), 0)
        let numbers = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        guard numbers.count > 1, let pages = Int(numbers[1]) else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
