// Requests that clients send and answers that backends give, as plans that are drawn and as bytes. Each body is a
// function of its message's number, so that a byte of one message in another is noticed.

import SimulatedKernel

/// What is wrong with a request that Weir must refuse, and the statuses that say so.
enum Illegality: CaseIterable {
    case bareLineFeed, noHost, twoHosts, spaceBeforeColon, folded, lengthAndChunked, twoLengths, signedLength,
        unknownCoding, futureVersion, trace, doubleSpace, controlOctet
    /// Within a chunked body: its head is in order.
    case badChunkSize

    var status: Int {
        switch self {
        case .unknownCoding: 501
        case .futureVersion: 505
        case .trace: 405
        default: 400
        }
    }
}

struct RequestPlan {
    /// Names it in the path: /r/17.
    var number: Int32
    var method = "GET"
    var isOld = false
    var framing = MessageFraming.none
    var bodyBytes = 0
    var illegality: Illegality?
    /// It says that the connection ends after it.
    var closes = false
    var acceptsTrailers = false
    /// Bytes of each chunk; 0 for a random number.
    var chunkBytes = 1024
    var hasExtensions = false
    var cookie: CookiePlan?

    // RFC 9110, section 9.2.2.
    var isIdempotent: Bool { method != "POST" && method != "PATCH" }
    /// Nothing of it may reach a backend.
    var isRefused: Bool { illegality != nil && illegality != .badChunkSize }
    /// The client's connection may serve another request after it.
    var isPersistent: Bool { !closes && illegality == nil }

    func octets(_ pattern: borrowing Pattern) -> [UInt8] {
        var text = headText()
        if illegality == .bareLineFeed { text = text.replacing("\r\n", with: "\n") }
        var result = Array(text.utf8)
        switch framing {
        case .chunked: appendChunks(&result, bodyOf: .request(number), bodyBytes, chunkBytes, pattern)
        case .length: appendBody(&result, .request(number), 0, bodyBytes, pattern)
        case .none, .untilClose: break
        }
        return result
    }

    private func headText() -> String {
        let version = illegality == .futureVersion ? "HTTP/2.0" : isOld ? "HTTP/1.0" : "HTTP/1.1"
        let space = illegality == .doubleSpace ? "  " : " "
        var text = "\(illegality == .trace ? "TRACE" : method)\(space)/r/\(number) \(version)\r\n"
        if illegality != .noHost { text += "Host: weir.example\r\n" }
        switch illegality {
        case .twoHosts: text += "Host: other.example\r\n"
        case .spaceBeforeColon: text += "X-Odd : 1\r\n"
        case .folded: text += "X-Odd: 1\r\n 2\r\n"
        case .twoLengths: text += "Content-Length: 5\r\nContent-Length: 6\r\n"
        case .signedLength: text += "Content-Length: +5\r\n"
        case .unknownCoding: text += "Transfer-Encoding: gzip, chunked\r\n"
        case .lengthAndChunked: text += "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        case .controlOctet: text += "X-Odd: a\u{1}b\r\n"
        default: break
        }
        if let cookie { text += "Cookie: \(cookie.text)\r\n" }
        switch framing {
        case .length(let count): text += "Content-Length: \(count)\r\n"
        case .chunked: text += "Transfer-Encoding: chunked\r\n"
        case .none, .untilClose: break
        }
        if acceptsTrailers { text += "TE: trailers\r\nConnection: te\r\n" }
        if closes, !isOld { text += "Connection: close\r\n" }
        if !closes, isOld { text += "Connection: keep-alive\r\n" }
        return text + "\r\n"
    }

    private func appendChunks(
        _ result: inout [UInt8], bodyOf message: MessageName, _ count: Int, _ size: Int,
        _ pattern: borrowing Pattern
    ) {
        let words = hasExtensions ? ";name=\"a;b\"" : ""
        writeChunks(&result, message, count, size, words, pattern)
        result += illegality == .badChunkSize ? Array("xyz\r\n".utf8) : Array("0\(words)\r\n\r\n".utf8)
    }
}

