// The lookup table of Maglev (Eisenbud and others, "Maglev: a fast and reliable software network load
// balancer", NSDI 2016, section 3.4): each backend has a permutation of all entries, and in turns each takes
// the first of its own that is still free. One look finds a key's owner; keys are spread more evenly than on a
// ring, and a backend that leaves moves a few keys of others besides its own.

import Base

enum Maglev {
    private struct Player {
        /// The next entry that it wants, and how far the one after is.
        var entry: Int
        let skip: Int
        let index: UInt16
        let weight: UInt64
    }

    /// Turns follow the weights (the paper leaves it at "altering the relative frequency of the backends'
    /// turns"): turn number n of a backend comes at the time n / weight, those of equal times in the order of
    /// identities, so that the order of the list does not matter.
    static func places(of backends: [BackendShare], tableSize: Int) -> KeyPlaces {
        var players = players(backends, tableSize)
        guard !players.isEmpty else { return .none }
        var owners = [UInt16](repeating: 0, count: tableSize)
        var isTaken = [Bool](repeating: false, count: tableSize)
        var turns = TurnQueue(weights: players.map(\.weight))
        for _ in 0..<tableSize {
            let player = turns.next()
            var entry = players[player].entry
            let skip = players[player].skip
            while isTaken[entry] {
                entry = entry + skip < tableSize ? entry + skip : entry + skip - tableSize
            }
            isTaken[entry] = true
            owners[entry] = players[player].index
            players[player].entry = entry
        }
        return KeyPlaces(owners: owners, points: nil)
    }

    private static func players(_ backends: [BackendShare], _ tableSize: Int) -> [Player] {
        let order = backends.indices.filter { backends[$0].weight > 0 }
            .sorted { backends[$0].identity < backends[$1].identity }
        return order.map { index in
            var random = RandomSource(seed: backends[index].identity)
            return Player(
                entry: Int(random.next() % UInt64(tableSize)),
                skip: Int(random.next() % UInt64(tableSize - 1)) + 1, index: UInt16(index),
                weight: UInt64(backends[index].weight))
        }
    }
}

/// Whose turn it is, by weight: a binary heap of the times of everybody's next turn.
private struct TurnQueue {
    private struct Turn {
        /// Of 2^-32 rounds; a table has too few turns for it to overflow.
        var time: UInt64
        var player: Int

        static func < (one: Turn, other: Turn) -> Bool {
            one.time != other.time ? one.time < other.time : one.player < other.player
        }
    }

    private var heap: [Turn]
    private let steps: [UInt64]

    init(weights: [UInt64]) {
        steps = weights.map { (1 << 32) / $0 }
        heap = weights.indices.map { Turn(time: (1 << 32) / weights[$0], player: $0) }
        for position in stride(from: heap.count / 2, through: 0, by: -1) { sink(position) }
    }

    /// The next player, whose following turn is put in its place.
    mutating func next() -> Int {
        let player = heap[0].player
        heap[0].time += steps[player]
        sink(0)
        return player
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while true {
            var least = 2 * position + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, heap[least + 1] < heap[least] { least += 1 }
            guard heap[least] < heap[position] else { return }
            heap.swapAt(position, least)
            position = least
        }
    }
}
