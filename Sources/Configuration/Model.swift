// The configuration as a value: what a file says after defaults are filled in, before anything of the
// world is touched. Names and units follow `docs/configuration.md`; the reader fills it, `Control`
// compiles it into the snapshot that workers use.

/// Everything that one configuration file says, defaults included.
public struct Configuration: Equatable, Sendable {
    public var workers = WorkerCount.automatic
    public var engine = EngineChoice.automatic
    /// The file is applied anew when it has changed.
    public var watch = false
    /// nil: nothing that was applied is taken back by itself.
    public var reload: ReloadSettings?
    public var limits = ProcessLimits()
    /// nil: nobody can look at it.
    public var admin: AdminSettings?
    public var logs = LogSettings()
    /// nil: there are none.
    public var alerts: AlertSettings?
    /// In the order of the file.
    public var listeners: [Listener] = []
    /// In the order of the file.
    public var pools: [Pool] = []

    public init() {}
}

/// How many worker threads to run.
public enum WorkerCount: Equatable, Sendable {
    /// As many as the cores that this process may use.
    case automatic
    case count(Int)
}

/// Which kernel interface carries the data plane.
public enum EngineChoice: String, CaseIterable, Equatable, Sendable {
    /// io_uring where it works, else epoll.
    case automatic = "auto"
    case ioUring = "io_uring"
    case epoll = "epoll"
}

/// Limits of the whole process.
public struct ProcessLimits: Equatable, Sendable {
    /// Client connections at once; beyond it, accepting pauses.
    public var sessions = 16_384
    /// Receive buffers of each worker; nil sizes them from `sessions`.
    public var buffers: Int?
    /// Bytes of one receive buffer.
    public var bufferSizeBytes = 16 * 1024
    /// Bytes of a request or response head, at most `bufferSizeBytes`: a head is parsed in one buffer.
    public var headerSizeBytes = 16 * 1024
    /// Header fields of a request or response.
    public var headers = 100
    /// Bytes near which accepting pauses; nil: the cgroup's limit.
    public var memoryBytes: Int?

    public init() {}
}

/// Where records go and how they look.
public struct LogSettings: Equatable, Sendable {
    public var access = LogDestination.standardOutput
    public var events = LogDestination.standardError
    public var format = LogFormat.json
    /// Share (0...1) of successful sessions that is logged; failures always are.
    public var successSampleShare = 1.0

    public init() {}
}

public enum LogDestination: Equatable, Sendable {
    case off
    case standardOutput
    case standardError
    case file(path: String)
}

public enum LogFormat: String, CaseIterable, Equatable, Sendable {
    case json
    case text
}

/// Addresses that Weir accepts on, and what happens to what comes in.
public struct Listener: Equatable, Sendable {
    public var name: String
    public var bind: [Address]
    public var mode = ListenerMode.tcp
    /// Name of the pool; the reader has checked that it exists. Never nil in tcp mode; in http mode the pool
    /// of requests that no route matches, which without it are answered 404.
    public var pool: String?
    public var timeouts = ListenerTimeouts()
    public var limits = ListenerLimits()
    /// In http mode of requests, in tcp mode of sessions; nil: no limit.
    public var rateLimit: RateLimitSettings?
    /// Who is served; empty: everybody but whom `deny` names. Of blocks in both lists the longest decides.
    public var allow: [AddressRange] = []
    public var deny: [AddressRange] = []
    public var relay = RelayChoice.automatic
    /// In http mode; the first that matches a request decides.
    public var routes: [Route] = []
    /// In http mode.
    public var forwarded = ForwardedSettings()
    /// In http mode: of requests whose route has none of its own.
    public var retry: RetrySettings?
    /// Where the listener's name stands in the file.
    public var position: SourcePosition

    public init(name: String, bind: [Address], pool: String?, position: SourcePosition) {
        self.name = name
        self.bind = bind
        self.pool = pool
        self.position = position
    }
}

public enum ListenerMode: String, CaseIterable, Equatable, Sendable {
    case tcp
    case http
}

/// Durations in nanoseconds.
public struct ListenerTimeouts: Equatable, Sendable {
    /// From picking a backend to the established connection, for each candidate.
    public var connectNanoseconds: UInt64 = 5_000_000_000
    /// Without a byte either way; in http mode while a request is under way.
    public var idleNanoseconds: UInt64 = 3_600_000_000_000
    /// In http mode.
    public var http = HTTPTimeouts()
    /// What `idleNanoseconds` is in http mode where the file says nothing.
    public static let httpIdleNanoseconds: UInt64 = 300_000_000_000

    public init() {}
}

public struct ListenerLimits: Equatable, Sendable {
    /// Sessions of this listener at once; beyond it, accepting on it pauses. nil: only the process's limit.
    public var sessions: Int?
    /// Sessions of one client address at once; beyond it, a connection is closed. nil: no limit.
    public var sessionsPerClient: Int?
    /// In http mode: bytes of a request's body.
    public var bodySizeBytes = 16 << 30

    public init() {}
}

/// How bytes are moved.
public enum RelayChoice: String, CaseIterable, Equatable, Sendable {
    /// Copy small traffic, splice what moves bulk.
    case automatic = "auto"
    case copy
    case splice
}

