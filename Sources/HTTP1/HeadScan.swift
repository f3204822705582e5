// Finds the end of a head as it arrives, piece by piece, and refuses at once the octets that no head may hold.
// What has passed here is lines that end in CRLF, without any other control octet than tab: the parsers build
// on it. Called by the data plane for each receive until a head is complete.

/// Limits on a head.
public struct HeadLimits: BitwiseCopyable, Sendable {
    /// Octets of the whole head, the empty line at its end included; below 2^31.
    public var headBytes: UInt32
    /// Octets of the request target.
    public var targetBytes: UInt32
    /// Field lines.
    public var fields: UInt16

    @inlinable
    public init(headBytes: UInt32 = 32 * 1024, targetBytes: UInt32 = 8 * 1024, fields: UInt16 = 100) {
        self.headBytes = headBytes
        self.targetBytes = targetBytes
        self.fields = fields
    }
}

/// How far a head has been looked at. Zero bytes are a scan that has not begun.
public struct HeadScan: BitwiseCopyable, Sendable {
    /// What is known after a piece.
    public enum Progress: BitwiseCopyable, Sendable, Equatable {
        /// All octets so far may begin a head, and it has not ended.
        case incomplete
        /// The head is the first `length` octets.
        case complete(length: Int)
        case refused(Refusal)
    }

    /// Octets that need not be looked at again.
    public private(set) var position: UInt32 = 0
    /// Whether a line has ended, an empty one before the head among them.
    private var hasLine = false
    /// Whether the line at `position` has octets before it.
    private var isInsideLine = false

    public init() {}

    /// Looks at the octets that have come since the last call.
    ///
    /// `octets` holds all that was received from the first octet of the head on, `count` of them; nothing
    /// beyond is read. One empty line before the first line is passed over (RFC 9112, section 2.2: a server
    /// should ignore at least one); the parser of responses refuses it. The result does not depend on the
    /// pieces in which the head came.
    public mutating func advance(
        _ octets: UnsafePointer<UInt8>, count: Int, limits: HeadLimits
    ) -> Progress {
        let limit = Int(limits.headBytes)
        let view = unsafe Octets(octets, count: min(count, limit))
        while true {
            let start = Int(position)
            let index = view.firstControl(from: start, to: view.count)
            if index > start { isInsideLine = true }
            position = UInt32(truncatingIfNeeded: index)
            if index == view.count { break }
            if view[index] != Octet.carriageReturn {
                return .refused(view[index] == Octet.lineFeed ? .bareLineFeed : .controlOctet)
            }
            if index &+ 1 == view.count { break }
            if view[index &+ 1] != Octet.lineFeed { return .refused(.bareCarriageReturn) }
            position &+= 2
            if !isInsideLine && hasLine { return .complete(length: index &+ 2) }
            isInsideLine = false
            hasLine = true
        }
        if count < limit { return .incomplete }
        return .refused(hasLine ? .headTooLarge : .targetTooLong)
    }
}
