// Receive buffers that the kernel picks from when data is there, so that an idle connection holds none.
// One for each worker. It owns the memory and knows of every buffer whose it is; the worker links buffers
// that it holds into queues through `next`.
//
//   spare -> the kernel's -> held (queued, being sent) -> spare        publish, take, giveBack
//   spare -> held -> spare                                             takeSpare, giveBack
//
// The kernel uses its buffers in turn, so each that circulates is touched soon. Therefore few circulate at
// first, and their number doubles when most of them are held or a batch used up the kernel's, up to the limit:
// memory follows need.

import Base
import CLiburing

/// What the worker notes about a buffer that it holds.
public struct BufferSegment: BitwiseCopyable {
    /// First byte that is not sent yet.
    public var offset: UInt32
    /// Bytes from `offset` on.
    public var length: UInt32
    /// The buffer behind this one in its queue; `BufferRing.none` at the end.
    public var next: UInt16
    var owner: BufferOwner
    /// Somebody wants the bytes after they are sent: who sends it does not give it back.
    public var isKept = false
}

/// Whose a buffer is.
enum BufferOwner: UInt8 {
    /// Nobody's: links through `next` to the next spare one.
    case none
    /// The kernel may pick it.
    case kernel
    case worker
}

public struct BufferRing: ~Copyable {
    /// No buffer.
    public static let none = UInt16.max

    /// The group number that receives name.
    public let group: UInt16
    /// How many buffers there may be; at most 32,768.
    public let limit: Int
    /// How many there are: the kernel's and the worker's.
    public private(set) var count: Int
    /// Bytes of each.
    public let bufferSizeBytes: Int
    /// How many the kernel may pick from.
    public private(set) var inKernelCount = 0
    /// How many it gets: as few as it needs for a batch, because it uses them in turn, while of the spare ones the one
    /// that was used last, and is in the cache, is taken first.
    private var sharedCount = firstCount
    private var spareCount = 0
    private var firstSpare = BufferRing.none

    private let memory: UnsafeMutableRawPointer
    private let segments: UnsafeMutablePointer<BufferSegment>
    private let ring: UnsafeMutablePointer<io_uring_buf_ring>
    private let ringBytes: Int
    private let mask: Int32

    /// How many circulate at first.
    private static let firstCount = 96
    /// While more than half of all that may be are held, the kernel gets no more than this many at a time: one
    /// burst of a multishot receive takes no more than these, whoever stands still.
    private static let sharedWhenShort = 8

    /// Registers room for `limit` buffers with the kernel; those that circulate are the kernel's at first.
    public init(ring owner: borrowing Ring, group: UInt16, limit: Int, bufferSizeBytes: Int)
        throws(RingSetUpError)
    {
        precondition(limit > 0 && limit <= 32_768 && bufferSizeBytes > 0)
        var entries = 1
        while entries < limit { entries *= 2 }
        ringBytes = entries * MemoryLayout<io_uring_buf>.stride
        let ringMemory = PagedMemory.reserve(byteCount: ringBytes)
        var registration = io_uring_buf_reg()
        registration.ring_addr = UInt64(UInt(bitPattern: ringMemory))
        registration.ring_entries = UInt32(entries)
        registration.bgid = group
        let result = owner.port.registerBufferRing(owner.port.context, owner.raw, &registration)
        guard result == 0 else {
            PagedMemory.release(ringMemory, byteCount: ringBytes)
            throw RingSetUpError(step: "registering receive buffers", errno: -result)
        }
        self.group = group
        self.limit = limit
        count = 0
        self.bufferSizeBytes = bufferSizeBytes
        mask = Int32(entries - 1)
        ring = ringMemory.assumingMemoryBound(to: io_uring_buf_ring.self)
        memory = PagedMemory.reserve(byteCount: limit * Self.strideBytes(bufferSizeBytes))
        segments = PagedMemory.reserve(BufferSegment.self, count: limit)
        add(Self.firstCount)
        publish()
    }

    /// From one buffer's first byte to the next one's: five cache lines more than a buffer. Most messages are small; if
    /// each began where a page begins, all of them would share the few places in the cache that such addresses may have
    /// (docs/performance.md).
    @inline(__always)
    public static func strideBytes(_ bufferSizeBytes: Int) -> Int { bufferSizeBytes + 320 }