/// Backends with one balancing policy.
public struct Pool: Equatable, Sendable {
    public var name: String
    public var balance = BalancePolicy.roundRobin
    /// In the order of the file.
    public var backends: [Backend]
    /// By what requests stick; nil where they do not.
    public var hash: HashSettings?
    /// How sessions come back to the backend that they had; nil where they do not.
    public var affinity: AffinitySettings?
    /// With `prequal`.
    public var prequal: PrequalSettings?
    /// For requests of http listeners.
    public var keepAlive = KeepAliveSettings()
    public var health = HealthSettings()
    /// Over which a backend that recovers or joins gets its share; 0 is at once.
    public var slowStartNanoseconds: UInt64 = 0
    public var breaker = BreakerSettings()
    public var onRemove = RemovalPolicy.drain
    /// With `RemovalPolicy.drain`: how long sessions of a removed backend may go on.
    public var drainNanoseconds: UInt64 = 3_600_000_000_000
    public var position: SourcePosition

    public init(name: String, backends: [Backend], position: SourcePosition) {
        self.name = name
        self.backends = backends
        self.position = position
    }
}

public enum BalancePolicy: String, CaseIterable, Equatable, Sendable {
    case roundRobin = "round_robin"
    case leastConnections = "least_connections"
    case random
    case powerOfTwo = "power_of_two"
    case ipHash = "ip_hash"
    case consistentHash = "consistent_hash"
    case peakEWMA = "peak_ewma"
    case adaptive
    case prequal
}

/// How backends are asked for their load, with `prequal`.
public struct PrequalSettings: Equatable, Sendable {
    /// What is asked for, query included.
    public var path: String
    /// Probes of the pool at most.
    public var probesPerSecond = 100

    public init(path: String) {
        self.path = path
    }
}

/// By what sessions and requests stick to a backend, or requests to a part of a split.
public struct HashSettings: Equatable, Sendable {
    public var key: HashKey
    /// Where a request lacks the key; where it lacks this too, the client's address is taken.
    public var fallback = HashKey.clientAddress
    /// With `consistent_hash`.
    public var algorithm = HashAlgorithm.maglev
    /// With `consistent_hash`: the most that a backend may have of its share of the sessions, 100 or more; nil
    /// is no bound.
    public var boundedLoadPercent: Int?

    public init(key: HashKey) {
        self.key = key
    }
}

public enum HashKey: Equatable, Sendable {
    /// Without the port.
    case clientAddress
    case header(String)
    case cookie(String)
    case query(String)
    /// Without the query.
    case path
    /// Path and query.
    case uri
}

/// How the sessions of a client come back to one backend. Either by a cookie or by the client's address.
public struct AffinitySettings: Equatable, Sendable {
    /// Name of the cookie that says which backend; nil where the client's address says it.
    public var cookie: String?
    public var isByClientAddress = false
    /// At least a second. Of a cookie its Max-Age, nil lets it end with the browser; of a client's address the
    /// time since its last use, never nil.
    public var timeToLiveNanoseconds: UInt64?
    /// The cookie goes by https only; nil: where the client came by it.
    public var isSecure: Bool?
    /// Scripts do not see the cookie.
    public var isHTTPOnly = true
    public var sameSite = SameSite.lax
    /// Below which the browser sends the cookie.
    public var path = "/"
    /// Client addresses that are remembered, at the least.
    public var clients = 65_536

    public static let defaultTimeToLiveNanoseconds: UInt64 = 1_800_000_000_000

    public init() {}
}

/// When a browser sends a cookie with requests that another site caused (RFC 6265bis, 5.4.7).
public enum SameSite: String, CaseIterable, Equatable, Sendable {
    case lax
    case strict
    case none
}

public enum HashAlgorithm: String, CaseIterable, Equatable, Sendable {
    case maglev
    case ketama
}

public struct Backend: Equatable, Sendable {
    /// Given, or the address as written where no name is given.
    public var name: String
    public var address: Address
    /// Share of new sessions relative to the others of the pool, 0...65535; 0 takes none.
    public var weight = 1
    /// Sessions at once; beyond it, the backend is passed over. nil: no limit.
    public var maxSessions: Int?
    /// Takes sessions only where no backend that is no backup can.
    public var isBackup = false
    /// What an operator wants of it.
    public var state = OperatedState.enabled
    public var position: SourcePosition

    public init(name: String, address: Address, position: SourcePosition) {
        self.name = name
        self.address = address
        self.position = position
    }
}

/// What an operator wants of a backend, whatever its health is.
public enum OperatedState: String, CaseIterable, Equatable, Sendable {
    case enabled
    /// No new sessions but those of clients that stick to it; running ones end by themselves.
    case draining
    /// No new sessions at all, and no checks; running ones end by themselves.
    case disabled
}

/// What becomes of sessions whose backend is taken out of its pool, or whose pool goes.
public enum RemovalPolicy: String, CaseIterable, Equatable, Sendable {
    /// They run on for as long as `Pool.drainNanoseconds` says.
    case drain
    /// They run on until they end.
    case keep
    /// They end at once.
    case close
}

/// Where a server is, as the file says it.
public enum Address: Hashable, Sendable {
    /// Host byte order.
    case ipv4(UInt32, port: UInt16)
    /// The 16 octets as two halves, each in host byte order (`high` holds the first eight octets).
    case ipv6(high: UInt64, low: UInt64, port: UInt16)
    case unix(path: String)
    /// A host name, resolved at start (only backends may have one).
    case name(String, port: UInt16)

    /// 0 for a unix socket.
    public var port: UInt16 {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port), .name(_, let port): port
        case .unix: 0
        }
    }
}

/// A place in a configuration file; both count from 1. `column` counts Unicode scalars.
public struct SourcePosition: Equatable, Hashable, Sendable {
    public var line: Int
    public var column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}
