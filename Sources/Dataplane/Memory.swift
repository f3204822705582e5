// What a worker takes, for `weir check`.

import Base
import CLiburing
import Ring

extension Worker {
    /// Bytes of one worker: its receive buffers, one session, and everything whose size is fixed.
    public static func memory(
        slots: Int, buffers: Int, bufferSizeBytes: Int
    ) -> (buffersBytes: Int, sessionBytes: Int, fixedBytes: Int) {
        let rings =
            Int(submissionEntries) * MemoryLayout<io_uring_sqe>.stride
            + Int(completionEntries) * MemoryLayout<io_uring_cqe>.stride
        // Timer and waiting list: 24 and 16 bytes a slot.
        let session = Slab<Session>.slotBytes + 24 + 16
        return (buffers * bufferSizeBytes, session, rings + WorkerLog.bytes * 2)
    }
}
