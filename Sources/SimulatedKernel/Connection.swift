// A TCP connection between the worker ("us") and a peer of the world, as two channels with windows, ends and
// resets. The kernel keeps one record for each; it outlives the worker's descriptor, because what was sent
// still arrives.

/// One way of a connection. The bytes are not stored: see `Pattern`.
public struct Channel: BitwiseCopyable {
    /// Taken from the writer; visible to the reader; taken by the reader.
    public var written: UInt64 = 0
    public var arrived: UInt64 = 0
    public var read: UInt64 = 0
    public var isEndWritten = false
    public var hasEndArrived = false
    /// When the last thing on the way arrives: the network keeps the order.
    var lastArrival: UInt64 = 0
    /// When something arrived last.
    var arrivedAt: UInt64 = 0

    public var unread: UInt64 { arrived - read }
}

public struct Connection: BitwiseCopyable {
    public enum Role: UInt8, BitwiseCopyable {
        case client, backend
    }
    public enum State: UInt8, BitwiseCopyable {
        /// Our socket is made, not connected.
        case fresh
        case connecting
        /// In a listener's queue.
        case queued
        case established
        /// Refused, timed out, or never came to be.
        case failed
    }

    public let role: Role
    public var state: State
    /// -1 where we have none (any more).
    public var descriptor: Int32 = -1
    /// The listener that it came in by, or the backend that it goes to.
    public var place: Int32
    /// The other connection of its session; -1 while not known.
    public var pair: Int32 = -1
    public var toUs = Channel()
    public var toPeer = Channel()
    var windowBytes: UInt64

    public var isOurEndClosed = false
    public var isPeerClosed = false
    /// A reset of the peer reached us; a reset of ours reached it.
    public var resetReachedUs = false
    public var resetReachedPeer = false
    public internal(set) var resetReachedUsAt: UInt64 = 0
    /// Somebody sent one.
    public var peerSentReset = false
    public var weSentReset = false
    /// What the next operation on our socket fails with; 0 for nothing.
    var pendingError: Int32 = 0
    /// A send that had sent something had the peer's reset, and did not tell: what comes next looks like an end.
    public internal(set) var isResetUntold = false
    public internal(set) var lingersZero = false
    /// An operation of ours failed for want of memory or the like: the peer is not to blame.
    public var hadInjectedError = false
    public var hadSocketFailure = false

    // Operations in flight, as record numbers; -1 for none.
    var receiving: Int32 = -1
    var sending: Int32 = -1
    var pollingReadable: Int32 = -1
    var pollingWritable: Int32 = -1
    var pollingError: Int32 = -1
    var connecting: Int32 = -1
    /// Polls for room in a row that ended without room, less than a millisecond apart.
    var vainPolls = 0
    var vainPollAt: UInt64 = 0

    /// When bytes were last moved between the worker and this connection, as far as the worker can tell.
    public var movedAt: UInt64 = 0
    /// When the worker last asked to send on it.
    public internal(set) var sendBegunAt: UInt64 = 0
    public internal(set) var windowOpenedAt: UInt64 = 0
    public var acceptedAt: UInt64 = 0
    public var closedAt: UInt64 = 0

    init(role: Role, place: Int32, windowBytes: UInt64) {
        self.role = role
        self.place = place
        self.windowBytes = windowBytes
        state = role == .client ? .queued : .fresh
    }

    /// Room for the writer of a channel.
    func room(_ channel: Channel) -> UInt64 {
        let held = channel.written - channel.read
        return held < windowBytes ? windowBytes - held : 0
    }

    /// As Linux sees it: a third of the buffer is free (sk_stream_is_writeable).
    var isWritable: Bool { room(toPeer) * 3 >= windowBytes }

    /// When something of the peer arrived last.
    public var arrivedAtUs: UInt64 { toUs.arrivedAt }

    var isGone: Bool { resetReachedUs || state == .failed }
}
