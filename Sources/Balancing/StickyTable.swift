// Which client had which backend last, for all workers of the process: `affinity: { client_ip: true }`. A fixed
// number of words in sets of one cache line each; a client's hash names its set, and where a set is full the
// client that was not seen for the longest time is forgotten. No locks: whoever loses a race looks again.
//
// A word is 24 bits of the hash, the backend's index plus one (16 bits), and when the client was seen last, in
// seconds modulo 2^24 (194 days). 0 is empty. Two clients share a word where set and tag agree: of 100,000 clients in
// a table for as many, one pair in about fifty tables does, and then both go to the same backend.

import Base
import Synchronization

@safe
public struct StickyTable: BitwiseCopyable, @unchecked Sendable {
    /// One cache line.
    private static var setWords: Int { 8 }
    /// A worker that loses so many races in a row leaves the table as it is: a client is forgotten at worst.
    private static var attempts: Int { 4 }

    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let setMask: UInt64
    private let timeToLiveSeconds: UInt64

    /// How long a client may be remembered, in seconds: far from where seconds begin anew.
    public static var longestTimeToLiveSeconds: UInt64 { 1 << 23 }

    /// Bytes of a table for so many clients: twice their number, for sets fill unevenly.
    public static func byteCount(clients: Int) -> Int { setCount(clients: clients) * setWords * 8 }

    private static func setCount(clients: Int) -> Int {
        var sets = 1
        while sets * setWords < clients * 2 { sets *= 2 }
        return sets
    }

    /// Lives until `deallocate`. The time is counted from a client's last use, in whole seconds.
    public init(clients: Int, timeToLiveNanoseconds: UInt64) {
        let sets = Self.setCount(clients: clients)
        setMask = UInt64(sets - 1)
        timeToLiveSeconds = min(
            max(timeToLiveNanoseconds / 1_000_000_000, 1), Self.longestTimeToLiveSeconds)
        // Zero bytes are empty words.
        unsafe words = PagedMemory.reserve(byteCount: sets * Self.setWords * 8)
            .bindMemory(to: Atomic<UInt64>.self, capacity: sets * Self.setWords)
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() {
        unsafe PagedMemory.release(words, byteCount: (Int(setMask) + 1) * Self.setWords * 8)
    }

    /// The same clients with other numbers for their backends; whoever's backend has none is forgotten. Clients that
    /// others note meanwhile may be missing.
    public func renumbered(_ newIndex: (Int) -> Int?) -> StickyTable {
        let copy = StickyTable(setMask: setMask, timeToLiveSeconds: timeToLiveSeconds)
        for place in 0..<Int(setMask + 1) * Self.setWords {
            let word = load(place)
            guard word.bits != 0, let backend = newIndex(word.backend) else { continue }
            unsafe copy.words[place].store(word.with(backend: backend).bits, ordering: .relaxed)
        }
        return copy
    }

    private init(setMask: UInt64, timeToLiveSeconds: UInt64) {
        self.setMask = setMask
        self.timeToLiveSeconds = timeToLiveSeconds
        let count = Int(setMask + 1) * Self.setWords
        unsafe words = PagedMemory.reserve(byteCount: count * 8)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count)
    }

    /// The backend that the client had last; nil where it is not known, or was not seen for too long. `now` is a
    /// clock that all workers share, in nanoseconds.
    public func backend(of client: UInt64, now: UInt64) -> Int? {
        let key = Key(client, now: now)
        guard let (_, word) = find(key), !isExpired(word, key) else { return nil }
        return word.backend
    }

    /// The client has this backend now.
    public func note(_ client: UInt64, backend: Int, now: UInt64) {
        let key = Key(client, now: now)
        let next = Word(key, backend: backend)
        for _ in 0..<Self.attempts {
            let (place, word) = find(key) ?? mostForgettable(key)
            if word.bits == next.bits || exchange(place, word, next) { return }
        }
    }

    /// The client has had this backend until now. Does nothing where it has another meanwhile.
    public func touch(_ client: UInt64, backend: Int, now: UInt64) {
        let key = Key(client, now: now)
        let next = Word(key, backend: backend)
        for _ in 0..<Self.attempts {
            guard let (place, word) = find(key), word.backend == backend, word.bits != next.bits else {
                return
            }
            if exchange(place, word, next) { return }
        }
    }

    /// Clients that are remembered, whether their time is over or not; looks at the whole table.
    public var count: Int {
        var count = 0
        for place in 0..<Int(setMask + 1) * Self.setWords where load(place).bits != 0 { count += 1 }
        return count
    }

    // MARK: - Words

    private struct Key {
        let hash: UInt64
        let second: UInt64

        init(_ client: UInt64, now: UInt64) {
            hash = client
            second = now / 1_000_000_000 & Word.secondMask
        }

        /// The bits that do not choose the set.
        var tag: UInt64 { hash >> 40 }
    }

    private struct Word {
        static var secondMask: UInt64 { 0xFF_FFFF }
        let bits: UInt64

        init(bits: UInt64) { self.bits = bits }

        init(_ key: Key, backend: Int) {
            bits = key.tag << 40 | UInt64(UInt16(backend + 1)) << 24 | key.second
        }

        func with(backend: Int) -> Word {
            Word(bits: bits & ~(0xFFFF << 24) | UInt64(UInt16(backend + 1)) << 24)
        }

        var tag: UInt64 { bits >> 40 }
        var backend: Int { Int(bits >> 24 & 0xFFFF) - 1 }

        /// Seconds since the client was seen. Another worker's clock may be a little ahead: that is no time.
        func age(_ key: Key) -> UInt64 {
            let age = (key.second &- bits) & Self.secondMask
            return age > Self.secondMask - 60 ? 0 : age
        }
    }

    private func isExpired(_ word: Word, _ key: Key) -> Bool { word.age(key) >= timeToLiveSeconds }

    private func firstPlace(_ key: Key) -> Int { Int(key.hash & setMask) * Self.setWords }

    private func load(_ place: Int) -> Word {
        unsafe Word(bits: words[place].load(ordering: .relaxed))
    }

    private func exchange(_ place: Int, _ seen: Word, _ next: Word) -> Bool {
        unsafe words[place].compareExchange(expected: seen.bits, desired: next.bits, ordering: .relaxed)
            .exchanged
    }

    private func find(_ key: Key) -> (place: Int, word: Word)? {
        let first = firstPlace(key)
        for place in first..<first + Self.setWords {
            let word = load(place)
            if word.bits != 0, word.tag == key.tag { return (place, word) }
        }
        return nil
    }

    /// An empty place of the set, else that of the client that was not seen for the longest time.
    private func mostForgettable(_ key: Key) -> (place: Int, word: Word) {
        let first = firstPlace(key)
        var oldest = (place: first, word: load(first))
        for place in first..<first + Self.setWords {
            let word = load(place)
            if word.bits == 0 { return (place, word) }
            if word.age(key) > oldest.word.age(key) { oldest = (place, word) }
        }
        return oldest
    }
}