    /// How many the worker holds.
    public var heldCount: Int { count - inKernelCount - spareCount }

    /// More than half of all that may be are held: receivers that stand still must not take from the others what
    /// those need to go on.
    @inline(__always)
    public var isShort: Bool { heldCount > limit / 2 }

    /// Doubles the number of buffers where three quarters are held, and what the kernel gets of them where it has used
    /// all that it had in one batch, within the limit. Call it once a batch, before `publish`.
    @inline(__always)
    public mutating func growIfNeeded() {
        // While buffers are short the kernel has few on purpose.
        let isUsedUp = inKernelCount == 0 && !isShort
        if isUsedUp { sharedCount = min(2 * sharedCount, limit) }
        if heldCount > count - count / 4 || isUsedUp && spareCount < sharedCount, count < limit { add(count) }
    }

    private mutating func add(_ wanted: Int) {
        let first = count
        count = min(limit, count + wanted)
        for identifier in (first..<count).reversed() { makeSpare(UInt16(identifier)) }
    }

    /// To be called after the ring is gone: the kernel writes into this memory until then.
    deinit {
        PagedMemory.release(memory, byteCount: limit * Self.strideBytes(bufferSizeBytes))
        PagedMemory.release(segments, byteCount: limit * MemoryLayout<BufferSegment>.stride)
        PagedMemory.release(ring, byteCount: ringBytes)
    }

    /// First byte of a buffer.
    @inline(__always)
    public func bytes(_ identifier: UInt16) -> UnsafeMutableRawPointer {
        memory + Int(identifier) * Self.strideBytes(bufferSizeBytes)
    }

    /// The worker's note of a buffer that it holds.
    @inline(__always)
    public func segment(_ identifier: UInt16) -> UnsafeMutablePointer<BufferSegment> {
        precondition(Int(identifier) < count)
        return segments + Int(identifier)
    }

    /// The kernel picked this buffer and put `length` bytes in it: it is the worker's from here on.
    @inline(__always)
    public mutating func take(_ identifier: UInt16, length: UInt32) {
        let segment = segment(identifier)
        precondition(segment.pointee.owner == .kernel, "a buffer has one owner")
        segment.pointee = BufferSegment(offset: 0, length: length, next: Self.none, owner: .worker)
        inKernelCount -= 1
    }

    /// A buffer that the kernel never had, to write into; nil where all are in use.
    @inline(__always)
    public mutating func takeSpare() -> UInt16? {
        if spareCount == 0 {
            if count == limit { return nil }
            add(count)
        }
        return popSpare(owner: .worker)
    }

    /// The worker is done with the buffer.
    @inline(__always)
    public mutating func giveBack(_ identifier: UInt16) {
        precondition(segment(identifier).pointee.owner == .worker, "a buffer is given back once")
        makeSpare(identifier)
    }

    @inline(__always)
    private mutating func makeSpare(_ identifier: UInt16) {
        segments[Int(identifier)] = BufferSegment(offset: 0, length: 0, next: firstSpare, owner: .none)
        firstSpare = identifier
        spareCount += 1
    }

    @inline(__always)
    private mutating func popSpare(owner: BufferOwner) -> UInt16 {
        let identifier = firstSpare
        let segment = segment(identifier)
        firstSpare = segment.pointee.next
        segment.pointee = BufferSegment(offset: 0, length: 0, next: Self.none, owner: owner)
        spareCount -= 1
        return identifier
    }

    /// Shows the kernel what it may pick from: once a batch. An eighth stays with the worker, for `takeSpare`, unless
    /// buffers are short: then receives go before heads.
    @inline(__always)
    public mutating func publish() {
        let target = isShort ? Self.sharedWhenShort : min(sharedCount, count - count / 8)
        let reserve = isShort ? 0 : count / 8
        var added: Int32 = 0
        while inKernelCount < target, spareCount > reserve {
            let identifier = popSpare(owner: .kernel)
            weir_buffer_ring_add(ring, bytes(identifier), UInt32(bufferSizeBytes), identifier, mask, added)
            added += 1
            inKernelCount += 1
        }
        if added > 0 { weir_buffer_ring_advance(ring, added) }
    }
}
