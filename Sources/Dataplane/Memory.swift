// What a worker takes, for `weir check`.

import Balancing
import Base
import CLiburing
import Configuration
import HTTP1
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
        return (
            buffers * BufferRing.strideBytes(bufferSizeBytes), session,
            rings + WorkerLogMemory.byteCount + SessionList.byteCount
        )
    }

    /// Bytes that remember clients, of all pools, for the whole process.
    public static func affinityMemory(_ pools: [Pool]) -> Int {
        pools.reduce(0) { bytes, pool in
            guard let affinity = pool.affinity, affinity.isByClientAddress else { return bytes }
            return bytes + StickyTable.byteCount(clients: affinity.clients)
        }
    }

    /// Bytes that http mode takes: of one request under way, of one connection to a backend (with its timer),
    /// and whatever the number of either.
    public static func httpMemory(
        headerLimit: Int
    ) -> (requestBytes: Int, connectionBytes: Int, fixedBytes: Int) {
        (
            Slab<Exchange>.slotBytes + ExchangeText.memoryBytes, Slab<BackendConnection>.slotBytes + 24,
            headerLimit * MemoryLayout<Field>.stride
        )
    }
}
