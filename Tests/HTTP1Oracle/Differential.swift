// Runs the parsers on octets that come in pieces and end at the end of memory, and compares what they say with
// the slow reading. The unit tests and the fuzzer use it.

import HTTP1

/// What the fast parser makes of octets.
public enum Outcome<Head: Equatable>: Equatable {
    case incomplete
    case refused(String)
    case accepted(Head)
}

/// The limits of the comparisons.
public let comparisonLimits = HeadLimits(headBytes: 2048, targetBytes: 200, fields: 20)
private let oracleLimits = OracleLimits(headBytes: 2048, targetBytes: 200, fields: 20)

/// Where to cut an input, each the number of octets before a cut, ascending.
public typealias Cuts = [Int]

public final class Differential {
    private let memory = GuardedMemory(capacity: 1 << 17)
    private let fields = UnsafeMutablePointer<Field>.allocate(capacity: 64)
    private var table: FieldTable { FieldTable(fields, capacity: 64) }

    public init() {}

    deinit { fields.deallocate() }

    // MARK: - Heads

    /// The scan's result after the last piece that it needs.
    public func scan(_ octets: [UInt8], _ cuts: Cuts, _ limits: HeadLimits) -> HeadScan.Progress {
        var scan = HeadScan()
        for end in cuts + [octets.count] {
            let progress = scan.advance(memory.place(octets[..<end]), count: end, limits: limits)
            if progress != .incomplete { return progress }
        }
        return .incomplete
    }

    public func request(
        _ octets: [UInt8], cuts: Cuts = [], limits: HeadLimits = comparisonLimits
    ) -> Outcome<OracleRequest> {
        switch scan(octets, cuts, limits) {
        case .incomplete: return .incomplete
        case .refused(let refusal): return .refused("\(refusal.reason)")
        case .complete(let length):
            do throws(Refusal) {
                let head = try RequestHead.parse(
                    memory.place(octets), count: octets.count, length: length, limits: limits, into: table)
                return .accepted(describe(head, octets))
            } catch {
                return .refused("\(error.reason)")
            }
        }
    }

    public func response(
        _ octets: [UInt8], cuts: Cuts = [], limits: HeadLimits = comparisonLimits,
        method: HTTP1.Method = .get,
        wantsUpgrade: Bool = false
    ) -> Outcome<OracleResponse> {
        switch scan(octets, cuts, limits) {
        case .incomplete: return .incomplete
        case .refused(let refusal): return .refused("\(refusal.reason)")
        case .complete(let length):
            do throws(Refusal) {
                let head = try ResponseHead.parse(
                    memory.place(octets), count: octets.count, length: length, limits: limits, into: table,
                    method: method, wantsUpgrade: wantsUpgrade)
                return .accepted(describe(head, octets))
            } catch {
                return .refused("\(error.reason)")
            }
        }
    }

    private func describe(_ head: RequestHead, _ octets: [UInt8]) -> OracleRequest {
        var described = OracleRequest()
        described.length = Int(head.length)
        described.method = part(head.methodRange, octets)
        described.target = part(head.target.range, octets)
        described.path = part(head.target.path, octets)
        described.query = head.target.query.map { part($0, octets) }
        described.host = part(head.authority.host, octets)
        described.port = head.authority.port.map { Int($0) }
        described.minorVersion = Int(head.minorVersion)
        described.framing = describe(head.framing)
        described.isPersistent = head.isPersistent
        described.expectsContinue = head.expectsContinue
        described.wantsUpgrade = head.wantsUpgrade
        described.acceptsTrailers = head.acceptsTrailers
        described.fields = describe(count: Int(head.fieldCount), octets)
        return described
    }

    private func describe(_ head: ResponseHead, _ octets: [UInt8]) -> OracleResponse {
        var described = OracleResponse()
        described.length = Int(head.length)
        described.status = Int(head.status)
        described.reason = part(head.reason, octets)
        described.minorVersion = Int(head.minorVersion)
        described.framing = describe(head.framing)
        described.isPersistent = head.isPersistent
        described.keepsUpgrade = head.keepsUpgrade
        described.fields = describe(count: Int(head.fieldCount), octets)
        return described
    }

    private func describe(count: Int, _ octets: [UInt8]) -> [OracleField] {
        (0..<count).map { index in
            let field = table[index]
            return OracleField(
                name: part(field.nameRange, octets), value: part(field.valueRange, octets),
                isDropped: field.isDropped)
        }
    }

    private func describe(_ framing: BodyFraming) -> OracleFraming {
        switch framing {
        case .none: .none
        case .length(let length): .length(length)
        case .chunked: .chunked
        case .untilClose: .untilClose
        }
    }

    private func part(_ range: HeadRange, _ octets: [UInt8]) -> String {
        text(octets[range.start..<range.end])
    }

    // MARK: - Chunked bodies

    public struct Body: Equatable {
        public var refusal: String?
        public var isDone = false
        public var output: [UInt8] = []
        public var consumed = 0
        public var dataCount = 0
    }

