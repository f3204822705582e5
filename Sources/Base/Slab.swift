// A fixed number of slots for elements of one type, each with a generation, so that a late completion that
// names a slot by an old generation is told apart from one for the slot's present owner. The worker keeps
// its sessions here.

/// Slots of `Element`, handed out last-freed-first so that warm memory is used again. Memory becomes
/// resident only for slots that were ever used.
public struct Slab<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline
    struct Entry: BitwiseCopyable {
        /// Odd exactly when the slot is in use; counts up at every allocation and every release.
        @usableFromInline var generation: UInt32
        /// The next free slot plus one; 0 ends the list. Meaningful only while free.
        @usableFromInline var nextFree: UInt32
        @usableFromInline var element: Element
    }

    /// How many slots there are.
    public let capacity: Int
    /// How many slots are in use.
    public private(set) var count = 0
    @usableFromInline let entries: UnsafeMutablePointer<Entry>
    private var firstFree: UInt32 = 0
    private var untouched = 0

    public init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(UInt32.max))
        self.capacity = capacity
        entries = PagedMemory.reserve(Entry.self, count: capacity)
    }

    deinit {
        PagedMemory.release(entries, byteCount: capacity * MemoryLayout<Entry>.stride)
    }

    /// Bytes that one slot takes.
    public static var slotBytes: Int { MemoryLayout<Entry>.stride }

    /// How many slots were ever in use; slots beyond were never touched.
    public var highWater: Int { untouched }

    /// Takes a free slot; nil when all are in use. The element is what the last owner left (zero bytes at
    /// first): the caller writes it anew.
    @inlinable
    public mutating func allocate() -> UInt32? {
        guard let slot = takeFree() else { return nil }
        entries[Int(slot)].generation &+= 1
        return slot
    }

    @usableFromInline
    mutating func takeFree() -> UInt32? {
        if firstFree != 0 {
            let slot = firstFree - 1
            firstFree = entries[Int(slot)].nextFree
            count += 1
            return slot
        }
        guard untouched < capacity else { return nil }
        untouched += 1
        count += 1
        return UInt32(untouched - 1)
    }

    /// Gives a slot back. Tokens of its present generation are stale from here on.
    public mutating func release(_ slot: UInt32) {
        precondition(isLive(slot), "a slot is freed once")
        let entry = entries + Int(slot)
        entry.pointee.generation &+= 1
        entry.pointee.nextFree = firstFree
        firstFree = slot + 1
        count -= 1
    }

    /// The generation that tokens for the slot carry.
    @inlinable
    public func generation(_ slot: UInt32) -> UInt32 {
        precondition(Int(slot) < capacity)
        return entries[Int(slot)].generation
    }

    /// True exactly when the slot is in use.
    @inlinable
    public func isLive(_ slot: UInt32) -> Bool {
        Int(slot) < capacity && entries[Int(slot)].generation & 1 == 1
    }

    /// The element of a slot, in place. Valid as long as the slab.
    @inlinable
    public subscript(slot: UInt32) -> UnsafeMutablePointer<Element> {
        precondition(Int(slot) < capacity)
        let entry = UnsafeMutableRawPointer(entries + Int(slot))
        return (entry + MemoryLayout<Entry>.offset(of: \Entry.element)!)
            .assumingMemoryBound(to: Element.self)
    }
}
