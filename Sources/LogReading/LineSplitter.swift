// Cuts a stream of bytes into lines. Holds at most one unfinished line, and of that no more than a limit:
// what is longer is handed on as a line that was cut, its rest thrown away.

public struct LineSplitter: Sendable {
    /// Weir's own records end at 4 KiB; longer lines are somebody else's.
    public static let lineLimitBytes = 65_536

    /// A line without its end.
    public struct Line: Equatable, Sendable {
        public let bytes: [UInt8]
        /// True where the line was longer than the limit.
        public let wasCut: Bool

        public init(bytes: [UInt8], wasCut: Bool) { (self.bytes, self.wasCut) = (bytes, wasCut) }
    }

    private var unfinished: [UInt8] = []
    private var wasCut = false
    private let limit: Int

    public init(limit: Int = LineSplitter.lineLimitBytes) { self.limit = limit }

    /// Takes the next bytes of the stream and hands on each line that they finish.
    public mutating func append(_ bytes: ArraySlice<UInt8>, each: (Line) -> Void) {
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            keep(rest[..<end])
            each(takeUnfinished())
            rest = rest[(end + 1)...]
        }
        keep(rest)
    }

    /// The last line, where the stream ended without a line's end.
    public mutating func finish() -> Line? { unfinished.isEmpty ? nil : takeUnfinished() }

    private mutating func keep(_ bytes: ArraySlice<UInt8>) {
        let room = limit - unfinished.count
        unfinished += bytes.prefix(room)
        if bytes.count > room { wasCut = true }
    }

    private mutating func takeUnfinished() -> Line {
        defer {
            unfinished.removeAll(keepingCapacity: false)
            wasCut = false
        }
        return Line(bytes: unfinished, wasCut: wasCut)
    }
}
