// Reads a chunked body (RFC 9112, section 7.1) piece by piece and writes what is forwarded over the same
// octets: chunks without extensions, or the bare data for a client of HTTP/1.0. The data plane calls it with
// each receive and sends what it leaves at the front of the buffer.
//
//     size -> sizeLineFeed -> data -> dataEnd -> dataLineFeed -> size ...
//      | ^                \-> trailers <-> trailerLine, trailerLineFeed
//      v |                        \-> endLineFeed -> done
//     blank, extension
//
// Each framing octet is written in the step that takes it, never later: so the output of a step is never
// longer than its input, wherever the pieces are cut. For that the first digit of a size is written even
// where it is a zero that turns out to lead; all other leading zeros are dropped.

/// Where a chunked body is being read. Zero bytes are the beginning of a body.
public struct ChunkedBody: BitwiseCopyable, Sendable {
    /// What is written.
    public enum Mode: UInt8, BitwiseCopyable, Sendable {
        /// Chunks, without trailers.
        case rechunk
        /// Chunks and those trailers that may be forwarded.
        case rechunkWithTrailers
        /// The data alone.
        case identity
    }

    /// What one step did.
    public struct Step: BitwiseCopyable, Sendable, Equatable {
        /// Octets at the front that were taken. Fewer than came where the body ended (what follows belongs to
        /// the next message), or where trailers are kept and have not all come: see `process`.
        public var consumed: Int
        /// Octets to send, now at the front of the buffer.
        public var produced: Int
        /// Octets of data among them.
        public var data: Int
    }

    /// Hexadecimal digits in a size, leading zeros included.
    public static let sizeDigitsLimit: UInt8 = 13
    /// Octets of all extensions of a body.
    public static let extensionsLimitBytes: UInt16 = 4096
    /// Octets of the trailer section.
    public static let trailersLimitBytes: UInt16 = 4096

    private enum State: UInt8, BitwiseCopyable {
        case size, blank, `extension`, sizeLineFeed, data, dataEnd, dataLineFeed, trailers, trailerLine,
            trailerLineFeed, endLineFeed, done
    }

    /// Octets of data left in the chunk; while the size is read, the size so far.
    private var remaining: UInt64 = 0
    private var extensionBytes: UInt16 = 0
    private var trailerBytes: UInt16 = 0
    private var sizeDigits: UInt8 = 0
    private var state = State.size

    public init() {}

    /// Whether the whole body has been taken.
    public var isDone: Bool { state == .done }

    /// Takes a piece: rewrites the front of `octets[0..<count]` in place.
    ///
    /// With `rechunkWithTrailers` a trailer section must be seen whole: where it is not, it is not consumed,
    /// and the caller comes again with the same octets and more behind them. At most `trailersLimitBytes` are
    /// held back that way. The mode is the same for all pieces of a body. After a refusal nothing of the
    /// piece is to be sent.
    public mutating func process(
        _ octets: UnsafeMutablePointer<UInt8>, count: Int, mode: Mode
    ) throws(Refusal) -> Step {
        var piece = unsafe Piece(octets, count: count)
        var dataCount = 0
        while piece.hasMore, state != .done {
            switch state {
            case .data:
                dataCount &+= takeData(&piece, mode)
            case .size, .blank, .extension, .sizeLineFeed:
                try takeSizeLine(&piece, mode)
            case .dataEnd:
                if piece.next != Octet.carriageReturn { throw .badChunkEnd }
                piece.take(writing: mode != .identity)
                state = .dataLineFeed
            case .dataLineFeed:
                if piece.next != Octet.lineFeed { throw .bareCarriageReturn }
                piece.take(writing: mode != .identity)
                (state, remaining, sizeDigits) = (.size, 0, 0)
            case .trailers:
                if piece.next != Octet.carriageReturn, mode == .rechunkWithTrailers {
                    guard try takeTrailerSection(&piece) else {
                        return Step(consumed: piece.consumed, produced: piece.produced, data: dataCount)
                    }
                } else {
                    try takeTrailer(&piece, mode)
                }
            case .trailerLine, .trailerLineFeed, .endLineFeed:
                try takeTrailer(&piece, mode)
            case .done: break
            }
        }
        return Step(consumed: piece.consumed, produced: piece.produced, data: dataCount)
    }

