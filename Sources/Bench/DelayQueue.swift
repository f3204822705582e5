// Answers that are held back, the earliest first. All are held back equally long, so they come due in the order
// in which they came: a queue is enough, and it is exact to the nanosecond where the timer wheel, made for
// timeouts, would be a tick (8 ms) late.

import Base

struct DelayQueue: ~Copyable {
    struct Entry: BitwiseCopyable {
        let due: UInt64
        let slot: UInt32
        let generation: UInt32
    }

    /// A circle; it doubles when it is full.
    private var entries = PagedTable<Entry>(capacity: 1024)
    private var first = 0
    private var count = 0

    /// When the first one is due.
    var nextDue: UInt64? { count == 0 ? nil : entries[first].pointee.due }

    /// Not due before any that is queued.
    mutating func append(_ entry: Entry) {
        if count == entries.capacity { grow() }
        entries[(first + count) % entries.capacity].pointee = entry
        count += 1
    }

    /// Takes the first one where it is due.
    mutating func popDue(now: UInt64) -> Entry? {
        guard let due = nextDue, due <= now else { return nil }
        let entry = entries[first].pointee
        first = (first + 1) % entries.capacity
        count -= 1
        return entry
    }

    private mutating func grow() {
        let capacity = entries.capacity
        entries.grow(toHold: capacity)
        // What had wrapped around goes on behind the old end.
        for index in 0..<first { entries[capacity + index].pointee = entries[index].pointee }
    }
}
