// Two halves of memory between a worker and a log file: records fill one while the other is being
// written. When both are full, records are dropped and counted: a slow sink never holds up a worker.
// Does no I/O itself; the worker writes what `nextWrite` answers and tells `completed`.

import Base

public struct LogBuffer: ~Copyable {
    /// The longest record in bytes; a longer one is dropped.
    public static let recordLimitBytes = 4096

    /// Bytes of each half.
    public let halfBytes: Int
    /// Records lost since `takeDropped` was last asked.
    private var dropped: UInt64 = 0
    /// The errno of the last failed write; 0 when the last one went well.
    public private(set) var lastError: Int32 = 0

    private let memory: UnsafeMutableRawPointer
    private var fillingHalf = 0
    private var filled = 0
    private var writingOffset = 0
    private var writingCount = 0
    /// The last byte that the sink took was within a record, whose rest was lost since or is still to come.
    private var isWithinLine = false
    /// True exactly while a write of the other half is in the kernel.
    public private(set) var isWriting = false

    public init(halfBytes: Int) {
        precondition(halfBytes >= Self.recordLimitBytes)
        self.halfBytes = halfBytes
        // Before each half a line's end, which is written first where the sink was left within a line.
        memory = PagedMemory.reserve(byteCount: 2 * (halfBytes + 1))
        for half in 0..<2 {
            memory.storeBytes(of: Self.lineEnd, toByteOffset: half * (halfBytes + 1), as: UInt8.self)
        }
    }

    deinit { PagedMemory.release(memory, byteCount: 2 * (halfBytes + 1)) }

    private static let lineEnd = UInt8(ascii: "\n")

    /// Where the records of a half begin.
    private func start(ofHalf half: Int) -> Int { half * (halfBytes + 1) + 1 }

    /// Room for one record of at most `recordLimitBytes`; nil (and counted) where there is none. Follow
    /// with `commit`.
    public mutating func reserve() -> UnsafeMutableRawPointer? {
        if halfBytes - filled < Self.recordLimitBytes {
            dropped += 1
            return nil
        }
        return memory + start(ofHalf: fillingHalf) + filled
    }

    /// The record at `reserve`'s address has `bytes` bytes; 0 (did not fit) counts it as dropped.
    public mutating func commit(bytes: Int) {
        precondition(bytes <= halfBytes - filled)
        if bytes == 0 { dropped += 1 }
        filled += bytes
    }

    /// True where nothing is left to write.
    public var isEmpty: Bool { !isWriting && filled == 0 && writingCount == 0 }

    /// The next bytes to write, whole lines of at most `limitBytes` where one fits; nil while a write is
    /// in the kernel or there is nothing. The write counts as in the kernel from here on.
    public mutating func nextWrite(limitBytes: Int) -> UnsafeRawBufferPointer? {
        if isWriting { return nil }
        if writingCount == 0 {
            if filled == 0 { return nil }
            let lead = isWithinLine ? 1 : 0
            writingOffset = start(ofHalf: fillingHalf) - lead
            writingCount = filled + lead
            fillingHalf = 1 - fillingHalf
            filled = 0
        }
        isWriting = true
        let rest = UnsafeRawBufferPointer(start: memory + writingOffset, count: writingCount)
        guard rest.count > limitBytes else { return rest }
        var end = limitBytes
        while end > 0, rest[end - 1] != Self.lineEnd { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: rest[..<(end > 0 ? end : limitBytes)])
    }

    /// A write ended: bytes written, or a negative errno, which loses what was being written (counted).
    public mutating func completed(_ result: Int32) {
        precondition(isWriting)
        isWriting = false
        if result < 0 {
            lastError = -result
            dropped += unwrittenRecords()
            writingCount = 0
            return
        }
        lastError = 0
        if result == 0 { return }
        writingOffset += Int(result)
        writingCount -= Int(result)
        isWithinLine = memory.load(fromByteOffset: writingOffset - 1, as: UInt8.self) != Self.lineEnd
    }

    /// Records of the half that is being written which are not out, one that is cut short included.
    private func unwrittenRecords() -> UInt64 {
        let first = max(writingOffset, start(ofHalf: 1 - fillingHalf))
        let end = writingOffset + writingCount
        return lines(from: first, count: max(end - first, 0))
    }

    private func lines(from offset: Int, count: Int) -> UInt64 {
        var lines: UInt64 = 0
        for octet in UnsafeRawBufferPointer(start: memory + offset, count: count)
        where octet == Self.lineEnd {
            lines += 1
        }
        return lines
    }

    /// Nobody will write any more: what is left counts as lost.
    public mutating func abandon() {
        precondition(!isWriting)
        dropped += unwrittenRecords() + lines(from: start(ofHalf: fillingHalf), count: filled)
        writingCount = 0
        filled = 0
    }

    /// The sink was not ready: the same bytes are offered again.
    public mutating func postponed() {
        precondition(isWriting)
        isWriting = false
    }

    /// How many records were lost since this was last asked.
    public mutating func takeDropped() -> UInt64 {
        defer { dropped = 0 }
        return dropped
    }
}
