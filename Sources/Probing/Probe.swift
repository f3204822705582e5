// What is asked of a server, and how its answer is judged: bytes to send, a judge, one time limit. Pure: a probe
// is made once and given to a `Prober` as often as wanted. Also what comes back: the result and its cause.

import Base
import Glibc

/// What a judge says of the bytes that have come so far.
public enum Verdict: Equatable, Sendable {
    case needsMore
    case matched
    /// The server answered something else; a short text for people says what.
    case unexpected(String)
}

/// Judges all bytes that have come since the connection was made; `hasEnded` says that no more will come. It is
/// asked again, from the first byte on, whenever more have come. Called on the prober's thread; must not block.
public typealias Judge = @Sendable (_ octets: UnsafeBufferPointer<UInt8>, _ hasEnded: Bool) -> Verdict

/// One kind of exchange with one server. Immutable, so that threads may share it.
public final class Probe: @unchecked Sendable {
    /// The kernel reads address and request where they lie, while an exchange is under way.
    let address: UnsafeMutablePointer<sockaddr_storage>
    let addressLength: UInt32
    let family: Int32
    let request: UnsafeMutableRawBufferPointer
    let judge: Judge?
    /// From the begin of connecting to the verdict.
    public let timeoutNanoseconds: UInt64
    let closesWithReset: Bool
    let keepsAnswer: Bool

    /// - Parameters:
    ///   - request: sent once the connection is made; may be empty.
    ///   - judge: nil where a connection is all that is wanted.
    ///   - timeoutNanoseconds: for connecting, sending and receiving together, once the exchange begins.
    ///   - closesWithReset: spares both sides a socket in TIME_WAIT, and shows as a reset in the server's log. For
    ///     exchanges that come so often that local ports would run out.
    ///   - keepsAnswer: the result has the bytes that came.
    public init(
        to address: SocketAddress, sending request: [UInt8] = [], judge: Judge?,
        timeoutNanoseconds: UInt64, closesWithReset: Bool = false, keepsAnswer: Bool = false
    ) {
        self.address = .allocate(capacity: 1)
        self.address.initialize(to: address.storage)
        addressLength = address.length
        family = address.family
        self.request = .allocate(byteCount: request.count, alignment: 1)
        self.request.copyBytes(from: request)
        self.judge = judge
        self.timeoutNanoseconds = timeoutNanoseconds
        self.closesWithReset = closesWithReset
        self.keepsAnswer = keepsAnswer
    }

    deinit {
        address.deallocate()
        request.deallocate()
    }

    var isTCP: Bool { family != AF_UNIX }
}

/// Why a probe ended, as a closed set.
public enum ProbeCause: UInt8, CaseIterable, Sendable {
    case ok
    case connectRefused
    case connectTimeout
    /// No route to the server's host or network.
    case connectUnreachable
    /// Connected, and no verdict in time.
    case timeout
    /// The server reset the connection.
    case reset
    /// The server closed the connection before there was a verdict.
    case closed
    case unexpectedAnswer
    // These say nothing of the server.
    /// This process may open no more descriptors.
    case outOfDescriptors
    /// The kernel refused for another reason (no memory, no local port); `detail` says which.
    case failed
    /// The prober was stopped.
    case stopped

    /// As logs have it.
    public var name: StaticString {
        switch self {
        case .ok: "ok"
        case .connectRefused: "connect_refused"
        case .connectTimeout: "connect_timeout"
        case .connectUnreachable: "connect_unreachable"
        case .timeout: "timeout"
        case .reset: "reset"
        case .closed: "closed"
        case .unexpectedAnswer: "unexpected_answer"
        case .outOfDescriptors: "out_of_descriptors"
        case .failed: "failed"
        case .stopped: "stopped"
        }
    }

    /// False where the probe says nothing of the server: it must not count against it, nor for it.
    public var isOfServer: Bool {
        switch self {
        case .outOfDescriptors, .failed, .stopped: false
        default: true
        }
    }

    /// What an operation's errno means.
    init(errno code: Int32, isConnecting: Bool) {
        switch code {
        case ECONNREFUSED: self = .connectRefused
        // A unix socket that is not there, or that nobody listens on, refuses like a closed port.
        case ENOENT, ECONNRESET, EPIPE: self = isConnecting ? .connectRefused : .reset
        case ETIMEDOUT: self = isConnecting ? .connectTimeout : .timeout
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN: self = .connectUnreachable
        case EMFILE, ENFILE: self = .outOfDescriptors
        default: self = .failed
        }
    }
}

/// How one exchange went.
public struct ProbeResult: Sendable {
    /// What the caller named it by.
    public let reference: UInt64
    /// When connecting began, nanoseconds of the port's clock. For one that was stopped before: when that was.
    public let startedAt: UInt64
    /// From there to the verdict.
    public let durationNanoseconds: UInt64
    public let cause: ProbeCause
    /// For people: what an unexpected answer was, or which errno failed. Often empty; at most about 120 bytes.
    public let detail: String
    /// What came, where the probe keeps it.
    public let answer: [UInt8]
}
