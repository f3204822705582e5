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
    public static var headLimitBytes: Int { HeadCollector.limitBytes }

    private var phase = Phase.head
    private var collector = HeadCollector()
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
        switch collector.take(octets, count: count, kept: kept) {
        case .more: return .more
        case .refused: return .failed
        case .whole(let head): return begin(head, fields) ? .taken(head.taken) : .failed
        }
    }

    /// Parses a head that is complete. False where it is not to be understood.
    private mutating func begin(_ collected: HeadCollector.Head, _ fields: FieldTable) -> Bool {
        guard
            let head = try? ResponseHead.parse(
                collected.octets, count: collected.available, length: collected.length,
                limits: HeadCollector.limits, into: fields, method: .get, wantsUpgrade: false)
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