    /// Passes data on; it is moved only where framing before it in the piece was dropped.
    private mutating func takeData(_ piece: inout Piece, _ mode: Mode) -> Int {
        let length = Int(min(remaining, UInt64(piece.count &- piece.consumed)))
        piece.take(length)
        remaining &-= UInt64(length)
        if remaining == 0 { state = .dataEnd }
        return length
    }

    /// One octet of `chunk-size [ chunk-ext ] CRLF`. What an extension says is not looked at but for octets
    /// that no field value may have either: its line ends at the first CRLF, in a quoted string too.
    private mutating func takeSizeLine(_ piece: inout Piece, _ mode: Mode) throws(Refusal) {
        let octet = piece.next
        if state == .sizeLineFeed {
            if octet != Octet.lineFeed { throw .bareCarriageReturn }
            piece.take(writing: mode != .identity)
            state = remaining == 0 ? .trailers : .data
            return
        }
        if state == .size, let digit = Octet.hexadecimal(octet) {
            if sizeDigits == Self.sizeDigitsLimit { throw .chunkSizeTooLong }
            let isLeadingZero = sizeDigits > 0 && remaining == 0 && digit == 0
            piece.take(writing: mode != .identity && !isLeadingZero)
            remaining = remaining << 4 | UInt64(digit)
            sizeDigits &+= 1
            return
        }
        if octet == Octet.lineFeed { throw .bareLineFeed }
        if Octet.isControl(octet) && octet != Octet.carriageReturn { throw .controlOctet }
        if sizeDigits == 0 { throw .badChunkSize }
        if octet == Octet.carriageReturn {
            // Blanks are only there before the semicolon of an extension.
            if state == .blank { throw .badChunkSize }
            piece.take(writing: mode != .identity)
            state = .sizeLineFeed
            return
        }
        if state != .extension {
            guard octet == Octet.semicolon || Octet.isBlank(octet) else { throw .badChunkSize }
            state = octet == Octet.semicolon ? .extension : .blank
        }
        if extensionBytes == Self.extensionsLimitBytes { throw .chunkExtensionsTooLong }
        extensionBytes &+= 1
        piece.take(writing: false)
    }

    /// One octet of a trailer section that is dropped, or of the empty line at the end of the body.
    private mutating func takeTrailer(_ piece: inout Piece, _ mode: Mode) throws(Refusal) {
        let octet = piece.next
        switch state {
        case .trailers where octet == Octet.carriageReturn:
            piece.take(writing: mode != .identity)
            state = .endLineFeed
            return
        case .endLineFeed:
            if octet != Octet.lineFeed { throw .bareCarriageReturn }
            piece.take(writing: mode != .identity)
            state = .done
            return
        case .trailerLineFeed:
            if octet != Octet.lineFeed { throw .bareCarriageReturn }
            state = .trailers
        default:
            if octet == Octet.lineFeed { throw .bareLineFeed }
            if octet == Octet.carriageReturn {
                state = .trailerLineFeed
            } else {
                if Octet.isControl(octet) { throw .controlOctet }
                state = .trailerLine
            }
        }
        if trailerBytes == Self.trailersLimitBytes { throw .trailersTooLong }
        trailerBytes &+= 1
        piece.take(writing: false)
    }

    /// A trailer section that is kept, with the empty line at its end; false where it has not all come.
    private mutating func takeTrailerSection(_ piece: inout Piece) throws(Refusal) -> Bool {
        let limits = HeadLimits(headBytes: UInt32(Self.trailersLimitBytes))
        switch piece.scanHead(limits) {
        case .incomplete: return false
        case .refused(.headTooLarge), .refused(.targetTooLong): throw .trailersTooLong
        case .refused(let refusal): throw refusal
        case .complete(let length):
            try piece.takeTrailers(length)
            state = .done
            return true
        }
    }
}
