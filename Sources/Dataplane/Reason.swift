// Why a session ended, as a closed set. Every errno that the data path meets is mapped here and nowhere
// else.

import Glibc

/// Why a session ended; the log's `reason`, and as the cause of a failed connect its `cause`.
public enum Reason: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Both sides sent all they had and said so.
    case ok
    /// The client reset the connection, or was gone when bytes for it came.
    case clientReset
    /// The backend reset the connection, or was gone when bytes for it came.
    case backendReset
    /// No byte either way for the listener's idle time.
    case idleTimeout
    /// Every backend of the pool failed or was full; the cause says how the last one did.
    case noBackend
    case connectRefused
    case connectTimeout
    /// No route to the backend's host or network.
    case connectUnreachable
    /// The backend's socket could not be used for another reason.
    case connectFailed
    /// Every backend has as many sessions as it may.
    case backendsFull
    /// Every backend stayed full for as long as a session may wait for one.
    case pendingTimeout
    /// This client has as many sessions as it may.
    case clientLimit
    /// The client's address is not among those that are served.
    case denied
    /// A rate limit had nothing left.
    case rateLimited
    /// The process may open no more descriptors.
    case outOfDescriptors
    // In http mode, of requests.
    /// The client closed its connection before its request was whole.
    case clientClosed
    /// The backend closed its connection before its response was whole.
    case backendClosed
    /// The request broke a rule; the cause says which.
    case badRequest
    /// The request's body is longer than the listener takes.
    case bodyTooLarge
    /// The backend's response broke a rule; the cause says which.
    case badResponse
    /// The request's head did not come in time.
    case requestHeadTimeout
    /// The request's body did not come, or came too slowly.
    case requestBodyTimeout
    /// The backend had the request and did not begin its response in time.
    case responseHeadTimeout
    /// No route matches, and there is no pool for such requests.
    case noRoute
    /// Buffers or slots ran out.
    case overloaded
    /// Weir stopped, or its drain time ran out.
    case shutdown
    /// The backend is in the configuration no more, and its sessions were to end.
    case backendRemoved

    /// As the log has it.
    public var name: StaticString {
        switch self {
        case .ok: "ok"
        case .clientReset: "client_reset"
        case .backendReset: "backend_reset"
        case .idleTimeout: "timeout_idle"
        case .noBackend: "no_backend"
        case .connectRefused: "connect_refused"
        case .connectTimeout: "timeout_connect"
        case .connectUnreachable: "connect_unreachable"
        case .connectFailed: "connect_failed"
        case .backendsFull: "backends_full"
        case .pendingTimeout: "timeout_pending"
        case .clientLimit: "client_limit"
        case .denied: "denied"
        case .rateLimited: "rate_limited"
        case .outOfDescriptors: "out_of_descriptors"
        case .clientClosed: "client_closed"
        case .backendClosed: "backend_closed"
        case .badRequest: "bad_request"
        case .bodyTooLarge: "body_too_large"
        case .badResponse: "bad_response"
        case .requestHeadTimeout: "timeout_request_head"
        case .requestBodyTimeout: "timeout_request_body"
        case .responseHeadTimeout: "timeout_response_head"
        case .noRoute: "no_route"
        case .overloaded: "overloaded"
        case .shutdown: "shutdown"
        case .backendRemoved: "backend_removed"
        }
    }

    /// What a failed connect means. All of them may be retried on another backend: nothing was sent.
    init(connectErrno code: Int32) {
        self =
            switch code {
            // A unix socket that is not there, or that nobody listens on, refuses like a closed port.
            case ECONNREFUSED, ENOENT, ECONNRESET: .connectRefused
            case ETIMEDOUT, ECANCELED: .connectTimeout
            case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN: .connectUnreachable
            case EMFILE, ENFILE: .outOfDescriptors
            default: .connectFailed
            }
    }
}
