// What of a request the admin API looks at, read by the codec that the data plane has.

import HTTP1

struct AdminRequest {
    let method: Method
    /// Without the query, which nothing here looks at.
    let path: String
    /// Without the port.
    let host: String
    /// The values of all Authorization fields.
    let authorizations: [[UInt8]]
    /// Asked for by Prometheus and others in Accept.
    let wantsOpenMetrics: Bool
    /// It has a body, which no request here needs.
    let hasBody: Bool

    var isHead: Bool { method == .head }

    /// Out of the head that is the first `headLength` of the octets.
    init(_ octets: [UInt8], headLength: Int) throws(Refusal) {
        let limits = AdminConnection.limits
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: Int(limits.fields))
        defer { memory.deallocate() }
        let table = FieldTable(memory, capacity: Int(limits.fields))
        let head = try RequestHead.parse(
            octets, count: octets.count, length: headLength, limits: limits, into: table)
        method = head.method
        path = Self.text(octets, head.target.path)
        host = Self.text(octets, head.authority.host)
        hasBody = head.framing != .none && head.framing != .length(0)
        var authorizations: [[UInt8]] = []
        var wantsOpenMetrics = false
        for index in 0..<Int(head.fieldCount) {
            let field = table[index]
            let value = octets[field.valueRange.start..<field.valueRange.end]
            if field.name == .authorization { authorizations.append(Array(value)) }
            if field.name == .accept {
                wantsOpenMetrics = String(decoding: value, as: UTF8.self).contains(
                    "application/openmetrics-text")
            }
        }
        self.authorizations = authorizations
        self.wantsOpenMetrics = wantsOpenMetrics
    }

    private static func text(_ octets: [UInt8], _ range: HeadRange) -> String {
        String(decoding: octets[range.start..<range.end], as: UTF8.self)
    }
}