    /// Takes the body in pieces; what a step leaves is put before the next piece.
    public func body(_ octets: [UInt8], cuts: Cuts = [], mode: ChunkedBody.Mode) -> Body {
        var (chunked, body) = (ChunkedBody(), Body())
        for end in cuts + [octets.count] where !chunked.isDone {
            let piece = octets[body.consumed..<max(end, body.consumed)]
            let place = memory.place(piece)
            do throws(Refusal) {
                let step = try chunked.process(place, count: piece.count, mode: mode)
                precondition(step.produced <= step.consumed && step.consumed <= piece.count)
                body.output += UnsafeBufferPointer(start: place, count: step.produced)
                body.consumed += step.consumed
                body.dataCount += step.data
            } catch {
                body.refusal = "\(error.reason)"
                return body
            }
        }
        body.isDone = chunked.isDone
        return body
    }
}

// MARK: - Comparing

extension Differential {
    /// What the two readings of a request differ in; nil where they agree.
    public func differenceInRequest(_ octets: [UInt8], cuts: Cuts) -> String? {
        compare(request(octets, cuts: cuts), oracleRequest(octets, oracleLimits))
    }

    public func differenceInResponse(
        _ octets: [UInt8], cuts: Cuts, method: HTTP1.Method, wantsUpgrade: Bool
    ) -> String? {
        compare(
            response(octets, cuts: cuts, method: method, wantsUpgrade: wantsUpgrade),
            oracleResponse(octets, oracleLimits, isHead: method == .head, wantsUpgrade: wantsUpgrade))
    }

    private func compare<Head>(_ fast: Outcome<Head>, _ slow: OracleVerdict<Head>) -> String? {
        switch (fast, slow) {
        case (.incomplete, .incomplete): return nil
        case (.refused(let reason), .refused(let reasons)) where reasons.contains(reason): return nil
        case (.accepted(let fast), .accepted(let slow)) where fast == slow: return nil
        default: return "fast: \(fast)\nslow: \(slow)"
        }
    }

    public func differenceInBody(_ octets: [UInt8], cuts: Cuts, mode: ChunkedBody.Mode) -> String? {
        let keepsTrailers = mode == .rechunkWithTrailers
        let fast = body(octets, cuts: cuts, mode: mode)
        let slow = oracleChunks(octets, keepsTrailers: keepsTrailers)
        let explained = "mode: \(mode)\nfast: \(fast)\nslow: \(slow)"
        if (fast.refusal != nil) != (slow.state == .refused) || fast.isDone != (slow.state == .done) {
            return explained
        }
        if slow.state == .refused { return nil }
        if fast.dataCount != slow.data.count { return explained }
        if slow.state == .done && fast.consumed != slow.consumed { return explained }
        if mode == .identity { return fast.output == slow.data ? nil : explained }
        return isCanonical(fast.output, slow, keepsTrailers) ? nil : explained
    }

    /// Whether the output is the same body with canonical framing.
    private func isCanonical(_ output: [UInt8], _ slow: OracleChunks, _ keepsTrailers: Bool) -> Bool {
        let again = oracleChunks(output, keepsTrailers: keepsTrailers)
        guard again.state == slow.state, again.data == slow.data,
            again.sizeLines == slow.sizeLines.map(canonicalSize)
        else { return false }
        if slow.state != .done { return true }
        let trailers = keepsTrailers ? oracleForwardedTrailers(slow.trailers) : []
        return again.consumed == output.count && again.trailers == trailers
    }

    /// No extension, and one leading zero at most.
    private func canonicalSize(_ line: String) -> String {
        let digits = line.prefix { "0123456789abcdefABCDEF".contains($0) }
        let bare = digits.drop { $0 == "0" }
        return digits.first == "0" ? "0" + bare : String(bare)
    }
}

// MARK: - Cases

extension Differential {
    /// A case of the corpus: the first octet says what the others are: `S` a response, `H` one to HEAD, `U` one to
    /// a request for an upgrade, `C` a chunked body, anything else a request. Read whole, octet by octet where it
    /// is short, and cut where the octets themselves say.
    public func differenceInCase(_ input: [UInt8]) -> String? {
        guard let kind = input.first else { return nil }
        let octets = Array(input.dropFirst())
        var plans: [Cuts] = [[]]
        if octets.count <= 256 { plans.append(Array(0..<octets.count)) }
        var hash = octets.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        for _ in 0..<2 where !octets.isEmpty {
            let places = (0..<3).map { _ -> Int in
                hash = (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9
                return Int(hash % UInt64(octets.count))
            }
            plans.append(places.sorted())
        }
        for cuts in plans {
            if let difference = difference(kind, octets, cuts) { return "cuts: \(cuts)\n\(difference)" }
        }
        return nil
    }

    private func difference(_ kind: UInt8, _ octets: [UInt8], _ cuts: Cuts) -> String? {
        switch Character(Unicode.Scalar(kind)) {
        case "S": return differenceInResponse(octets, cuts: cuts, method: .get, wantsUpgrade: false)
        case "H": return differenceInResponse(octets, cuts: cuts, method: .head, wantsUpgrade: false)
        case "U": return differenceInResponse(octets, cuts: cuts, method: .get, wantsUpgrade: true)
        case "C":
            for mode in [.rechunk, .rechunkWithTrailers, .identity] as [ChunkedBody.Mode] {
                if let difference = differenceInBody(octets, cuts: cuts, mode: mode) { return difference }
            }
            return nil
        default: return differenceInRequest(octets, cuts: cuts)
        }
    }
}
