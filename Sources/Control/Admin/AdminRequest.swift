// What of a request the admin API looks at, read by the codec that the data plane has.

import HTTP1

struct AdminRequest {
    let method: Method
    /// Without the query.
    let path: String
    /// What follows the first `?`, as it came.
    let query: String
    /// Without the port.
    let host: String
    /// The host with the port.
    let authority: String
    /// The values of all Authorization fields.
    let authorizations: [[UInt8]]
    /// Asked for by Prometheus and others in Accept.
    let wantsOpenMetrics: Bool
    /// The values of all Origin fields: what a browser says of the page that asks.
    let origins: [String]
    /// The values of all Content-Type fields.
    let contentTypes: [String]
    let framing: BodyFraming
    let expectsContinue: Bool
    /// Filled in when it has come.
    var body: [UInt8] = []

    var isHead: Bool { method == .head }
    var hasBody: Bool { framing != .none && framing != .length(0) }

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
        query = head.target.query.map { Self.text(octets, $0) } ?? ""
        host = Self.text(octets, head.authority.host)
        authority = Self.text(octets, head.authority.range)
        framing = head.framing
        expectsContinue = head.expectsContinue
        var authorizations: [[UInt8]] = []
        var origins: [String] = []
        var contentTypes: [String] = []
        var wantsOpenMetrics = false
        for index in 0..<Int(head.fieldCount) {
            let field = table[index]
            let value = octets[field.valueRange.start..<field.valueRange.end]
            switch field.name {
            case .authorization: authorizations.append(Array(value))
            case .origin: origins.append(String(decoding: value, as: UTF8.self))
            case .contentType: contentTypes.append(String(decoding: value, as: UTF8.self))
            case .accept:
                wantsOpenMetrics = String(decoding: value, as: UTF8.self).contains(
                    "application/openmetrics-text")
            default: break
            }
        }
        self.authorizations = authorizations
        self.origins = origins
        self.contentTypes = contentTypes
        self.wantsOpenMetrics = wantsOpenMetrics
    }

    private static func text(_ octets: [UInt8], _ range: HeadRange) -> String {
        String(decoding: octets[range.start..<range.end], as: UTF8.self)
    }
}
