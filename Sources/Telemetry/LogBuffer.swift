// What a worker has recorded and its log's file has not taken yet: the newest part of a `LogMemory`, which records go
// round in. When that part is all of it, records are dropped and counted: a slow sink never holds up a worker.
// Does no I/O itself; the worker writes what `nextWrite` answers and tells `completed`.

import Base

public struct LogBuffer: ~Copyable {
    /// The longest record in bytes; a longer one is dropped.
    public static let recordLimitBytes = 4096

    /// Records lost since `takeDropped` was last asked.
    private var dropped: UInt64 = 0
    /// The errno of the last failed write; 0 when the last one went well.
    public private(set) var lastError: Int32 = 0

    private let memory: LogMemory
    /// Where the next record goes.
    private var head: UInt64 = 0
    /// Where what no write has begun on begins; never a lap or more behind `head`.
    private var fresh: UInt64 = 0
    /// What is being written. The bytes end before `fresh`, unless they are the rest of a torn line.
    private var writingAt: UInt64 = 0
    private var writingCount = 0
    /// Where the sink has the beginning of a line, but not its end, and a write of that failed, the rest is kept here:
    /// what is recorded meanwhile may go round.
    private let torn: UnsafeMutableRawPointer
    private var isWritingTorn = false
    /// True where the sink has the beginning of a line, and its rest is the first thing to be written.
    private var isLineTorn = false
    /// True exactly while a write is in the kernel.
    public private(set) var isWriting = false

    /// The memory must outlive this.
    public init(_ memory: LogMemory) {
        self.memory = memory
        torn = .allocate(byteCount: Self.recordLimitBytes, alignment: 8)
    }

    deinit { torn.deallocate() }

    // MARK: - Recording

    /// Room for one record of at most `recordLimitBytes`; nil (and counted) where there is none. Follow
    /// with `commit`.
    public mutating func reserve() -> UnsafeMutableRawPointer? {
        let left = memory.leftOfLap(head)
        let place = left < Self.recordLimitBytes ? head + UInt64(left) : head
        guard place + UInt64(Self.recordLimitBytes) - oldestUnwritten <= UInt64(memory.byteCount) else {
            dropped += 1
            return nil
        }
        if place != head {
            memory.address(head).initializeMemory(as: UInt8.self, repeating: 0, count: left)
            // Nothing waits before the zeros: what comes begins behind them.
            if fresh == head { fresh = place }
            head = place
        }
        return memory.address(head)
    }

    /// The record at `reserve`'s address has `bytes` bytes; 0 (did not fit) counts it as dropped.
    public mutating func commit(bytes: Int) {
        precondition(bytes <= Self.recordLimitBytes)
        if bytes == 0 { dropped += 1 }
        head += UInt64(bytes)
        memory.publish(head)
    }

    private var oldestUnwritten: UInt64 { writingCount > 0 && !isWritingTorn ? writingAt : fresh }

    // MARK: - Writing

    /// Bytes that no write has begun on.
    public var freshBytes: Int { Int(head - fresh) }
    /// True where a write is in the kernel, or took less than it was offered.
    public var isBusy: Bool { isWriting || writingCount > 0 }

    /// True where nothing is left to write, or only the rest of a line that the sink refused.
    public var isEmpty: Bool { !isWriting && fresh == head && (writingCount == 0 || isRefusedLine) }

    private var isRefusedLine: Bool { isLineTorn && lastError != 0 }

    /// Neither records nor losses since the last write, which has ended well.
    @inline(__always)
    public var hasNothingToTell: Bool { fresh == head && writingCount == 0 && dropped == 0 }

    private var writingStart: UnsafeMutableRawPointer {
        isWritingTorn ? torn + Int(writingAt) : memory.address(writingAt)
    }

    /// The next bytes to write, whole lines of at most `limitBytes` where one fits; nil while a write is
    /// in the kernel or there is nothing. The write counts as in the kernel from here on.
    public mutating func nextWrite(limitBytes: Int) -> UnsafeRawBufferPointer? {
        // The rest of a refused line is offered again with the next record, not in a spin.
        if isWriting || (isRefusedLine && fresh == head) { return nil }
        if writingCount == 0 {
            if fresh == head { return nil }
            takeFresh()
        }
        isWriting = true
        let rest = UnsafeRawBufferPointer(start: writingStart, count: writingCount)
        guard rest.count > limitBytes else { return rest }
        var end = limitBytes
        while end > 0, rest[end - 1] != UInt8(ascii: "\n") { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: rest[..<(end > 0 ? end : limitBytes)])
    }

    /// What is fresh is written from here on, as much of it as stands in one lap.
    private mutating func takeFresh() {
        isWritingTorn = false
        writingAt = fresh
        let lapEnd = fresh + UInt64(memory.leftOfLap(fresh))
        writingCount = Int(min(head, lapEnd) - fresh)
        fresh = min(head, lapEnd)
        // Behind the last record of a lap are zeros.
        let start = writingStart
        while writingCount > 0, start.load(fromByteOffset: writingCount - 1, as: UInt8.self) == 0 {
            writingCount -= 1
        }
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
        if result > 0 {
            let last = (writingStart + Int(result) - 1).load(as: UInt8.self)
            isLineTorn = last != UInt8(ascii: "\n") && Int(result) < writingCount
        }
        writingAt += UInt64(result)
        writingCount -= Int(result)
    }

    /// Loses what was being written. Where the sink has taken the beginning of a line (a disk that fills
    /// up does), the rest of it is kept for when there is room again, so that no line runs into another;
    /// what was recorded behind it cannot go out before it and is lost as well.
    private mutating func dropWhatWaits() {
        let waiting = UnsafeRawBufferPointer(start: writingStart, count: writingCount)
        guard isLineTorn else {
            countLines(waiting)
            writingCount = 0
            return
        }
        let kept = min((waiting.firstIndex(of: UInt8(ascii: "\n")) ?? waiting.count) + 1, waiting.count)
        countLines(UnsafeRawBufferPointer(rebasing: waiting[kept...]))
        torn.copyMemory(from: waiting.baseAddress!, byteCount: kept)
        isWritingTorn = true
        writingAt = 0
        writingCount = kept
        dropFresh()
    }

    /// Nobody will write any more: what is left counts as lost.
    public mutating func abandon() {
        precondition(!isWriting)
        countLines(UnsafeRawBufferPointer(start: writingStart, count: writingCount))
        writingCount = 0
        dropFresh()
    }

    private mutating func dropFresh() {
        while fresh < head {
            let count = min(Int(head - fresh), memory.leftOfLap(fresh))
            countLines(UnsafeRawBufferPointer(start: memory.address(fresh), count: count))
            fresh += UInt64(count)
        }
    }

    private mutating func countLines(_ octets: UnsafeRawBufferPointer) {
        for octet in octets where octet == UInt8(ascii: "\n") { dropped += 1 }
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
