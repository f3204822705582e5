// The newest records of a running Weir, asked for through its admin API.

import Control
import LogReading

struct RunningLog {
    enum Kind: String {
        case access
        case events
    }

    /// All that are kept: the most that may be asked for.
    static let everything = 100_000

    private let client: AdminClient
    private let kind: Kind

    init(_ client: AdminClient, _ kind: Kind) {
        self.client = client
        self.kind = kind
    }

    /// - Parameters:
    ///   - since: `last` of the answer before; nil where there was none.
    ///   - text: something that must be in the record.
    func ask(since: UInt64? = nil, limit: Int = everything, text: String? = nil) throws(Failure) -> LogAnswer
    {
        var path = "/lb/log?kind=\(kind.rawValue)&limit=\(limit)"
        if let since { path += "&since=\(since)" }
        if let text { path += "&text=\(Self.encoded(text))" }
        guard let answer = LogAnswer(try client.get(path)) else {
            throw Failure("what answers is not what Weir answers")
        }
        return answer
    }

    /// For a query (RFC 3986, section 2.1).
    static func encoded(_ text: String) -> String {
        var encoded = ""
        for octet in text.utf8 {
            switch octet {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."):
                encoded.unicodeScalars.append(Unicode.Scalar(octet))
            default:
                let digits = String(octet, radix: 16, uppercase: true)
                encoded += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return encoded
    }
}
