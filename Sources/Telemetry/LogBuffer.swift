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
    /// True where the sink has the beginning of a line, and its rest is the first thing to be written.
    private var isLineTorn = false
    /// True exactly while a write of the other half is in the kernel.
    public private(set) var isWriting = false

    public init(halfBytes: Int) {
        precondition(halfBytes >= Self.recordLimitBytes)
        self.halfBytes = halfBytes
        memory = PagedMemory.reserve(byteCount: 2 * halfBytes)
    }

    deinit { PagedMemory.release(memory, byteCount: 2 * halfBytes) }

    /// Room for one record of at most `recordLimitBytes`; nil (and counted) where there is none. Follow
    /// with `commit`.
    public mutating func reserve() -> UnsafeMutableRawPointer? {
        if halfBytes - filled < Self.recordLimitBytes {
            dropped += 1
            return nil
        }
        return memory + fillingHalf * halfBytes + filled
    }

    /// The record at `reserve`'s address has `bytes` bytes; 0 (did not fit) counts it as dropped.
    public mutating func commit(bytes: Int) {
        precondition(bytes <= halfBytes - filled)
        if bytes == 0 { dropped += 1 }
        filled += bytes
    }

    /// Bytes that no write has begun on.
    public var freshBytes: Int { filled }
    /// True where a write is in the kernel, or took less than it was offered.
    public var isBusy: Bool { isWriting || writingCount > 0 }

    /// True where nothing is left to write, or only the rest of a line that the sink refused.
    public var isEmpty: Bool { !isWriting && filled == 0 && (writingCount == 0 || isRefusedLine) }

    private var isRefusedLine: Bool { isLineTorn && lastError != 0 }

    /// Neither records nor losses since the last write, which has ended well.
    @inline(__always)
    public var hasNothingToTell: Bool { filled == 0 && writingCount == 0 && dropped == 0 }

    /// The next bytes to write, whole lines of at most `limitBytes` where one fits; nil while a write is
    /// in the kernel or there is nothing. The write counts as in the kernel from here on.
    public mutating func nextWrite(limitBytes: Int) -> UnsafeRawBufferPointer? {
        // The rest of a refused line is offered again with the next record, not in a spin.
        if isWriting || (isRefusedLine && filled == 0) { return nil }
        if writingCount == 0 {
            if filled == 0 { return nil }
            writingOffset = fillingHalf * halfBytes
            writingCount = filled
            fillingHalf = 1 - fillingHalf
            filled = 0
        }
        isWriting = true
        let rest = UnsafeRawBufferPointer(start: memory + writingOffset, count: writingCount)
        guard rest.count > limitBytes else { return rest }
        var end = limitBytes
        while end > 0, rest[end - 1] != UInt8(ascii: "\n") { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: rest[..<(end > 0 ? end : limitBytes)])
    }

    /// A write ended: bytes written, or a negative errno, which loses what was being written (counted).
    public mutating func completed(_ result: Int32) {
        precondition(isWriting)
        isWriting = false
        if result < 0 {
            lastError = -result
            dropWhatWaits()
            return
        }
        lastError = 0
        writingOffset += Int(result)
        writingCount -= Int(result)
        if result > 0 { isLineTorn = writingCount > 0 && !isLineEnd(writingOffset - 1) }
    }

    private func isLineEnd(_ offset: Int) -> Bool {
        memory.load(fromByteOffset: offset, as: UInt8.self) == UInt8(ascii: "\n")
    }

    /// Loses what was being written. Where the sink has taken the beginning of a line (a disk that fills
    /// up does), the rest of it is kept for when there is room again, so that no line runs into another;
    /// what was recorded behind it cannot go out before it and is lost as well.
    private mutating func dropWhatWaits() {
        var kept = 0
        if isLineTorn {
            while kept < writingCount, !isLineEnd(writingOffset + kept) { kept += 1 }
            kept = min(kept + 1, writingCount)
            countLines(at: fillingHalf * halfBytes, count: filled)
            filled = 0
        }
        countLines(at: writingOffset + kept, count: writingCount - kept)
        writingCount = kept
    }

    /// Nobody will write any more: what is left counts as lost.
    public mutating func abandon() {
        precondition(!isWriting)
        countLines(at: writingOffset, count: writingCount)
        countLines(at: fillingHalf * halfBytes, count: filled)
        writingCount = 0
        filled = 0
    }

    private mutating func countLines(at offset: Int, count: Int) {
        for octet in UnsafeRawBufferPointer(start: memory + offset, count: count)
        where octet == UInt8(ascii: "\n") {
            dropped += 1
        }
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
