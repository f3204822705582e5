// Puts a head together that comes in pieces: of a request or of a response, for the readers of both. The memory for
// what came so far is the connection's; a head that comes in one piece is looked at where it is.

import HTTP1

/// How far a head has come. Zero bytes are the beginning of one.
struct HeadCollector: BitwiseCopyable {
    enum Step {
        /// All octets were taken, and the head goes on.
        case more
        case refused
        case whole(Head)
    }

    /// A head that is complete, to be parsed before the next piece comes.
    struct Head: BitwiseCopyable {
        let octets: UnsafeMutablePointer<UInt8>
        /// Octets that are there, the head's and what came behind it.
        let available: Int
        let length: Int
        /// Octets of the last piece that belong to the head.
        let taken: Int
    }

    /// Bytes of the longest head.
    static var limitBytes: Int { 16 * 1024 }
    static var limits: HeadLimits { HeadLimits(headBytes: UInt32(limitBytes)) }

    private var scan = HeadScan()
    /// Octets of the head so far, where it came in pieces.
    private var keptCount = 0

    /// Takes the next piece. `kept` holds `limitBytes` between the calls for one head.
    mutating func take(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, kept: UnsafeMutablePointer<UInt8>
    ) -> Step {
        let before = keptCount
        var head = octets
        var available = count
        if before > 0 {
            let room = min(count, Self.limitBytes - before)
            (kept + before).update(from: octets, count: room)
            (head, available) = (kept, before + room)
        }
        switch scan.advance(head, count: available, limits: Self.limits) {
        case .refused: return .refused
        case .incomplete:
            if before == 0 { kept.update(from: octets, count: count) }
            keptCount = available
            return .more
        case .complete(let length):
            self = HeadCollector()
            return .whole(Head(octets: head, available: available, length: length, taken: length - before))
        }
    }
}
