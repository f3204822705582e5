// How often clients may come and who may come at all, as the file says it. `Model.swift` holds the rest.

/// A limit of requests (tcp mode: of sessions) for each value of a key.
public struct RateLimitSettings: Equatable, Sendable {
    public var key = RateKey.clientNetwork(ipv4Bits: 32, ipv6Bits: RateKey.defaultIPv6Bits)
    public var rate = Rate(count: 1, unit: .second)
    /// At once, after a rest. The reader fills it: without the key it is the rate's count.
    public var burst: Int?
    /// Values of the key that are known at once.
    public var keys = 65_536

    public init() {}
}

/// By what requests are counted.
public enum RateKey: Equatable, Sendable {
    /// The first bits of the client's address.
    case clientNetwork(ipv4Bits: Int, ipv6Bits: Int)
    /// In lower case as in the file; requests without it are not limited.
    case header(String)
    /// All requests of a route together.
    case route

    /// What one site gets: an IPv6 client may have as many addresses below it as it likes (RFC 6177).
    public static let defaultIPv6Bits = 64
}

/// So many in a unit of time.
public struct Rate: Equatable, Sendable {
    public enum Unit: String, CaseIterable, Equatable, Sendable {
        case second = "s"
        case minute = "m"
        case hour = "h"
        case day = "d"

        public var nanoseconds: UInt64 {
            switch self {
            case .second: 1_000_000_000
            case .minute: 60_000_000_000
            case .hour: 3_600_000_000_000
            case .day: 86_400_000_000_000
            }
        }
    }

    public var count: Int
    public var unit: Unit

    public init(count: Int, unit: Unit) {
        self.count = count
        self.unit = unit
    }
}

extension Rate: CustomStringConvertible {
    /// As the file says it.
    public var description: String { "\(count)/\(unit.rawValue)" }
}

extension RateKey: CustomStringConvertible {
    /// As the file says it, in the shortest form.
    public var description: String {
        switch self {
        case .clientNetwork(32, Self.defaultIPv6Bits): "client_ip"
        case .clientNetwork(let ipv4Bits, Self.defaultIPv6Bits): "client_ip/\(ipv4Bits)"
        case .clientNetwork(let ipv4Bits, let ipv6Bits): "client_ip/\(ipv4Bits)/\(ipv6Bits)"
        case .header(let name): "header:" + name
        case .route: "route"
        }
    }
}
