// Whose turn it is, by weight: a binary heap of the times of everybody's next turn, so that in any stretch of
// time each player has turns in proportion to its weight. Maglev fills its table with it, and round robin
// uses it where a whole cycle is too long to keep.

/// A player and its next turn, which comes at the time `number / weight`. After `step / weight` comes another.
struct Turn: BitwiseCopyable {
    var number: UInt64
    let step: UInt64
    let weight: UInt64
    let player: Int

    /// Times are compared without dividing. Numbers wrap around after a long life, and the products with them:
    /// the times of a queue lie so close together that the difference still tells which is earlier.
    @inline(__always)
    func isBefore(_ other: Turn) -> Bool {
        let difference = Int64(bitPattern: number &* other.weight &- other.number &* weight)
        return difference != 0 ? difference < 0 : player < other.player
    }
}

/// No array: its check for other owners has no place in a choice.
@safe
struct TurnQueue: ~Copyable {
    let count: Int
    private let heap: UnsafeMutablePointer<Turn>

    init(_ turns: [Turn]) {
        count = turns.count
        unsafe heap = .allocate(capacity: max(turns.count, 1))
        unsafe heap.initialize(from: turns, count: turns.count)
        for position in stride(from: count / 2 - 1, through: 0, by: -1) { sink(position) }
    }

    deinit { unsafe heap.deallocate() }

    /// The player whose turn it is. There must be one.
    mutating func next() -> Int {
        precondition(count > 0)
        let player = unsafe heap[0].player
        unsafe heap[0].number &+= heap[0].step
        sink(0)
        return player
    }

    private func sink(_ start: Int) {
        var position = start
        let sinking = unsafe heap[start]
        while true {
            var least = 2 * position + 1
            guard least < count else { break }
            if least + 1 < count, unsafe heap[least + 1].isBefore(heap[least]) { least += 1 }
            guard unsafe heap[least].isBefore(sinking) else { break }
            unsafe heap[position] = heap[least]
            position = least
        }
        unsafe heap[position] = sinking
    }
}
