// The part of the configuration that only http listeners have: their timeouts, forwarding headers and
// routes, and what a pool keeps for them. `Model.swift` holds the rest.

/// Durations of an http listener, in nanoseconds; `connect` and `idle` are in `ListenerTimeouts`.
public struct HTTPTimeouts: Equatable, Sendable {
    /// From the first byte of a request head to its end; not prolonged by bytes.
    public var requestHeadNanoseconds: UInt64 = 10_000_000_000
    /// Without a byte of a request body that is still to come.
    public var requestBodyIdleNanoseconds: UInt64 = 30_000_000_000
    /// Between two requests of a connection.
    public var keepAliveNanoseconds: UInt64 = 75_000_000_000
    /// From the end of the request to the end of the response head.
    public var responseHeadNanoseconds: UInt64 = 30_000_000_000
    /// Without a byte either way after an upgrade.
    public var tunnelNanoseconds: UInt64 = 3_600_000_000_000

    public init() {}
}

/// What Weir tells backends about the client and about itself.
public struct ForwardedSettings: Equatable, Sendable {
    /// X-Forwarded-For, -Proto, -Host and -Port.
    public var xForwarded = ForwardingHeader.append
    /// Peers whose forwarding headers are believed.
    public var trusted: [AddressRange] = []
    /// The name in Via (RFC 9110, 7.6.3); nil leaves the header as it came.
    public var via: String?
    /// The header that carries the request's id; nil makes none.
    public var requestID: String? = "x-request-id"
    /// Forwarded (RFC 7239).
    public var forwarded = ForwardingHeader.off

    public init() {}
}

/// What becomes of a forwarding header that a request brings.
public enum ForwardingHeader: String, CaseIterable, Equatable, Sendable {
    /// What a trusted peer sent is kept and added to; what another sent is replaced.
    case append
    /// Replaced, whoever sent it.
    case replace
    /// Passed on as it came, nothing added.
    case off
}

/// A block of addresses (CIDR, RFC 4632), in host byte order; bits beyond the prefix are zero.
public enum AddressRange: Hashable, Sendable {
    case ipv4(UInt32, prefixLength: Int)
    /// The 16 octets as two halves (`high` holds the first eight).
    case ipv6(high: UInt64, low: UInt64, prefixLength: Int)
}

/// A rule of an http listener: the first whose match holds decides what happens to a request.
public struct Route: Equatable, Sendable {
    public var match = RouteMatch()
    public var action = RouteAction.pool("")
    /// Of the request that goes to the backend.
    public var requestHeaders = HeaderChanges()
    /// Of the response that goes to the client.
    public var responseHeaders = HeaderChanges()
    public var rewrite = PathRewrite()
    /// nil for the listener's.
    public var retry: RetrySettings?
    /// Beside the listener's; nil: no limit.
    public var rateLimit: RateLimitSettings?
    /// Where the route starts in the file.
    public var position: SourcePosition

    public init(position: SourcePosition) {
        self.position = position
    }
}

/// What a request must be; what is left out may be anything.
public struct RouteMatch: Hashable, Sendable {
    public var host: HostPattern?
    public var path: PathPattern?
    /// One of these, case-sensitive (RFC 9110, 9.1); empty means any.
    public var methods: [String] = []
    /// All of these.
    public var headers: [FieldCondition] = []
    /// All of these.
    public var query: [FieldCondition] = []

    public init() {}

    /// True where every request matches.
    public var isEverything: Bool {
        host == nil && (path == nil || path == .below("")) && methods.isEmpty && headers.isEmpty
            && query.isEmpty
    }
}

/// A host name without port, in lower case.
public enum HostPattern: Hashable, Sendable {
    case exact(String)
    /// `*.example.com`: any name that ends in `.example.com`, at any depth, but not `example.com`. Holds
    /// what follows `*.`.
    case below(String)
}

/// A path as it stands in the request, before `?`; nothing is decoded.
public enum PathPattern: Hashable, Sendable {
    case exact(String)
    /// `/v1/*`: `/v1` and everything below `/v1/`. Holds the path without `/*`; empty means every path.
    case below(String)
}

/// A header or query parameter that must be there.
public struct FieldCondition: Hashable, Sendable {
    public var name: String
    /// nil for any value.
    public var value: String?

    public init(name: String, value: String?) {
        self.name = name
        self.value = value
    }
}

public enum RouteAction: Equatable, Sendable {
    /// Name of the pool; the reader has checked that it exists.
    case pool(String)
    /// Shares sum to 1.
    case split([PoolShare])
    case redirect(Redirect)
    case respond(FixedResponse)
}

public struct PoolShare: Equatable, Sendable {
    public var pool: String
    /// 0...1, a multiple of 0.000001.
    public var share: Double

    public init(pool: String, share: Double) {
        self.pool = pool
        self.share = share
    }
}

public struct Redirect: Equatable, Sendable {
    /// An absolute URL or a path. The query of the request is appended where this has none.
    public var location = ""
    /// 301, 302, 303, 307 or 308.
    public var status = 302

    public init() {}
}

/// A response that Weir gives itself.
public struct FixedResponse: Equatable, Sendable {
    /// 200...599.
    public var status = 200
    public var body = ""
    public var contentType = "text/plain; charset=utf-8"

    public init() {}
}

/// Changes to the headers of a message: first what is removed and set is taken out, then what is set and
/// added is put in.
public struct HeaderChanges: Equatable, Sendable {
    public var fieldsSet: [HeaderField] = []
    public var fieldsAdded: [HeaderField] = []
    public var namesRemoved: [String] = []

    public init() {}
}

public struct HeaderField: Equatable, Sendable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// Changes to the path before it goes to the backend. Prefixes are whole segments: `/shop` is a prefix of
/// `/shop` and `/shop/x`, not of `/shopping`.
public struct PathRewrite: Equatable, Sendable {
    /// Taken off where the path begins with it; starts with `/`, does not end in one.
    public var stripPrefix: String?
    /// Put in front, after the other was taken off; starts with `/`, does not end in one.
    public var addPrefix: String?

    public init() {}
}

/// Connections to backends that wait for the next request.
public struct KeepAliveSettings: Equatable, Sendable {
    /// At most so many, of each worker; 0 closes each after its response.
    public var idle = 64
    public var idleTimeoutNanoseconds: UInt64 = 60_000_000_000
    /// Requests of one connection; 0 is no limit.
    public var maxRequests = 0
    /// How many small GET requests that come in one moment may share a connection; 1 gives each its own.
    public var batch = 1

    public init() {}
}
