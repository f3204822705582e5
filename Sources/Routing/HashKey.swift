// By what a request sticks: a header, a cookie, a query parameter, the path, or the client's address, as a
// 64-bit hash (XXH64). The same key gives the same hash in every process, so that several Weirs agree.

import CXxhash
import HTTP1

/// Where the key is found.
public enum HashKeySource: UInt8, BitwiseCopyable, Sendable {
    case clientAddress
    /// The first field of that name.
    case header
    /// The first cookie of that name (RFC 6265, 4.2).
    case cookie
    /// The first parameter of that name, as it stands in the URL.
    case query
    /// Without the query.
    case path
    /// Path and query.
    case uri
}

/// What of a `HashKeyPlan` a request had.
public enum HashKeyOrigin: UInt8, BitwiseCopyable, Sendable {
    case key
    case fallback
    /// Neither: the client's address stood in.
    case clientAddress
}

/// What requests of a pool stick by, compiled. Lives until `deallocate`.
public struct HashKeyPlan: BitwiseCopyable, @unchecked Sendable {
    fileprivate struct Part: BitwiseCopyable {
        let source: HashKeySource
        /// Of the header (in lower case), cookie or parameter.
        let name: ByteView
    }

    private let key: Part
    private let fallback: Part

    /// Names are empty where the source has none.
    public init(
        key: HashKeySource, name: String, fallback: HashKeySource, fallbackName: String
    ) {
        self.key = Self.part(key, name)
        self.fallback = Self.part(fallback, fallbackName)
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() {
        key.name.start.deallocate()
        fallback.name.start.deallocate()
    }

    private static func part(_ source: HashKeySource, _ name: String) -> Part {
        Part(source: source, name: ByteView(keeping: source == .header ? name.lowercased() : name))
    }

    /// The hash of the request's key; of its fallback where it lacks the key; of the client's address where
    /// it lacks both. `client` is that address without port, IPv4 in the low 32 bits.
    public func hash(_ request: RequestView, client: (high: UInt64, low: UInt64)) -> UInt64 {
        find(request, client: client).hash
    }

    /// The same, and what was hashed.
    public func find(
        _ request: RequestView, client: (high: UInt64, low: UInt64)
    ) -> (hash: UInt64, origin: HashKeyOrigin) {
        if let hash = key.hash(request, client) { return (hash, .key) }
        if let hash = fallback.hash(request, client) { return (hash, .fallback) }
        return (hashOfAddress(client), .clientAddress)
    }
}

extension HashKeyPlan.Part {
    /// nil where the request has no such thing.
    fileprivate func hash(_ request: RequestView, _ client: (high: UInt64, low: UInt64)) -> UInt64? {
        switch source {
        case .clientAddress: return hashOfAddress(client)
        case .header: return request.value(ofHeader: name).map(hashOfBytes)
        case .cookie: return request.value(ofCookie: name).map(hashOfBytes)
        case .query: return request.value(ofParameter: name).map(hashOfBytes)
        case .path: return hashOfBytes(request.pathBytes)
        case .uri:
            // Where there is a query it follows the path and a `?`.
            let path = request.pathBytes
            if request.query.count == 0 { return hashOfBytes(path) }
            return weir_xxh64(
                request.base + Int(request.query.offset), Int(request.query.count), hashOfBytes(path))
        }
    }
}

/// A header whose values are told apart by their hash. Lives until `deallocate`.
public struct HeaderKey: BitwiseCopyable, @unchecked Sendable {
    private let name: ByteView

    /// Case does not count.
    public init(_ name: String) {
        let bytes = Array(name.lowercased().utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        memory.initialize(from: bytes, count: bytes.count)
        self.name = ByteView(memory, bytes.count)
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() { name.start.deallocate() }

    /// The hash of the first field of that name; nil where there is none.
    public func hash(_ request: RequestView) -> UInt64? { request.value(ofHeader: name).map(hashOfBytes) }
}

private func hashOfBytes(_ bytes: ByteView) -> UInt64 { weir_xxh64(bytes.start, bytes.count, 0) }

/// The hash that stands for a name of the configuration, on every machine alike.
public func stableHash(_ name: String) -> UInt64 {
    let bytes = Array(name.utf8)
    return weir_xxh64(bytes, bytes.count, 0)
}

/// The hash of a client's address without port, IPv4 in the low 32 bits.
public func hashOfAddress(_ address: (high: UInt64, low: UInt64)) -> UInt64 {
    var octets = (address.high.bigEndian, address.low.bigEndian)
    return weir_xxh64(&octets, 16, 0)
}

extension RequestView {
    func value(ofHeader lowered: ByteView) -> ByteView? {
        var index = 0
        while index < fieldCount {
            if bytes(fields[index].nameRange).equalsIgnoringCase(lowered: lowered) {
                return bytes(fields[index].valueRange)
            }
            index += 1
        }
        return nil
    }

    func value(ofParameter name: ByteView) -> ByteView? {
        var pairs = QueryPairs(bytes(query))
        while let pair = pairs.next() {
            if pair.name.equals(name) { return pair.value }
        }
        return nil
    }

    func value(ofCookie name: ByteView) -> ByteView? {
        var values = CookieValues(name, in: self)
        return values.next()
    }
}
