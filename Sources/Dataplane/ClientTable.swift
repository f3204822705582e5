// How many sessions each client address has, over all workers, for `sessions_per_client`. Used at accept
// and at close of listeners with that limit, never between.
//
// One 64-bit word a client: 48 bits of the key's hash and a count of 16 bits, in buckets of one cache line.
// Two clients share a word where 48 bits of their hashes agree; one in 2^48 pairs does.

import Base
import Synchronization

struct ClientTable: ~Copyable, Sendable {
    enum Answer {
        /// Counted; give the place back with `release`.
        case counted(place: Int)
        case limitReached
        /// No room to count: the session goes uncounted rather than refused.
        case tableFull
    }

    private static let bucketWords = 8

    private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let bucketMask: UInt64

    /// Room for at least `clients` clients with sessions at once.
    init(clients: Int) {
        var buckets = 1
        while buckets * Self.bucketWords < clients * 2 { buckets *= 2 }
        bucketMask = UInt64(buckets - 1)
        // Zero bytes are empty words.
        words = PagedMemory.reserve(byteCount: buckets * Self.bucketWords * 8)
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Counts one session of `client` on `listener`, unless it has `limit` (at most 65,535) already.
    func acquire(_ client: ClientAddress, listener: Int, limit: Int) -> Answer {
        var mixer = RandomSource(seed: client.high ^ UInt64(listener) &* 0x9E37_79B9_7F4A_7C15)
        mixer = RandomSource(seed: mixer.next() ^ client.low)
        let hash = mixer.next()
        let fingerprint = hash | 0xFFFF
        let bucket = Int(mixer.next() & bucketMask) * Self.bucketWords
        while true {
            var free: (place: Int, word: UInt64)?
            var found: (place: Int, word: UInt64)?
            for place in bucket..<bucket + Self.bucketWords {
                let word = words[place].load(ordering: .relaxed)
                if word & 0xFFFF == 0 {
                    if free == nil { free = (place, word) }
                } else if word | 0xFFFF == fingerprint {
                    found = (place, word)
                    break
                }
            }
            let next: UInt64
            if let found {
                if Int(found.word & 0xFFFF) >= min(limit, 0xFFFF) { return .limitReached }
                next = found.word + 1
            } else {
                next = fingerprint & ~0xFFFF | 1
            }
            guard let target = found ?? free else { return .tableFull }
            let exchange = words[target.place].compareExchange(
                expected: target.word, desired: next, ordering: .relaxed)
            if exchange.exchanged { return .counted(place: target.place) }
        }
    }

    /// All sessions counted now; for tests and the simulator.
    var total: Int {
        var sum = 0
        for place in 0..<Int(bucketMask + 1) * Self.bucketWords {
            sum += Int(words[place].load(ordering: .relaxed) & 0xFFFF)
        }
        return sum
    }

    /// Takes back one session from `acquire`.
    func release(place: Int) {
        let before = words[place].wrappingSubtract(1, ordering: .relaxed).oldValue
        precondition(before & 0xFFFF > 0)
    }
}
