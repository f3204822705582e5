// The slow reading of responses: RFC 9112, sections 4 and 6.3.

public func oracleResponse(
    _ octets: [UInt8], _ limits: OracleLimits, isHead: Bool, wantsUpgrade: Bool
) -> OracleVerdict<OracleResponse> {
    switch Lines(octets, limit: limits.headBytes) {
    case .incomplete: return .incomplete
    case .refused(let reasons): return .refused(reasons)
    case .complete(let lines, let length):
        var head = OracleResponse()
        head.length = length
        var fields = FieldReading(Array(lines.dropFirst()), limit: limits.fields)
        fields.faults.formUnion(readStatusLine(lines[0], &head))
        let isChunked = fields.isChunked(minorVersion: head.minorVersion)
        let hasUpgrade = fields.fields.contains { $0.name.lowercased() == "upgrade" }
        if head.status == 101 && !(wantsUpgrade && hasUpgrade) { fields.faults.insert("unexpected_upgrade") }
        head.keepsUpgrade = hasUpgrade && [101, 426].contains(head.status)
        head.isPersistent = fields.isPersistent(minorVersion: head.minorVersion)
        let isInformational = (100...199).contains(head.status)
        if isInformational || [204, 304].contains(head.status) || isHead {
            head.framing = .none
        } else if isChunked {
            head.framing = .chunked
        } else if let length = fields.lengths.first {
            head.framing = .length(UInt64(length) ?? 0)
        } else {
            head.framing = .untilClose
            head.isPersistent = false
        }
        head.fields = fields.forwarded(
            keepsUpgrade: head.keepsUpgrade, dropsLength: isInformational || head.status == 204)
        return fields.faults.isEmpty ? .accepted(head) : .refused(fields.faults)
    }
}

private func readStatusLine(_ line: String, _ head: inout OracleResponse) -> Set<String> {
    let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map { String($0) }
    guard parts.count >= 2 else { return ["bad_status_line", "bad_version", "unsupported_version"] }
    let version = readVersion(parts[0])
    head.minorVersion = version.minor
    // A version of another length moves the rest of the line.
    var faults = version.faults
    if faults.contains("bad_version") { faults.formUnion(["unsupported_version", "bad_status_line"]) }
    guard parts[1].count == 3, isNumber(parts[1]), let status = Int(parts[1]), status >= 100 else {
        return faults.union(["bad_status_line"])
    }
    head.status = status
    head.reason = parts.count > 2 ? parts[2] : ""
    return faults
}
