// Memory that the process which runs worlds shares with the one that started it, so that the seed, the counts
// and the last events are there to be read when a precondition ends the first.

import Glibc
import SimulatedKernel
import Simulation

struct SharedMemory {
    static let traceLength = 20_000
    private static let messageBytes = 4096

    private let currentSeed: UnsafeMutablePointer<UInt64>
    private let currentMode: UnsafeMutablePointer<UInt64>
    /// Seeds that ended well.
    let doneCount: UnsafeMutablePointer<UInt64>
    let trace: TraceRing
    let counts: UnsafeMutablePointer<UInt64>
    private let messageLength: UnsafeMutablePointer<UInt64>
    private let message: UnsafeMutablePointer<UInt8>

    init() {
        let numbers = 4 + Coverage.size
        let traceBytes = TraceRing.bytes(capacity: Self.traceLength)
        let bytes = numbers * 8 + Self.messageBytes + traceBytes
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { fatalError("no shared memory (errno \(errno))") }
        let words = memory.bindMemory(to: UInt64.self, capacity: numbers)
        currentSeed = words
        doneCount = words + 1
        messageLength = words + 2
        currentMode = words + 3
        counts = words + 4
        message = (memory + numbers * 8).assumingMemoryBound(to: UInt8.self)
        trace = TraceRing(memory: memory + numbers * 8 + Self.messageBytes, capacity: Self.traceLength)
    }

    /// The world that is being served.
    var current: WorldName {
        get { WorldName(seed: currentSeed.pointee, isHTTP: currentMode.pointee == 1) }
        nonmutating set {
            currentSeed.pointee = newValue.seed
            currentMode.pointee = newValue.isHTTP ? 1 : 0
        }
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
