// Where a worker's records stand, the newest last: the worker writes each once and hands it from here to the log's
// file; what was written stays until it is overwritten, so that whoever looks at a running Weir can read the newest
// records without the worker doing anything for it.
//
// Positions only grow. A lap is the whole memory; a record never goes over its end, and zero octets, which no record
// has, fill what is left of it.

import Base
import Synchronization

/// The memory of one log of one worker: one thread writes, any others read meanwhile. Lives until `deallocate`.
public struct LogMemory: BitwiseCopyable, @unchecked Sendable {
    /// Bytes of a lap.
    public let byteCount: Int
    private let start: UnsafeMutableRawPointer
    private let written: UnsafeMutablePointer<Atomic<UInt64>>

    private static let headerBytes = 64
    /// The worker may be this far ahead of what it has published: at most one record in program order, and some more
    /// by the reordering of a processor.
    private static let marginBytes = 4 * LogBuffer.recordLimitBytes

    /// - Parameter byteCount: a power of two, at least eight times `LogBuffer.recordLimitBytes`. Resident as it is
    ///   written.
    public init(byteCount: Int) {
        precondition(byteCount >= 2 * Self.marginBytes && byteCount & (byteCount - 1) == 0)
        self.byteCount = byteCount
        let memory = PagedMemory.reserve(byteCount: Self.headerBytes + byteCount)
        written = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        written.initialize(to: Atomic(0))
        start = memory + Self.headerBytes
    }

    /// Nobody may write or read any more.
    public func deallocate() {
        PagedMemory.release(start - Self.headerBytes, byteCount: Self.headerBytes + byteCount)
    }

    // MARK: - The worker

    @inline(__always)
    func address(_ position: UInt64) -> UnsafeMutableRawPointer { start + offset(position) }

    /// Within a lap.
    @inline(__always)
    private func offset(_ position: UInt64) -> Int { Int(position & UInt64(byteCount - 1)) }

    /// Bytes from there to the end of the lap; all of it at its beginning.
    @inline(__always)
    func leftOfLap(_ position: UInt64) -> Int { byteCount - offset(position) }

    /// All before this position may be read.
    @inline(__always)
    func publish(_ position: UInt64) { written.pointee.store(position, ordering: .releasing) }

    // MARK: - Readers

    /// Reads the lines from `position` on, where one begins, or as far back as there are any, without their ends.
    /// Answers the position to go on from, and whether some had been overwritten before they were read.
    public func read(
        from position: UInt64, each: (UnsafeRawBufferPointer) -> Void
    ) -> (next: UInt64, hasMissed: Bool) {
        let end = written.pointee.load(ordering: .acquiring)
        guard end > position else { return (end, false) }
        let first = max(position, oldest(at: end))
        let count = Int(end - first)
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { copy in
            self.copy(from: first, into: copy)
            // What was overwritten during the copy is known only now.
            atomicMemoryFence(ordering: .acquiring)
            let intact = max(first, oldest(at: written.pointee.load(ordering: .relaxed)))
            guard intact < end else { return (end, true) }
            let lines = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[Int(intact - first)...])
            split(lines, at: intact, beginsWithin: intact != position, each)
            return (end, intact != position)
        }
    }

    private func oldest(at end: UInt64) -> UInt64 {
        let kept = UInt64(byteCount - Self.marginBytes)
        return end > kept ? end - kept : 0
    }

    private func copy(from first: UInt64, into copy: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < copy.count {
            let position = first + UInt64(done)
            let count = min(copy.count - done, leftOfLap(position))
            (copy.baseAddress! + done).copyMemory(from: address(position), byteCount: count)
            done += count
        }
    }

    /// Hands on each whole line of what stands at `position`.
    private func split(
        _ octets: UnsafeRawBufferPointer, at position: UInt64, beginsWithin: Bool,
        _ each: (UnsafeRawBufferPointer) -> Void
    ) {
        // A lap begins with a line.
        var isWithin = beginsWithin && offset(position) != 0
        var lineStart = 0
        var index = 0
        while index < octets.count {
            switch octets[index] {
            case UInt8(ascii: "\n"):
                if !isWithin { each(UnsafeRawBufferPointer(rebasing: octets[lineStart..<index])) }
                isWithin = false
                index += 1
                lineStart = index
            case 0:
                isWithin = false
                index += leftOfLap(position + UInt64(index))
                lineStart = index
            default: index += 1
            }
        }
    }
}
