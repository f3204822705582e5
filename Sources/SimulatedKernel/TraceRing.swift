// The last events of a world, in memory that the caller lends (shared with another process, so that they
// outlive a crash).

/// One event of a trace. The label points into the program.
public struct TraceEntry: BitwiseCopyable {
    /// Nanoseconds of the virtual clock.
    public var time: UInt64
    public var label: StaticString
    public var a: Int64
    public var b: Int64
    public var c: Int64
}

public struct TraceRing {
    private let count: UnsafeMutablePointer<UInt64>
    private let entries: UnsafeMutablePointer<TraceEntry>
    private let capacity: Int

    /// Bytes that `memory` must have for so many entries.
    public static func bytes(capacity: Int) -> Int { 8 + capacity * MemoryLayout<TraceEntry>.stride }

    public init(memory: UnsafeMutableRawPointer, capacity: Int) {
        count = memory.assumingMemoryBound(to: UInt64.self)
        entries = (memory + 8).assumingMemoryBound(to: TraceEntry.self)
        self.capacity = capacity
    }

    public func clear() { count.pointee = 0 }

    func add(_ entry: TraceEntry) {
        entries[Int(count.pointee) % capacity] = entry
        count.pointee += 1
    }

    /// The last events, oldest first.
    public func forEach(last limit: Int, _ body: (TraceEntry) -> Void) {
        let total = Int(count.pointee)
        let first = max(0, total - min(limit, capacity))
        for number in first..<total { body(entries[number % capacity]) }
    }
}
