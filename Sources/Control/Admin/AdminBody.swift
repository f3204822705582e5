// The body of a request to the admin API as it comes in, small and read by the codec that the data plane has.

import HTTP1

struct AdminBody {
    /// What a request may have.
    static let limitBytes = 16 * 1024

    private(set) var octets: [UInt8] = []
    private let lengthBytes: Int
    private var chunks: ChunkedBody?

    /// Refuses what says that it is too long.
    init(_ framing: BodyFraming) throws(AdminRefusal) {
        switch framing {
        case .none, .untilClose: lengthBytes = 0
        case .length(let length):
            guard length <= Self.limitBytes else { throw Self.tooLong }
            lengthBytes = Int(length)
        case .chunked:
            lengthBytes = 0
            chunks = ChunkedBody()
        }
    }

    /// All of it is there.
    var isWhole: Bool { chunks?.isDone ?? (octets.count == lengthBytes) }

    /// What follows the body is dropped: there is one request for each connection.
    mutating func take(_ piece: ArraySlice<UInt8>) throws(AdminRefusal) {
        if isWhole { return }
        guard chunks != nil else {
            octets += piece.prefix(lengthBytes - octets.count)
            return
        }
        var rewritten = Array(piece)
        do throws(Refusal) {
            let step = try chunks!.process(&rewritten, count: rewritten.count, mode: .identity)
            octets += rewritten[..<step.produced]
        } catch {
            throw AdminRefusal(error.status, String(describing: error.reason))
        }
        if octets.count > Self.limitBytes { throw Self.tooLong }
    }

    private static var tooLong: AdminRefusal { AdminRefusal(413, "a body has at most 16 KiB") }
}
