// Connection numbers in the order in which they came, from whose middle one can be taken: connections that wait
// for a request, or for their turn to connect.

import Base

/// A doubly linked list through memory of its own.
struct IdleList: ~Copyable {
    private struct Links: BitwiseCopyable {
        /// Neighbours' numbers plus one; 0 ends the list.
        var next: UInt32
        var previous: UInt32
    }

    private let links: UnsafeMutablePointer<Links>
    private let capacity: Int
    private var head: UInt32 = 0
    private var tail: UInt32 = 0

    init(capacity: Int) {
        self.capacity = capacity
        links = PagedMemory.reserve(Links.self, count: capacity)
    }

    deinit { PagedMemory.release(links, byteCount: capacity * MemoryLayout<Links>.stride) }

    var isEmpty: Bool { head == 0 }

    /// It must not be in the list.
    mutating func append(_ number: UInt32) {
        links[Int(number)] = Links(next: 0, previous: tail)
        if tail == 0 { head = number + 1 } else { links[Int(tail - 1)].next = number + 1 }
        tail = number + 1
    }

    /// It must be in the list.
    mutating func remove(_ number: UInt32) {
        let entry = links[Int(number)]
        if entry.previous == 0 { head = entry.next } else { links[Int(entry.previous - 1)].next = entry.next }
        if entry.next == 0 {
            tail = entry.previous
        } else {
            links[Int(entry.next - 1)].previous = entry.previous
        }
    }

    mutating func popFirst() -> UInt32? {
        guard head != 0 else { return nil }
        let number = head - 1
        remove(number)
        return number
    }
}
