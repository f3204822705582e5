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
        var turns = TurnQueue(
            players.enumerated().map { Turn(number: 1, step: 1, weight: $1.weight, player: $0) })
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
