// What can be in the kernel. A session's operations are numbered by their bit in `Session.inKernel`, so
// that "is it in the kernel" and "which completion is this" are one fact.

import Ring

/// One way of a session.
enum Direction: UInt8, CaseIterable {
    /// From the client to the backend.
    case toBackend = 0
    /// From the backend to the client.
    case toClient = 1

    @inline(__always)
    var opposite: Direction { self == .toBackend ? .toClient : .toBackend }
}

/// The operation in a token.
enum Operation: UInt8 {
    // Of a session: raw value = bit number.
    case connect = 0
    case cancelConnect = 1
    case receiveFromClient = 2
    case receiveFromBackend = 3
    case sendToBackend = 4
    case sendToClient = 5
    case pollClientReadable = 6
    case pollBackendReadable = 7
    case pollBackendWritable = 8
    case pollClientWritable = 9
    case cancelReceiveFromClient = 10
    case cancelReceiveFromBackend = 11
    case cancelAllOnClient = 12
    case cancelAllOnBackend = 13
    case watchClient = 14
    case watchBackend = 15

    // Of the worker; the slot says which acceptor or log.
    case accept = 16
    case cancelAccept = 17
    case wake = 18
    case writeLog = 19
    case pollLog = 20
    /// Completes only when it fails.
    case close = 21

    /// Set in the operation of a token whose slot is that of a backend connection of http mode, not a session's.
    static let ofConnection: UInt8 = 32

    @inline(__always)
    static func receive(_ direction: Direction) -> Operation {
        direction == .toBackend ? .receiveFromClient : .receiveFromBackend
    }
    @inline(__always)
    static func send(_ direction: Direction) -> Operation {
        direction == .toBackend ? .sendToBackend : .sendToClient
    }
    @inline(__always)
    static func pollInput(_ direction: Direction) -> Operation {
        direction == .toBackend ? .pollClientReadable : .pollBackendReadable
    }
    @inline(__always)
    static func pollOutput(_ direction: Direction) -> Operation {
        direction == .toBackend ? .pollBackendWritable : .pollClientWritable
    }
    @inline(__always)
    static func watch(_ direction: Direction) -> Operation {
        direction == .toBackend ? .watchClient : .watchBackend
    }
    @inline(__always)
    static func cancelReceive(_ direction: Direction) -> Operation {
        direction == .toBackend ? .cancelReceiveFromClient : .cancelReceiveFromBackend
    }
}

/// Which operations of a session are in the kernel: the bit of an operation is set exactly from its
/// submission to its last completion.
struct InKernel: OptionSet, BitwiseCopyable {
    var rawValue: UInt16

    @inline(__always)
    init(rawValue: UInt16) { self.rawValue = rawValue }
    @inline(__always)
    init(_ operation: Operation) { rawValue = 1 << UInt16(operation.rawValue) }

    /// The one operation that this is; nil where there are several, or none.
    @inline(__always)
    var single: Operation? {
        rawValue.nonzeroBitCount == 1 ? Operation(rawValue: UInt8(rawValue.trailingZeroBitCount)) : nil
    }

    /// What concerns the connection to the backend, requests to cancel included.
    static let ofBackend: InKernel = onBackend.union([
        InKernel(.cancelConnect), InKernel(.cancelReceiveFromBackend), InKernel(.cancelAllOnBackend),
    ])

    /// All that there may be on a connection to a backend that goes from one request to the next.
    static let quietConnection: InKernel = [InKernel(.receiveFromBackend), InKernel(.watchBackend)]

    /// Everything that holds the client's, and the backend's, descriptor.
    static let onClient: InKernel = [
        InKernel(.receiveFromClient), InKernel(.sendToClient), InKernel(.pollClientReadable),
        InKernel(.pollClientWritable), InKernel(.watchClient),
    ]
    static let onBackend: InKernel = [
        InKernel(.connect), InKernel(.receiveFromBackend), InKernel(.sendToBackend),
        InKernel(.pollBackendReadable), InKernel(.pollBackendWritable), InKernel(.watchBackend),
    ]
}
