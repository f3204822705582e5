// Who may look. Through a unix socket: root and the user that Weir runs as. Over TCP: who has the token; where there
// is none, the addresses are loopback, and everybody on this host, but no web page that a browser here has open: such a
// page may send requests, but neither without an Origin, nor (unasked) with a JSON body.

import Configuration

struct AdminDoor {
    private let token: [UInt8]?

    init(token: String?) { self.token = token.map { Array($0.utf8) } }

    /// nil where the request may go on.
    func refusal(of request: AdminRequest, from peer: AdminPeer) -> AdminAnswer? {
        switch peer {
        case .owner: return nil
        case .stranger: return .error(403, "this socket is for root and the user that Weir runs as")
        case .network: break
        }
        guard let token else {
            // A name that was made to lead here (DNS rebinding) would let a page of somebody else read answers.
            let isOfThisHost = request.host == "localhost" || Self.isAddress(request.host)
            return isOfThisHost ? nil : .error(403, "without a token, Host must be an address or localhost")
        }
        // The page itself shows nothing; what it shows it asks for with the token.
        if request.path == AdminPath.dashboard.rawValue || isRight(request.authorizations, token) {
            return nil
        }
        return .error(401, "the token is missing or wrong: send `Authorization: Bearer TOKEN`")
    }

    /// What a request that changes something must be beside that; nil where it is.
    func refusal(ofChange request: AdminRequest, from peer: AdminPeer) -> AdminAnswer? {
        // Whoever knows the token is no page that somebody was lured to; through a unix socket no page gets.
        if peer == .network, token == nil,
            request.origins.contains(where: { $0.lowercased() != "http://\(request.authority.lowercased())" })
        {
            return .error(403, "this comes from a web page of somebody else")
        }
        if request.hasBody, request.contentTypes.isEmpty || !request.contentTypes.allSatisfy(Self.isJSON) {
            return .error(415, "a body here is JSON: send `Content-Type: application/json`")
        }
        // What an HTML form sends by itself, even where its body is empty.
        if !request.contentTypes.allSatisfy(Self.isJSON) {
            return .error(415, "Content-Type, where there is one, is application/json here")
        }
        return nil
    }

    /// Parameters such as a charset aside.
    private static func isJSON(_ contentType: String) -> Bool {
        let type = contentType.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
        return type.lowercased() == "application/json"
    }

    private func isRight(_ authorizations: [[UInt8]], _ token: [UInt8]) -> Bool {
        guard authorizations.count == 1, let value = authorizations.first else { return false }
        let scheme = Array("bearer ".utf8)
        // Schemes are case-insensitive (RFC 9110, section 11.1).
        guard value.count > scheme.count, zip(value, scheme).allSatisfy({ $0 | 0x20 == $1 }) else {
            return false
        }
        return Self.areEqual(value.dropFirst(scheme.count).drop { $0 == 0x20 }, token)
    }

    /// Takes as long whatever octets differ, so that nobody finds a token piece by piece.
    static func areEqual(_ given: ArraySlice<UInt8>, _ secret: [UInt8]) -> Bool {
        var difference = given.count ^ secret.count
        for (index, octet) in given.enumerated() {
            difference |= Int(octet ^ secret[index % secret.count])
        }
        return difference == 0
    }

    private static func isAddress(_ host: String) -> Bool {
        if host.hasPrefix("[") { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