/// Whose body it is.
enum MessageName {
    case request(Int32)
    case answer(Int32)

    /// Where its bytes are in the pattern.
    var stream: Int32 {
        switch self {
        case .request(let number): number &* 2
        case .answer(let number): number &* 2 &+ 1
        }
    }
}

func appendBody(
    _ result: inout [UInt8], _ message: MessageName, _ first: Int, _ count: Int,
    _ pattern: borrowing Pattern
) {
    let start = result.count
    result.append(contentsOf: repeatElement(0, count: count))
    result.withUnsafeMutableBytes { octets in
        pattern.fill(octets.baseAddress! + start, count: count, of: message.stream, at: UInt64(first))
    }
}

/// The chunks of a body, but for the last one.
func writeChunks(
    _ result: inout [UInt8], _ message: MessageName, _ count: Int, _ size: Int, _ extensions: String,
    _ pattern: borrowing Pattern
) {
    var done = 0
    while done < count {
        let piece = min(size, count - done)
        result += Array("\(String(piece, radix: 16))\(extensions)\r\n".utf8)
        appendBody(&result, message, done, piece, pattern)
        result += [13, 10]
        done += piece
    }
}

/// How a backend fails with an answer.
enum AnswerFault {
    case none
    /// Closes, or resets, after so many bytes.
    case cut(at: Int, resets: Bool)
    /// The head breaks a rule.
    case illegal
    /// More bytes than the length says.
    case tooMany
    /// Says nothing, ever.
    case silent
    /// Closes, or resets, instead.
    case gone(resets: Bool)
}

/// What a backend does with its connection after an answer.
enum AfterAnswer {
    case keeps, closes, resets
    /// Closes a while later, with or without words before it.
    case closesLater(nanoseconds: UInt64, unasked: Bool)
}

struct AnswerPlan {
    var number: Int32
    var request: Int32
    var status = 200
    var framing = MessageFraming.length(0)
    var bodyBytes = 0
    /// Of interim responses before it.
    var interim: [Int] = []
    var announcesClose = false
    var hasTrailers = false
    var fault = AnswerFault.none
    var after = AfterAnswer.keeps
    var chunkBytes = 1024
    var pauseNanoseconds: UInt64 = 0
    /// It begins before the request has all come.
    var isEarly = false

    /// Status and method say that there is no body, whatever the fields say.
    static func hasNoBody(_ status: Int, _ method: String) -> Bool {
        method == "HEAD" || status == 204 || status == 304 || status < 200
    }

    /// All of it, as it was meant, and where the head ends.
    func octets(_ method: String, _ pattern: borrowing Pattern) -> [UInt8] {
        var text = ""
        for status in interim { text += "HTTP/1.1 \(status) Interim\r\nX-Interim: \(number)\r\n\r\n" }
        if case .illegal = fault {
            text += "HTTP/1.1 \(status) \r\nX-Odd : \(number)\r\n"
        } else {
            text += "HTTP/1.1 \(status) Said\r\n"
        }
        text += "X-Answer: \(number)\r\nX-Request: \(request)\r\n"
        switch framing {
        case .length(let count) where status != 204: text += "Content-Length: \(count)\r\n"
        case .chunked where status != 204: text += "Transfer-Encoding: chunked\r\n"
        default: break
        }
        if announcesClose { text += "Connection: close\r\n" }
        var result = Array((text + "\r\n").utf8)
        if Self.hasNoBody(status, method) { return result }
        switch framing {
        case .chunked:
            writeChunks(&result, .answer(number), bodyBytes, chunkBytes, "", pattern)
            result += Array((hasTrailers ? "0\r\nX-Trailer: \(number)\r\n\r\n" : "0\r\n\r\n").utf8)
        case .length, .untilClose: appendBody(&result, .answer(number), 0, bodyBytes, pattern)
        case .none: break
        }
        return result
    }
}
