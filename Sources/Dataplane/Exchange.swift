// One request and its response. A session has an exchange from a request's head to the last byte of the
// response; an idle client has none.

import Base
import HTTP1
import Ring
import Telemetry

/// How far a message has come.
enum MessagePhase: UInt8 {
    case head, body, done
    /// The rest of it is read and dropped, or not waited for.
    case dropped
}

/// What is left of a message's body.
struct BodyState: BitwiseCopyable {
    enum Framing: UInt8 {
        case none, length, chunked, untilClose
    }

    var phase = MessagePhase.head
    var framing = Framing.none
    /// How chunks are written anew.
    var mode = ChunkedBody.Mode.rechunk
    /// Bytes that are to come, with `length`; of a chunked request, those that came.
    var remaining: UInt64 = 0
    var chunks = ChunkedBody()

    mutating func begin(_ framing: BodyFraming) {
        phase = .body
        switch framing {
        case .none: (self.framing, phase) = (.none, .done)
        case .length(let count):
            (self.framing, remaining) = (.length, count)
            if count == 0 { phase = .done }
        case .chunked: self.framing = .chunked
        case .untilClose: self.framing = .untilClose
        }
    }
}

struct Exchange: BitwiseCopyable {
    static let none = UInt32.max
    static let noRoute = UInt32.max

    /// Of the request, for logs and backends.
    var identifier: UInt64 = 0
    var method = Method.other
    /// Of the client's HTTP version.
    var minorVersion: UInt8 = 1
    /// 0 until it is known.
    var status: UInt16 = 0
    var route = Exchange.noRoute
    var request = BodyState()
    var response = BodyState()
    /// Of the response's head.
    var scan = HeadScan()
    /// The client is to send more requests on its connection.
    var isPersistent = false
    /// The client did not say that it will not: it may be sending one already.
    var mayBeFollowed = false
    var wantsUpgrade = false
    var acceptsTrailers = false
    var prefersJSON = false
    /// An affinity cookie that the response sets goes by https only.
    var setsSecureCookie = false
    /// The final response's head is on its way to the client: no other answer can be given.
    var hasAnswered = false
    var isUpgraded = false
    /// The backend's connection had served others before.
    var isReused = false
    /// It was sent before, and has its connection for itself now.
    var goesAlone = false
    /// The backend's connection may serve others afterwards.
    var isBackendPersistent = false
    /// The whole request as it was sent, kept until the response begins; `BufferRing.none` where it cannot be
    /// sent again.
    var replay = BufferRing.none
    var replayBytes: UInt32 = 0
    /// Tries after the first one, connects to candidates aside.
    var retries: UInt8 = 0
    /// It is among those of its pool that are being retried.
    var holdsRetry = false
    /// When no candidate is left, those that were tried are tried again.
    var mayStartOver = false
    var hedging = Hedging.notYet
    /// The connection that has the request as well; `BackendConnection.none` unless `hedging` is under way.
    var hedge = BackendConnection.none
    /// Of the last try but one.
    var lastFailure: TryFailure?
    /// A response that ends with its connection has ended, or was reset: the send that is under way will tell.
    var isEndDue = false
    /// Why it did not end well; `ok` until then.
    var reason = Reason.ok
    /// The refused message's fault, as a raw value plus one; 0 for none.
    var refusal: UInt8 = 0
    // Nanoseconds of the worker's clock; 0 where it has not happened.
    var startedAt: UInt64 = 0
    /// When the request got a backend: from there on its body is read.
    var attachedAt: UInt64 = 0
    var requestSentAt: UInt64 = 0
    var hedgedAt: UInt64 = 0
    var firstByteAt: UInt64 = 0
    /// Bytes of the request that were taken in. Of a tunnel, less those that its session had received before.
    var bytesIn: UInt64 = 0
    /// With an upgrade: what the client had sent until then.
    var bytesInBefore: UInt64 = 0
    /// What the client had been sent before.
    var bytesOutBefore: UInt64 = 0
    var text = ExchangeText()
}

