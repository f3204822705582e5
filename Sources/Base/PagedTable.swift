// Memory that grows by doubling and is reached by index, for the tables whose size the worker decides while
// it runs: operations, descriptors, the completion backlog. Once a table is as large as the worker needs it
// never allocates again.

/// Elements by index; those beyond what was ever written are all zero bytes. Growing moves the elements: no
/// pointer is kept across a call that may grow.
public struct PagedTable<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var slots: Int
    @usableFromInline var elements: UnsafeMutablePointer<Element>

    /// How many elements there is room for.
    @inlinable
    public var capacity: Int { slots }

    public init(capacity: Int) {
        slots = capacity
        elements = PagedMemory.reserve(Element.self, count: capacity)
    }

    deinit {
        PagedMemory.release(elements, byteCount: slots * MemoryLayout<Element>.stride)
    }

    /// The element in place, until the table grows.
    @inlinable
    public subscript(index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < slots)
        return elements + index
    }

    /// Doubles until `index` is inside.
    @inlinable
    public mutating func grow(toHold index: Int) {
        var wanted = slots
        while wanted <= index { wanted *= 2 }
        if wanted == slots { return }
        let larger = PagedMemory.reserve(Element.self, count: wanted)
        larger.update(from: elements, count: slots)
        PagedMemory.release(elements, byteCount: slots * MemoryLayout<Element>.stride)
        elements = larger
        slots = wanted
    }
}
