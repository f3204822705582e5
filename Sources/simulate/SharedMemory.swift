// Memory that the process which runs worlds shares with the one that started it, so that the seed, the counts
// and the last events are there to be read when a precondition ends the first.

import Glibc
import SimulatedKernel
import Simulation

struct SharedMemory {
    static let traceLength = 20_000
    private static let messageBytes = 4096

    let currentSeed: UnsafeMutablePointer<UInt64>
    /// Seeds that ended well.
    let doneCount: UnsafeMutablePointer<UInt64>
    let trace: TraceRing
    let counts: UnsafeMutablePointer<UInt64>
    private let messageLength: UnsafeMutablePointer<UInt64>
    private let message: UnsafeMutablePointer<UInt8>

    init() {
        let numbers = 3 + Coverage.size
        let traceBytes = TraceRing.bytes(capacity: Self.traceLength)
        let bytes = numbers * 8 + Self.messageBytes + traceBytes
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { fatalError("no shared memory (errno \(errno))") }
        let words = memory.bindMemory(to: UInt64.self, capacity: numbers)
        currentSeed = words
        doneCount = words + 1
        messageLength = words + 2
        counts = words + 3
        message = (memory + numbers * 8).assumingMemoryBound(to: UInt8.self)
        trace = TraceRing(memory: memory + numbers * 8 + Self.messageBytes, capacity: Self.traceLength)
    }

    var failure: String {
        get {
            String(
                decoding: UnsafeBufferPointer(start: message, count: Int(messageLength.pointee)),
                as: UTF8.self)
        }
        nonmutating set {
            let bytes = Array(newValue.utf8.prefix(Self.messageBytes))
            message.update(from: bytes, count: bytes.count)
            messageLength.pointee = UInt64(bytes.count)
        }
    }
}
