// Short ways to ask the parsers, and both readings, about a text.

import HTTP1Oracle
import Testing

@testable import HTTP1

func octets(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

/// The accepted request, compared with the slow reading and with all ways to cut it in two.
func accepted(_ text: String, _ location: SourceLocation = #_sourceLocation) throws -> OracleRequest {
    let (differential, octets) = (Differential(), octets(text))
    for cut in 0...octets.count {
        #expect(differential.differenceInRequest(octets, cuts: [cut]) == nil, sourceLocation: location)
    }
    guard case .accepted(let head) = differential.request(octets) else {
        throw Unexpected(what: "\(differential.request(octets))")
    }
    return head
}

/// As above for a response.
func acceptedResponse(
    _ text: String, method: HTTP1.Method = .get, wantsUpgrade: Bool = false,
    _ location: SourceLocation = #_sourceLocation
) throws -> OracleResponse {
    let (differential, octets) = (Differential(), octets(text))
    for cut in 0...octets.count {
        let difference = differential.differenceInResponse(
            octets, cuts: [cut], method: method, wantsUpgrade: wantsUpgrade)
        #expect(difference == nil, sourceLocation: location)
    }
    let outcome = differential.response(octets, method: method, wantsUpgrade: wantsUpgrade)
    guard case .accepted(let head) = outcome else { throw Unexpected(what: "\(outcome)") }
    return head
}

struct Unexpected: Error { var what: String }

extension Refusal {
    static func named(_ reason: String) -> Refusal? { allCases.first { "\($0.reason)" == reason } }
}

/// What is refused, and why.
struct Refused: CustomTestStringConvertible, Sendable {
    var text: String
    var reason: String
    var status: UInt16

    init(_ text: String, _ reason: String, _ status: UInt16 = 400) {
        (self.text, self.reason, self.status) = (text, reason, status)
    }

    /// A request that is good but for these lines.
    init(lines: String, _ reason: String, _ status: UInt16 = 400) {
        self.init("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n", reason, status)
    }

    /// A request that is good but for its first line.
    init(first: String, _ reason: String, _ status: UInt16 = 400) {
        self.init("\(first)\r\nHost: a\r\n\r\n", reason, status)
    }

    /// A request that is good but for the value of Host.
    init(host: String) { self.init("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n", "bad_host") }

    var testDescription: String { "\(reason): \(text.debugDescription.prefix(90))" }
}
