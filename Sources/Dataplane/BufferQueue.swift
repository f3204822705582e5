// Buffers in a row, linked through their segments: what a relay still has to send, or to understand.

import Ring

/// Buffers that the worker holds, oldest first.
struct BufferQueue: BitwiseCopyable {
    var head = BufferRing.none
    var tail = BufferRing.none
    var count: UInt16 = 0

    var isEmpty: Bool { count == 0 }
}

extension BufferRing {
    @inline(__always)
    func append(_ buffer: UInt16, to queue: inout BufferQueue) {
        segment(buffer).pointee.next = BufferRing.none
        if queue.tail == BufferRing.none {
            queue.head = buffer
        } else {
            segment(queue.tail).pointee.next = buffer
        }
        queue.tail = buffer
        queue.count += 1
    }

    /// Before all others.
    @inline(__always)
    func prepend(_ buffer: UInt16, to queue: inout BufferQueue) {
        segment(buffer).pointee.next = queue.head
        if queue.tail == BufferRing.none { queue.tail = buffer }
        queue.head = buffer
        queue.count += 1
    }

    /// Takes the oldest buffer out; the caller has it then.
    @inline(__always)
    func removeFirst(from queue: inout BufferQueue) -> UInt16 {
        let buffer = queue.head
        queue.head = segment(buffer).pointee.next
        if queue.head == BufferRing.none { queue.tail = BufferRing.none }
        queue.count -= 1
        return buffer
    }

    /// Gives back what is in the queue; none of it may be in a send.
    mutating func drop(_ queue: inout BufferQueue) {
        while queue.count > 0 {
            let buffer = removeFirst(from: &queue)
            if !segment(buffer).pointee.isKept { giveBack(buffer) }
        }
    }
}
