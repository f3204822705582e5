// The worker's ring of provided buffers as the kernel sees it, with a note for each buffer of who has it. A
// buffer that comes back twice, or while it is being sent, is a defect of the worker.

import CLiburing
import Ring

struct BufferLedger {
    struct Buffer {
        var address: UInt64 = 0
        var lengthBytes: UInt32 = 0
        var isInRing = false
        /// Sends in flight out of it.
        var sends = 0
    }

    private(set) var buffers: [Buffer] = []
    private(set) var inRingCount = 0
    private var entries: UnsafePointer<io_uring_buf>?
    private var mask: UInt16 = 0
    private var head: UInt16 = 0
    private var seenTail: UInt16 = 0
    private(set) var group: UInt16 = 0
    /// Where buffer 0 is: they lie one behind another, as `BufferRing` has them.
    private var baseAddress: UInt64 = 0
    private var sizeBytes: UInt32 = 0

    /// 0 or a negative errno.
    mutating func register(_ registration: io_uring_buf_reg) -> Int32 {
        guard entries == nil, registration.ring_entries & (registration.ring_entries - 1) == 0 else {
            return -EINVAL
        }
        entries = UnsafePointer(bitPattern: UInt(registration.ring_addr))
        mask = UInt16(registration.ring_entries - 1)
        group = registration.bgid
        buffers = Array(repeating: Buffer(), count: Int(registration.ring_entries))
        return 0
    }

    /// Reads what the worker gave back since. Answers what is wrong with it, if anything.
    mutating func noteReturns() -> String? {
        guard let entries else { return nil }
        let tail = entries[0].resv
        while seenTail != tail {
            let entry = entries[Int(seenTail & mask)]
            seenTail &+= 1
            let place = Int(entry.bid)
            guard place < buffers.count else { return "buffer \(place) does not exist" }
            if buffers[place].isInRing { return "buffer \(place) came back twice" }
            if buffers[place].sends > 0 { return "buffer \(place) came back while it is being sent" }
            if buffers[place].address != 0, buffers[place].address != entry.addr {
                return "buffer \(place) came back with another address"
            }
            baseAddress = entry.addr - UInt64(place) * strideBytes(entry.len)
            sizeBytes = entry.len
            buffers[place].address = entry.addr
            buffers[place].lengthBytes = entry.len
            buffers[place].isInRing = true
            inRingCount += 1
        }
        return nil
    }

    /// The next buffer; nil where there is none.
    mutating func take() -> (identifier: UInt16, address: UInt64, lengthBytes: UInt32)? {
        guard let entries, head != seenTail else { return nil }
        let entry = entries[Int(head & mask)]
        head &+= 1
        buffers[Int(entry.bid)].isInRing = false
        inRingCount -= 1
        return (entry.bid, entry.addr, entry.len)
    }

    /// The buffer that an address lies in, if only the worker ever had it; nil where it is none.
    func find(_ address: UInt64) -> Int? {
        guard sizeBytes > 0, address >= baseAddress else { return nil }
        let (place, offset) = (address - baseAddress).quotientAndRemainder(dividingBy: strideBytes(sizeBytes))
        return place < buffers.count && offset < sizeBytes ? Int(place) : nil
    }

    private func strideBytes(_ sizeBytes: UInt32) -> UInt64 { UInt64(BufferRing.strideBytes(Int(sizeBytes))) }

    mutating func sendBegins(_ place: Int) { buffers[place].sends += 1 }
    mutating func sendEnds(_ place: Int) { buffers[place].sends -= 1 }
}
