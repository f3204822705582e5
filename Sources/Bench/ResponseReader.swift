// Reads one HTTP response piece by piece and says when it has ended, or what is wrong with it. Each connection
// of the load generator has one; the memory for a head that comes in pieces is the connection's.

import Base
import HTTP1

/// Where a response is being read. Zero bytes are the beginning of one.
public struct ResponseReader: BitwiseCopyable {
    public enum Progress: BitwiseCopyable, Equatable {
        case incomplete
        case complete
        case failed(ErrorKind)
    }

    private enum Phase: UInt8, BitwiseCopyable {
        case head, length, chunks, untilClose, done
    }

    /// Bytes of the longest head.
    public static let headLimitBytes = 16 * 1024

    private var phase = Phase.head
    private var scan = HeadScan()
    /// Octets of the head so far, where it came in pieces.
    private var keptCount = 0
    private var remaining: UInt64 = 0
    private var chunks = ChunkedBody()
    /// Of the head that was read; 0 before.
    public private(set) var status: UInt16 = 0
    /// Whether the connection may be used again afterwards.
    public private(set) var isPersistent = false
    /// Octets of data in the body so far.
    public private(set) var bodyBytes: UInt64 = 0

    public init() {}

    /// Takes a piece. `kept` holds `headLimitBytes`, between the calls for one response; octets of the piece
    /// may be overwritten. A piece that goes on after the response's end is an error: nobody asked for more.
    public mutating func read(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, kept: UnsafeMutablePointer<UInt8>,
        fields: FieldTable
    ) -> Progress {
        var offset = 0
        while phase == .head {
            if offset == count { return .incomplete }
            switch readHead(octets + offset, count: count - offset, kept: kept, fields: fields) {
            case .more: return .incomplete
            case .failed: return .failed(.badResponse)
            case .taken(let length): offset += length
            }
        }
        return readBody(octets + offset, count: count - offset)
    }

    /// The connection has ended. True where that is the response's end.
    public var endsWithConnection: Bool { phase == .untilClose }

    private enum HeadStep {
        case more
        case failed
        /// So many octets of the piece belonged to the head.
        case taken(Int)
    }

    private mutating func readHead(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, kept: UnsafeMutablePointer<UInt8>,
        fields: FieldTable
    ) -> HeadStep {
        let before = keptCount
        let limits = HeadLimits(headBytes: UInt32(Self.headLimitBytes))
        var head = octets
        var available = count
        if before > 0 {
            let room = min(count, Self.headLimitBytes - before)
            (kept + before).update(from: octets, count: room)
            (head, available) = (kept, before + room)
        }
        switch scan.advance(head, count: available, limits: limits) {
        case .refused: return .failed
        case .incomplete:
            if before == 0 { kept.update(from: octets, count: count) }
            keptCount = available
            return .more
        case .complete(let length):
            guard begin(head, count: available, length: length, limits, fields) else { return .failed }
            (keptCount, scan) = (0, HeadScan())
            return .taken(length - before)
        }
    }

    /// Parses a head that is complete. False where it is not to be understood.
    private mutating func begin(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, length: Int, _ limits: HeadLimits,
        _ fields: FieldTable
    ) -> Bool {
        guard
            let head = try? ResponseHead.parse(
                octets, count: count, length: length, limits: limits, into: fields, method: .get,
                wantsUpgrade: false)
        else { return false }
        if head.isInterim { return true }
        status = head.status
        isPersistent = head.isPersistent
        switch head.framing {
        case .none: phase = .done
        case .length(let length):
            remaining = length
            phase = length == 0 ? .done : .length
        case .chunked: phase = .chunks
        case .untilClose: phase = .untilClose
        }
        return true
    }

    private mutating func readBody(_ octets: UnsafeMutablePointer<UInt8>, count: Int) -> Progress {
        var taken = 0
        switch phase {
        case .length:
            taken = Int(min(UInt64(count), remaining))
            remaining -= UInt64(taken)
            bodyBytes += UInt64(taken)
            if remaining == 0 { phase = .done }
        case .chunks:
            guard let step = try? chunks.process(octets, count: count, mode: .identity) else {
                return .failed(.badResponse)
            }
            taken = step.consumed
            bodyBytes += UInt64(step.data)
            if chunks.isDone { phase = .done }
        case .untilClose:
            taken = count
            bodyBytes += UInt64(count)
        case .head, .done: break
        }
        if taken < count { return .failed(.unexpectedBytes) }
        return phase == .done ? .complete : .incomplete
    }
}
