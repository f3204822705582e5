// The directions that found no receive buffer, in the order in which they came. They receive again when
// buffers come back: not after a time, and not in a spin.

import Base

/// A doubly linked list through memory of its own, so that a session that ends leaves it at once.
struct StarvedList: ~Copyable {
    private struct Links: BitwiseCopyable {
        /// Neighbours' entry numbers plus one; 0 ends the list.
        var next: UInt32
        var previous: UInt32
    }

    /// Entry number: slot * 2 + direction.
    private let links: UnsafeMutablePointer<Links>
    private let count: Int
    private var head: UInt32 = 0
    private var tail: UInt32 = 0

    init(slots: Int) {
        count = slots * 2
        links = PagedMemory.reserve(Links.self, count: count)
    }

    deinit { PagedMemory.release(links, byteCount: count * MemoryLayout<Links>.stride) }

    /// Who has waited longest.
    var first: (slot: UInt32, direction: Direction)? {
        head == 0 ? nil : ((head - 1) / 2, (head - 1) & 1 == 0 ? .toBackend : .toClient)
    }

    /// It must not be in the list.
    mutating func append(_ slot: UInt32, _ direction: Direction) {
        let entry = slot * 2 + UInt32(direction.rawValue)
        links[Int(entry)] = Links(next: 0, previous: tail)
        if tail == 0 { head = entry + 1 } else { links[Int(tail - 1)].next = entry + 1 }
        tail = entry + 1
    }

    /// It must be in the list.
    mutating func remove(_ slot: UInt32, _ direction: Direction) {
        let entry = links[Int(slot * 2 + UInt32(direction.rawValue))]
        if entry.previous == 0 { head = entry.next } else { links[Int(entry.previous - 1)].next = entry.next }
        if entry.next == 0 {
            tail = entry.previous
        } else {
            links[Int(entry.next - 1)].previous = entry.previous
        }
    }
}
