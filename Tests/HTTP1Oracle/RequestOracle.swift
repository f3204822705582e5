// The slow reading of requests: RFC 9112, section 3, and the URI grammar of RFC 3986.

/// All that may be wrong in a first line that does not fall into three parts.
private let anyFirstLineFault: Set = [
    "bad_request_line", "bad_method", "bad_target", "bad_version", "unsupported_version", "target_too_long",
    "method_not_allowed",
]

public func oracleRequest(_ octets: [UInt8], _ limits: OracleLimits) -> OracleVerdict<OracleRequest> {
    switch Lines(octets, limit: limits.headBytes) {
    case .incomplete: return .incomplete
    case .refused(let reasons): return .refused(reasons)
    case .complete(var lines, let length):
        if lines.first == "" { lines.removeFirst() }
        guard let first = lines.first else { return .refused(anyFirstLineFault) }
        var head = OracleRequest()
        head.length = length
        var fields = FieldReading(Array(lines.dropFirst()), limit: limits.fields)
        fields.faults.formUnion(readFirstLine(first, limits, &head))
        head.framing = .none
        if fields.isChunked(minorVersion: head.minorVersion) {
            head.framing = .chunked
        } else if let length = fields.lengths.first {
            head.framing = .length(UInt64(length) ?? 0)
        }
        fields.faults.formUnion(readHost(fields.hosts, &head))
        head.isPersistent = fields.isPersistent(minorVersion: head.minorVersion)
        head.expectsContinue = head.minorVersion == 1 && fields.has("expect", "100-continue")
        head.wantsUpgrade =
            head.minorVersion == 1 && fields.options.contains("upgrade")
            && fields.fields.contains { $0.name.lowercased() == "upgrade" }
        head.acceptsTrailers = fields.has("te", "trailers")
        head.fields = fields.forwarded(keepsUpgrade: head.wantsUpgrade, dropsLength: false)
        return fields.faults.isEmpty ? .accepted(head) : .refused(fields.faults)
    }
}

func readVersion(_ text: String) -> (faults: Set<String>, minor: Int) {
    let characters = Array(text)
    guard characters.count == 8, text.hasPrefix("HTTP/"), characters[6] == ".",
        isNumber(String(characters[5])), isNumber(String(characters[7]))
    else { return (["bad_version"], 1) }
    switch text {
    case "HTTP/1.1": return ([], 1)
    case "HTTP/1.0": return ([], 0)
    default: return (["unsupported_version"], 1)
    }
}

private func readFirstLine(
    _ line: String, _ limits: OracleLimits, _ head: inout OracleRequest
) -> Set<String> {
    let parts = line.split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
    guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }) else { return anyFirstLineFault }
    var faults: Set<String> = []
    (head.method, head.target) = (parts[0], parts[1])
    let version = readVersion(parts[2])
    // Where the version is too short, what stands in its place overlaps the target.
    faults.formUnion(version.faults.contains("bad_version") ? anyFirstLineFault : version.faults)
    head.minorVersion = version.minor
    if !isToken(head.method) { faults.insert("bad_method") }
    if ["CONNECT", "TRACE"].contains(head.method) { faults.insert("method_not_allowed") }
    if head.target.unicodeScalars.count > limits.targetBytes { faults.insert("target_too_long") }
    let isVisible = head.target.unicodeScalars.allSatisfy { (33...126).contains($0.value) }
    if !isVisible || head.target.contains("#") { faults.insert("bad_target") }
    if !readTarget(&head) { faults.insert("bad_target") }
    return faults
}

