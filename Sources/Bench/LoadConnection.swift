// One connection of the load generator, and what it is doing now.
//
//   waiting -> connecting -> idle -> busy -> idle ...
//      ^           |                  | \-> answered (the request is still being sent) -> idle
//      |        resting (10 ms)       v
//      +-----------+--------------- closing
//
// With a connection for each request, idle means that it has no socket: busy begins with connecting.

import Ring

struct LoadConnection: BitwiseCopyable {
    enum State: UInt8, BitwiseCopyable {
        /// For its turn to connect.
        case waiting
        case connecting
        case idle
        case busy
        case answered
        /// The socket goes as soon as nothing of it is in the kernel.
        case closing
        /// After a failure, so that a target that is gone is not asked in a spin.
        case resting
    }

    /// Operations of a connection; the first byte of a token.
    enum Operation: UInt8 {
        case connect = 1
        case receive = 2
        case send = 4
        case close = 8
    }

    var state = State.waiting
    /// The operations that are in the kernel, a bit each.
    var inKernel: UInt8 = 0
    /// Whether a request waits for the connection that is being made.
    var hasRequest = false
    /// Counts the sockets, so that a completion of an older one is told apart.
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var kind: UInt16 = 0
    /// When the request began, or was to begin.
    var startedAt: UInt64 = 0
    /// Of a tcp answer: bytes to come.
    var remaining: UInt64 = 0
    var reader = ResponseReader()

    @inline(__always)
    mutating func submitting(_ operation: Operation, number: UInt32) -> Token {
        precondition(inKernel & operation.rawValue == 0, "one of each operation at a time")
        inKernel |= operation.rawValue
        return Token(operation: operation.rawValue, generation: generation, slot: number)
    }
}
