// The buckets of all keys of one limit, shared by all workers without a lock: one 64-bit word a key, 20 bits of the
// key's hash and 44 of the time at which its bucket is full again. A key's word is in one line of eight. Memory is
// fixed: where a line is full, the key that has least to lose makes room, first of all one whose bucket is full,
// which loses nothing.
//
// Two keys share a word where they share a line and 20 bits more; one in 130,000 does so with one of a full line.

import Base
import Synchronization

/// What became of a request for a grant.
public struct Verdict: BitwiseCopyable, Sendable {
    public let isGranted: Bool
    /// A key was forgotten whose bucket was not full: the next that it asks for finds a full one.
    public let hasForgotten: Bool
    /// Grants that are left.
    public let remaining: UInt64
    /// Ticks until the next grant (`RateLimit.nanoseconds`); 0 where this was granted.
    public let ticksToNext: UInt64
    /// Ticks until the bucket is full.
    public let ticksToFull: UInt64
}

@safe public struct RateTable: ~Copyable, Sendable {
    private static let lineWords = 8
    /// As tables are sized by keys: words for twice as many, so that few lines are full before the table is.
    private static let wordsPerKey = 2

    public let limit: RateLimit
    private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int
    private let seed: UInt64
    /// Which quarter of the range of a word's time it is, counted without end. What is past is taken out once a
    /// quarter, before it could be taken for the future.
    private let quarter = Atomic<UInt64>(.max)

    /// Bytes of a table for so many keys at once.
    public static func bytes(keys: Int) -> Int {
        var lines = 1
        while lines * lineWords < keys * wordsPerKey { lines *= 2 }
        return lines * lineWords * 8
    }

    /// The same seed gives the same hashes; where clients choose the keys it is to be a secret.
    public init(_ limit: RateLimit, keys: Int, seed: UInt64) {
        self.limit = limit
        self.seed = seed
        let bytes = Self.bytes(keys: keys)
        wordCount = bytes / 8
        // Zero bytes are empty words.
        unsafe words = PagedMemory.reserve(byteCount: bytes).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    deinit { unsafe PagedMemory.release(words, byteCount: wordCount * 8) }

    /// The key of two numbers, such as the halves of an address.
    public func key(_ high: UInt64, _ low: UInt64) -> UInt64 {
        var mixer = RandomSource(seed: high ^ seed)
        mixer = RandomSource(seed: mixer.next() ^ low)
        return mixer.next()
    }

    /// Takes a grant of the key's bucket, where there is one. `key` is well mixed (see `key(_:_:)`), `now` in
    /// nanoseconds of a clock that does not go back by more than threads differ.
    public func take(_ key: UInt64, now: UInt64) -> Verdict {
        let ticks = limit.ticks(at: now)
        enterQuarter(ticks >> (RateLimit.tickBits - 2), ticks)
        let tag = max(key >> RateLimit.tickBits, 1)
        let line = Int(truncatingIfNeeded: key) & (wordCount - 1) & ~(Self.lineWords - 1)
        while true {
            let place = find(tag, line: line, ticks)
            let after = place.missing + limit.ticksPerGrant
            if after > limit.capacity {
                return Verdict(
                    isGranted: false, hasForgotten: false, remaining: 0,
                    ticksToNext: after - limit.capacity, ticksToFull: place.missing)
            }
            let word = tag << RateLimit.tickBits | (ticks &+ after) & RateLimit.tickMask
            let exchange = unsafe words[place.index].weakCompareExchange(
                expected: place.word, desired: word, ordering: .relaxed)
            if exchange.exchanged {
                return Verdict(
                    isGranted: true, hasForgotten: place.forgets,
                    remaining: (limit.capacity - after) / limit.ticksPerGrant, ticksToNext: 0,
                    ticksToFull: after)
            }
        }
    }

    private struct Place {
        var index: Int
        var word: UInt64
        /// Of the key that asks.
        var missing: UInt64
        /// Another key stands there, and its bucket is not full.
        var forgets: Bool
    }

    /// Where the key stands, or is to stand.
    @inline(__always)
    private func find(_ tag: UInt64, line: Int, _ ticks: UInt64) -> Place {
        var best = Place(index: line, word: 0, missing: 0, forgets: false)
        var least = UInt64.max
        var index = line
        while index < line + Self.lineWords {
            let word = unsafe words[index].load(ordering: .relaxed)
            let missing = word == 0 ? 0 : limit.missing(fullAt: word & RateLimit.tickMask, now: ticks)
            if word >> RateLimit.tickBits == tag {
                return Place(index: index, word: word, missing: missing, forgets: false)
            }
            if missing < least {
                least = missing
                best = Place(index: index, word: word, missing: 0, forgets: missing > 0)
            }
            index += 1
        }
        return best
    }

    // MARK: A time that comes round

    /// A quarter of the range is hours for the fastest limits, years for most.
    @inline(__always)
    private func enterQuarter(_ now: UInt64, _ ticks: UInt64) {
        let before = quarter.load(ordering: .relaxed)
        if now == before { return }
        changeQuarter(from: before, to: now, ticks)
    }

    /// Whoever comes first in a quarter takes out what is past. No bucket takes a quarter to fill, so that after
    /// one without any request all is past.
    @inline(never)
    private func changeQuarter(from before: UInt64, to now: UInt64, _ ticks: UInt64) {
        // Threads differ by a little: nobody goes back.
        if before != .max, now < before { return }
        let exchange = quarter.compareExchange(expected: before, desired: now, ordering: .relaxed)
        guard exchange.exchanged, before != .max else { return }
        for index in 0..<wordCount {
            let word = unsafe words[index].load(ordering: .relaxed)
            if word == 0 { continue }
            if now - before == 1, limit.missing(fullAt: word & RateLimit.tickMask, now: ticks) > 0 {
                continue
            }
            _ = unsafe words[index].compareExchange(expected: word, desired: 0, ordering: .relaxed)
        }
    }

    /// Keys whose buckets are not full now; for tests and measurements, it looks at every word.
    public func countKeys(now: UInt64) -> Int {
        let ticks = limit.ticks(at: now)
        var count = 0
        for index in 0..<wordCount {
            let word = unsafe words[index].load(ordering: .relaxed)
            if word != 0, limit.missing(fullAt: word & RateLimit.tickMask, now: ticks) > 0 { count += 1 }
        }
        return count
    }
}