/// RFC 9112, section 3.2: origin-form, absolute-form, asterisk-form.
private func readTarget(_ head: inout OracleRequest) -> Bool {
    if head.target == "*" {
        head.path = "*"
        return head.method == "OPTIONS"
    }
    var rest = head.target
    if !rest.hasPrefix("/") {
        let schemes = ["http://", "https://"]
        guard let scheme = schemes.first(where: { rest.lowercased().hasPrefix($0) }) else { return false }
        rest = String(rest.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" })
    }
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    head.path = parts.isEmpty ? "" : String(parts[0])
    head.query = parts.count > 1 ? String(parts[1]) : nil
    return true
}

/// RFC 9112, sections 3.2 and 3.2.2.
private func readHost(_ hosts: [String], _ head: inout OracleRequest) -> Set<String> {
    var faults: Set<String> = []
    if hosts.count > 1 { faults.insert("several_hosts") }
    if hosts.isEmpty && head.minorVersion == 1 { faults.insert("missing_host") }
    for host in hosts where readAuthority(host) == nil { faults.insert("bad_host") }
    let named = hosts.last.flatMap(readAuthority)
    (head.host, head.port) = (named?.host ?? "", named?.port)
    let lowercase = head.target.lowercased()
    guard lowercase.hasPrefix("http://") || lowercase.hasPrefix("https://") else { return faults }
    let isPlain = lowercase.hasPrefix("http://")
    let text = head.target.dropFirst(isPlain ? 7 : 8).prefix { $0 != "/" && $0 != "?" }
    guard let target = readAuthority(String(text)) else { return faults.union(["bad_host"]) }
    (head.host, head.port) = (target.host, target.port)
    if let named {
        let schemePort = isPlain ? 80 : 443
        if named.host.lowercased() != target.host.lowercased()
            || named.port ?? schemePort != target.port ?? schemePort
        {
            faults.insert("host_mismatch")
        }
    }
    return faults
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2.2); nil where it is not that, or has no host.
func readAuthority(_ text: String) -> (host: String, port: Int?)? {
    var host = text
    var port: Int?
    if let colon = text.lastIndex(of: ":"), !text[colon...].contains("]") {
        host = String(text[..<colon])
        let digits = String(text[text.index(after: colon)...])
        if !digits.isEmpty {
            guard digits.count <= 5, isNumber(digits), let number = Int(digits), number < 65_536 else {
                return nil
            }
            port = number
        }
    }
    if host.hasPrefix("[") {
        guard host.hasSuffix("]"), isIPv6(String(host.dropFirst().dropLast())) else { return nil }
        return (host, port)
    }
    let allowed = Set(
        "-._~!$&'()*+,;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    var rest = Array(host)
    if rest.isEmpty { return nil }
    while let character = rest.first {
        if character == "%" {
            guard rest.count > 2, rest[1...2].allSatisfy({ hexadecimalCharacters.contains($0) }) else {
                return nil
            }
            rest.removeFirst(3)
        } else if allowed.contains(character) {
            rest.removeFirst()
        } else {
            return nil
        }
    }
    return (host, port)
}

/// IPv6address (RFC 3986, section 3.2.2).
private func isIPv6(_ text: String) -> Bool {
    let sides = separate(text, at: "::")
    if sides.count > 2 { return false }
    var count = 0
    for (number, side) in sides.enumerated() where !side.isEmpty {
        let groups = side.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        for (place, group) in groups.enumerated() {
            if number == sides.count - 1, place == groups.count - 1, group.contains(".") {
                guard isIPv4(group) else { return false }
                count += 2
            } else {
                guard (1...4).contains(group.count), group.allSatisfy({ hexadecimalCharacters.contains($0) })
                else { return false }
                count += 1
            }
        }
    }
    return sides.count == 2 ? count <= 7 : count == 8
}

private func separate(_ text: String, at mark: String) -> [String] {
    var parts = [""]
    var rest = Substring(text)
    while !rest.isEmpty {
        if rest.hasPrefix(mark) {
            rest = rest.dropFirst(mark.count)
            parts.append("")
        } else {
            parts[parts.count - 1].append(rest.removeFirst())
        }
    }
    return parts
}

private func isIPv4(_ text: String) -> Bool {
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
    return numbers.count == 4
        && numbers.allSatisfy { number in
            isNumber(number) && number.count <= 3 && Int(number)! <= 255 && String(Int(number)!) == number
        }
}