/// What of a request the log will say: copied, because its buffer is long gone then. Queries are left out: they may
/// hold what is nobody's business.
struct ExchangeText: BitwiseCopyable {
    /// How much of each is kept, by `Part`.
    private var lengths = InlineArray<6, UInt16>(repeating: 0)

    enum Part: Int, CaseIterable {
        case method, host, path, userAgent, requestID, traceparent

        /// The most that is kept of it, in bytes.
        var limit: Int {
            switch self {
            case .method: 16
            case .host: 255
            case .path: 1024
            case .userAgent: 160
            case .requestID: 128
            case .traceparent: 64
            }
        }

        var offset: Int {
            switch self {
            case .method: 0
            case .host: 16
            case .path: 271
            case .userAgent: 1295
            case .requestID: 1455
            case .traceparent: 1583
            }
        }
    }

    /// Of one exchange.
    static let memoryBytes = 1664

    mutating func keep(
        _ part: Part, _ bytes: UnsafeRawPointer, _ count: Int, in memory: UnsafeMutableRawPointer
    ) {
        let length = min(count, part.limit)
        (memory + part.offset).copyMemory(from: bytes, byteCount: length)
        lengths[part.rawValue] = UInt16(length)
    }

    static let identifierBytes = 16

    /// Keeps an identifier of our own as the request's, in hexadecimal; answers where it stands.
    mutating func keep(identifier: UInt64, in memory: UnsafeMutableRawPointer) -> UnsafePointer<UInt8> {
        let place = memory + Part.requestID.offset
        place.storeBytes(of: Self.digits(identifier >> 32), as: UInt64.self)
        place.storeBytes(of: Self.digits(identifier & 0xFFFF_FFFF), toByteOffset: 8, as: UInt64.self)
        lengths[Part.requestID.rawValue] = UInt16(Self.identifierBytes)
        return UnsafePointer(place.assumingMemoryBound(to: UInt8.self))
    }

    /// Eight hexadecimal digits of a number below 2^32, the first one in the first byte: all in one word, for every
    /// request has an identifier.
    private static func digits(_ number: UInt64) -> UInt64 {
        // One digit's value in each byte, the last one lowest.
        var values = (number | number << 16) & 0x0000_FFFF_0000_FFFF
        values = (values | values << 8) & 0x00FF_00FF_00FF_00FF
        values = (values | values << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // 1 in each byte whose value is above 9: those are letters.
        let letters = (values &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return (values &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).bigEndian
    }

    func bytes(_ part: Part, in memory: UnsafeRawPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory + part.offset, count: Int(lengths[part.rawValue]))
    }
}

/// Memory that a worker needs to serve http, sized at start; pages that are not used cost nothing.
struct HTTPMemory: ~Copyable {
    let fields: FieldTable
    let limits: HeadLimits
    private let fieldMemory: UnsafeMutablePointer<Field>
    private let texts: UnsafeMutableRawPointer
    private let textBytes: Int

    init(_ snapshot: Snapshot, exchanges: Int) {
        limits = HeadLimits(
            headBytes: UInt32(snapshot.headerSizeBytes), fields: UInt16(snapshot.headerLimit))
        fieldMemory = PagedMemory.reserve(Field.self, count: snapshot.headerLimit)
        fields = FieldTable(fieldMemory, capacity: snapshot.headerLimit)
        textBytes = exchanges * ExchangeText.memoryBytes
        texts = PagedMemory.reserve(byteCount: textBytes)
    }

    deinit {
        PagedMemory.release(fieldMemory, byteCount: fields.capacity * MemoryLayout<Field>.stride)
        PagedMemory.release(texts, byteCount: textBytes)
    }

    func text(of exchange: UInt32) -> UnsafeMutableRawPointer {
        texts + Int(exchange) * ExchangeText.memoryBytes
    }
}
