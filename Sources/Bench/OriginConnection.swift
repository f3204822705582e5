// One accepted connection of the origin: what it is reading, which answers it owes, what is in the kernel.

import Ring

/// An answer that is owed, in the order of the requests.
struct OwedAnswer: BitwiseCopyable {
    /// Not to be sent before.
    var due: UInt64
    /// When the request was whole.
    var startedAt: UInt64
    var kind: UInt16
    /// The request was HEAD: no body.
    var isHeadOnly: Bool
}

struct OriginConnection: BitwiseCopyable {
    /// How many answers a connection may owe; a client that pipelines deeper is cut off.
    static var owedLimit: Int { 64 }

    enum Operation: UInt8 {
        case receive = 1
        case send = 2
        // Of the origin itself.
        case accept = 16
        case signal = 17
        case close = 18
    }

    let descriptor: Int32
    var inKernel: UInt8 = 0
    /// The client sends no more, or is not listened to any more: what is owed is sent, then the end.
    var hasEnded = false
    /// The socket is shut down; it goes when nothing of it is in the kernel.
    var isClosing = false
    /// A circle of answers: the first one and how many, and how many of them are being sent.
    var owedFirst = 0
    var owedCount = 0
    var sendingCount = 0
    var sendingBytes = 0
    /// Of tcp with a fixed size: bytes of the present message so far.
    var messageBytes = 0
    /// Of the echo: the buffer that goes back, and when.
    var heldBuffer = BufferRing.none
    var heldDue: UInt64 = 0
    var reader = RequestReader()

    init(descriptor: Int32) { self.descriptor = descriptor }

    @inline(__always)
    func isInKernel(_ operation: Operation) -> Bool { inKernel & operation.rawValue != 0 }
}
