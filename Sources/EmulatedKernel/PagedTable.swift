// Memory that grows by doubling and is reached by index, for the tables whose size the worker decides while
// it runs: operations, descriptors, the completion backlog. Once a table is as large as the worker needs it
// never allocates again.

import Base

/// Elements by index; those beyond what was ever written are all zero bytes. Growing moves the elements: no
/// pointer is kept across a call that may grow.
struct PagedTable<Element: BitwiseCopyable>: ~Copyable {
    private(set) var capacity: Int
    private var elements: UnsafeMutablePointer<Element>

    init(capacity: Int) {
        self.capacity = capacity
        elements = PagedMemory.reserve(Element.self, count: capacity)
    }

    deinit {
        PagedMemory.release(elements, byteCount: capacity * MemoryLayout<Element>.stride)
    }

    /// The element in place, until the table grows.
    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < capacity)
        return elements + index
    }

    /// Doubles until `index` is inside.
    @inline(never)
    mutating func grow(toHold index: Int) {
        var wanted = capacity
        while wanted <= index { wanted *= 2 }
        if wanted == capacity { return }
        let larger = PagedMemory.reserve(Element.self, count: wanted)
        larger.update(from: elements, count: capacity)
        PagedMemory.release(elements, byteCount: capacity * MemoryLayout<Element>.stride)
        elements = larger
        capacity = wanted
    }
}
