// One of a worker's two logs: records go into its buffer and from there to the file through the ring. A
// slow file costs records, counted, never time.

import Glibc
import Ring
import Telemetry

/// Where a worker's records go.
public struct LogSink: Sendable {
    /// -1: nowhere.
    public var descriptor: Int32
    public var format: RecordFormat
    /// Bytes that one write may have: 4096 where several writers share a pipe or a terminal, so that lines
    /// do not mix (PIPE_BUF, pipe(7)).
    public var writeLimitBytes: Int

    public init(descriptor: Int32, format: RecordFormat, writeLimitBytes: Int) {
        self.descriptor = descriptor
        self.format = format
        self.writeLimitBytes = writeLimitBytes
    }

    public static let off = LogSink(descriptor: -1, format: .json, writeLimitBytes: 0)
}

/// Where a worker's records stand: those that its sinks have not taken, and the newest of the others, for who looks.
/// Outlives the worker.
public struct WorkerLogMemory: Sendable {
    public let access: LogMemory
    public let events: LogMemory

    private static let accessBytes = 1 << 20
    private static let eventBytes = 1 << 18
    /// Bytes that one takes.
    static let byteCount = accessBytes + eventBytes

    public init() {
        access = LogMemory(byteCount: Self.accessBytes)
        events = LogMemory(byteCount: Self.eventBytes)
    }

    /// The worker is gone, and nobody reads any more.
    public func deallocate() {
        access.deallocate()
        events.deallocate()
    }
}

/// A log of a worker: its buffer, and what of it is in the kernel.
struct WorkerLog: ~Copyable {
    /// Records wait for others to share a write with, but no longer than this.
    static let longestWaitNanoseconds: UInt64 = 10_000_000
    /// So many bytes are worth a write of their own.
    private static let worthwhileBytes = 32 * 1024
    let sink: LogSink
    /// Slot in the tokens of its writes.
    let index: Int
    var buffer: LogBuffer
    /// True exactly while a poll for a sink that was not ready is in the kernel.
    var isPolling = false
    /// When the oldest record that waits for others came; 0 where none waits.
    private var waitsSince: UInt64 = 0
    /// Lost records that were not reported yet.
    var unreported: UInt64 = 0

    init(_ sink: LogSink, _ memory: LogMemory, index: Int) {
        self.sink = sink
        self.index = index
        buffer = LogBuffer(memory)
    }

    var isOn: Bool { sink.descriptor >= 0 }
    /// Nothing to write, or nowhere that takes it now: ending does not wait for a stuck reader.
    var isIdle: Bool { buffer.isEmpty || isPolling }

    /// Hands the kernel what was recorded, unless the last write is still with it, or more may come before `now` is
    /// late. Answers whether records wait for that.
    mutating func write(
        through ring: borrowing Ring, counting counters: UnsafePointer<CounterTable>, now: UInt64,
        mayWait: Bool
    ) -> Bool {
        // Nearly always: whoever asks may do so every turn.
        guard isOn, !buffer.hasNothingToTell else { return false }
        let dropped = buffer.takeDropped()
        if dropped > 0 {
            counters.pointee.add(.logDropped, dropped)
            unreported += dropped
        }
        if mayWait, !buffer.isBusy, buffer.freshBytes > 0, buffer.freshBytes < Self.worthwhileBytes {
            if waitsSince == 0 { waitsSince = now }
            if now < waitsSince + Self.longestWaitNanoseconds { return true }
        }
        waitsSince = 0
        guard !isPolling, let bytes = buffer.nextWrite(limitBytes: sink.writeLimitBytes) else { return false }
        ring.write(sink.descriptor, bytes.baseAddress!, count: bytes.count, token: token(.writeLog))
        return false
    }

    /// The worker ends: what a sink that is not ready has not taken is lost, and counted.
    mutating func abandon(counting counters: UnsafePointer<CounterTable>) {
        guard isOn, !buffer.isWriting else { return }
        buffer.abandon()
        counters.pointee.add(.logDropped, buffer.takeDropped())
    }

    /// A write ended. A sink that is not ready is polled and offered the same bytes again.
    mutating func written(_ result: Int32, ring: borrowing Ring) {
        if result == -EAGAIN || result == -EINTR {
            buffer.postponed()
            isPolling = true
            ring.pollWritable(sink.descriptor, token: token(.pollLog))
        } else {
            buffer.completed(result)
        }
    }

    private func token(_ operation: Operation) -> Token {
        Token(operation: operation.rawValue, generation: 0, slot: UInt32(index))
    }
}
