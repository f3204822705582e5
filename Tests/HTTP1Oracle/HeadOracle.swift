// A second, slow reading of heads, written from RFC 9110 and 9112 with arrays and strings and nothing of the
// module that it judges. It does not stop at the first fault: it names all that a refusal may be for, so that
// the order of checks is free.

/// What a head is, by this reading.
public enum OracleVerdict<Head: Equatable>: Equatable {
    case incomplete
    /// The reasons, any of which may be given.
    case refused(Set<String>)
    case accepted(Head)
}

public enum OracleFraming: Equatable {
    case none, chunked, untilClose
    case length(UInt64)
}

public struct OracleField: Equatable {
    public var name: String
    public var value: String
    public var isDropped: Bool

    public init(name: String, value: String, isDropped: Bool) {
        self.name = name
        self.value = value
        self.isDropped = isDropped
    }
}

public struct OracleRequest: Equatable {
    public var length = 0
    public var method = ""
    public var target = ""
    public var path = ""
    public var query: String?
    public var host = ""
    public var port: Int?
    public var minorVersion = 0
    public var framing = OracleFraming.none
    public var isPersistent = false
    public var expectsContinue = false
    public var wantsUpgrade = false
    public var acceptsTrailers = false
    public var fields: [OracleField] = []

    public init() {}
}

public struct OracleResponse: Equatable {
    public var length = 0
    public var status = 0
    public var reason = ""
    public var minorVersion = 0
    public var framing = OracleFraming.none
    public var isPersistent = false
    public var keepsUpgrade = false
    public var fields: [OracleField] = []

    public init() {}
}

public struct OracleLimits: Sendable {
    public var headBytes: Int
    public var targetBytes: Int
    public var fields: Int

    public init(headBytes: Int, targetBytes: Int, fields: Int) {
        self.headBytes = headBytes
        self.targetBytes = targetBytes
        self.fields = fields
    }
}

/// Octets as a string of one character each, so that nothing is lost.
public func text(_ octets: some Sequence<UInt8>) -> String {
    String(String.UnicodeScalarView(octets.map { Unicode.Scalar($0) }))
}

let tokenCharacters = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
let hexadecimalCharacters = Set("0123456789abcdefABCDEF")

func isToken(_ text: String) -> Bool { !text.isEmpty && text.allSatisfy { tokenCharacters.contains($0) } }

func isNumber(_ text: String) -> Bool { !text.isEmpty && text.allSatisfy { "0123456789".contains($0) } }

func trim(_ text: String) -> String {
    var text = Substring(text)
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
}

func elements(_ value: String) -> [String] {
    value.split(separator: ",", omittingEmptySubsequences: false).map { trim(String($0)) }
}

/// The lines of the head that the octets begin with, without their CRLFs and the empty one at the end.
enum Lines {
    case incomplete
    case refused(Set<String>)
    case complete([String], length: Int)

    init(_ octets: [UInt8], limit: Int) {
        var lines: [[UInt8]] = [[]]
        var index = 0
        while index < min(octets.count, limit) {
            let octet = octets[index]
            if octet == 13 {
                if index + 1 >= min(octets.count, limit) { break }
                guard octets[index + 1] == 10 else { self = .refused(["bare_cr"]); return }
                index += 2
                if lines.last!.isEmpty && lines.count > 1 {
                    self = .complete(lines.dropLast().map { text($0) }, length: index)
                    return
                }
                lines.append([])
                continue
            }
            if octet == 10 { self = .refused(["bare_lf"]); return }
            if octet < 32 && octet != 9 || octet == 127 { self = .refused(["control_octet"]); return }
            lines[lines.count - 1].append(octet)
            index += 1
        }
        if octets.count < limit {
            self = .incomplete
        } else {
            self = .refused([lines.count == 1 ? "target_too_long" : "head_too_large"])
        }
    }
}

/// What the field lines say, and what is wrong with them.
struct FieldReading {
    var fields: [OracleField] = []
    var faults: Set<String> = []
    var codings: [String]?
    var lengths: [String] = []
    var hosts: [String] = []
    var options: [String] = []

    init(_ lines: [String], limit: Int) {
        if lines.count > limit { faults.insert("too_many_fields") }
        for line in lines { read(line) }
        if options.count > 32 { faults.insert("too_many_connection_options") }
        if lengths.count > 1 { faults.insert("several_lengths") }
        if lengths.contains(where: { !isNumber($0) || (UInt64($0) ?? .max) > UInt64(Int64.max) }) {
            faults.insert("bad_length")
        }
    }

    private mutating func read(_ line: String) {
        if line.isEmpty { return }
        if line.first == " " || line.first == "\t" { faults.insert("folded_field"); return }
        guard let colon = line.firstIndex(of: ":") else { faults.insert("bad_field_name"); return }
        let name = String(line[..<colon])
        let value = trim(String(line[line.index(after: colon)...]))
        if name.last == " " || name.last == "\t" { faults.insert("space_before_colon"); return }
        guard isToken(name) else { faults.insert("bad_field_name"); return }
        fields.append(OracleField(name: name, value: value, isDropped: false))
        switch name.lowercased() {
        case "host": hosts.append(value)
        case "content-length": lengths.append(value)
        case "transfer-encoding": codings = (codings ?? []) + elements(value)
        case "connection": options += elements(value.lowercased()).filter { !$0.isEmpty }
        default: break
        }
    }

    func values(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name }.flatMap { elements($0.value.lowercased()) }
    }

    func has(_ name: String, _ element: String) -> Bool { values(name).contains(element) }

    /// RFC 9112, sections 6.1 and 6.3.
    mutating func isChunked(minorVersion: Int) -> Bool {
        guard let codings else { return false }
        if minorVersion == 0 { faults.insert("transfer_encoding_in_http_1_0") }
        if !lengths.isEmpty { faults.insert("conflicting_length") }
        let names = codings.map {
            trim(String($0.split(separator: ";", omittingEmptySubsequences: false)[0]))
        }
        let chunked = names.filter { $0.lowercased() == "chunked" }
        let hasParameters = codings.contains { $0.lowercased().hasPrefix("chunked") && $0.contains(";") }
        if names.last!.lowercased() != "chunked" || chunked.count > 1 || hasParameters
            || !names.allSatisfy(isToken)
        {
            faults.insert("bad_transfer_encoding")
        } else if names.count > 1 {
            faults.insert("unsupported_transfer_encoding")
        }
        return true
    }

    func isPersistent(minorVersion: Int) -> Bool {
        if options.contains("close") { return false }
        return minorVersion == 1 || options.contains("keep-alive")
    }

    /// RFC 9110, section 7.6.1.
    func forwarded(keepsUpgrade: Bool, dropsLength: Bool) -> [OracleField] {
        let hopByHop: Set = [
            "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "http2-settings",
        ]
        let endToEnd: Set = [
            "host", "content-length", "content-type", "authorization", "cookie", "expect", "forwarded",
            "x-real-ip", "x-request-id",
        ]
        return fields.map { field in
            var field = field
            let name = field.name.lowercased()
            if hopByHop.contains(name) {
                field.isDropped = true
            } else if name == "upgrade" {
                field.isDropped = !keepsUpgrade
            } else if options.contains(name) {
                field.isDropped = !endToEnd.contains(name) && !name.hasPrefix("x-forwarded-")
            }
            if name == "content-length" && dropsLength { field.isDropped = true }
            return field
        }
    }
}
