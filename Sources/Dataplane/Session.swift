// One accepted client connection and what it is doing now. A session lives in a slot of its worker's slab
// and is touched by that worker only.
//
//   accept -> connecting -> relaying -> closing -> (slot freed)
//                 |  ^                    ^
//                 |  '-- next candidate   |
//                 '-----------------------'  no candidate left, client limit, shutdown
//
// In http mode a session goes round, once for each request:
//
//   accept -> awaiting -> [connecting] -> relaying -> awaiting ... -> [lingering] -> closing

import Balancing
import Base
import HTTP1
import Routing

enum SessionState: UInt8 {
    /// In http mode: no request is being served.
    case awaiting
    /// A backend is being connected to.
    case connecting
    /// Bytes flow; each direction has its own `RelayPhase`.
    case relaying
    /// In http mode: all was said; what the client still sends is read and dropped, so that it is not reset before
    /// it has read the answer.
    case lingering
    /// The reason is known; waiting for the kernel to give back what it still holds.
    case closing
}

struct Session: BitwiseCopyable {
    /// It has been taken out of the configuration.
    static let noListener = UInt16.max

    var state: SessionState
    /// Known once `closing`.
    var reason: Reason
    /// How the last attempt to connect failed; `ok` where none did.
    var connectFailure: Reason
    /// The side that is gone, whose last words the other one still gets (LostSide.swift).
    var lostSide = LostSide.none
    /// TCP keepalive is on.
    var keepsAlive: Bool
    /// Requests are read and served; false again once a connection is a tunnel.
    var isHTTP = false
    /// In http mode: the client sends no more.
    var hasClientEnded = false
    var inKernel: InKernel
    /// The configuration that `listener` is of.
    var epoch: UnsafeMutablePointer<Epoch>
    var listener: UInt16
    /// The same listener in the worker's present configuration.
    var currentListener: UInt16
    var pool: UnsafeMutablePointer<WorkerPool>
    /// What it is to its backend while that is on trial, and has said nothing yet; else `Standing.noTrial`.
    var trial = Standing.noTrial
    /// Index within the pool; meaningful while `holdsBackend`.
    var backend: UInt16
    /// How many backends were tried.
    var attempts: UInt16
    var sequence: CandidateSequence
    /// The hash of what the session, or its request, is chosen by; where the pool's policy needs one.
    var key: UInt64 = 0
    var keyOrigin = HashKeyOrigin.clientAddress
    /// Whom the session, or the client of its request, had before.
    var sticky = StickyBackend(.notAsked)
    /// True exactly while the backend's active count includes this session.
    var holdsBackend: Bool
    /// True exactly while `SharedState.waitForSocket` counts it: there was no descriptor for its backend.
    var waitsForSocket: Bool
    /// True exactly while it stands in the queue of its pool (Pending.swift).
    var isPending = false
    /// It is among the active ones that its pool's `max_sessions` counts.
    var holdsPoolPlace = false
    /// From the first wait for a place to the end of the last.
    var waitedMicroseconds: UInt32 = 0
    /// The first wait, of the request in http mode; 0 for none.
    var pendingSince: UInt64 = 0
    var clientDescriptor: Int32
    /// -1 where there is none.
    var backendDescriptor: Int32
    /// Place in the table of sessions per client, plus one; 0 where not counted.
    var clientPlace: UInt32
    var client: ClientAddress
    var identifier: UInt64
    // Nanoseconds of the worker's clock; 0 where it has not happened.
    var acceptedAt: UInt64
    var connectStartedAt: UInt64
    var connectedAt: UInt64
    var firstByteAt: UInt64
    var lastActivityAt: UInt64
    /// With a side lost: what was on its way to the other one when that was asked last.
    var undeliveredBytes: UInt32 = 0
    // In http mode.
    /// The worker's connection to the backend that is this session's at the moment; `BackendConnection.none`.
    var connection = BackendConnection.none
    /// The connection that its request went out on behind those of others, while their answers come;
    /// `BackendConnection.none`.
    var behind = BackendConnection.none
    /// The session that stands behind it there; `BackendConnection.none`.
    var nextBehind = BackendConnection.none
    /// The request that is being served; `Exchange.none`.
    var exchange = Exchange.none
    var headScan = HeadScan()
    /// Of the head that is coming; 0 where none is.
    var headStartedAt: UInt64 = 0
    /// How many requests there were.
    var requests: UInt32 = 0
    var localPort: UInt16 = 0
    var toBackend: Relay
    var toClient: Relay
}

extension UnsafeMutablePointer<Session> {
    /// The relay of one direction, in place.
    @inline(__always)
    func relay(_ direction: Direction) -> UnsafeMutablePointer<Relay> {
        let offset =
            direction == .toBackend
            ? MemoryLayout<Session>.offset(of: \Session.toBackend)!
            : MemoryLayout<Session>.offset(of: \Session.toClient)!
        return (UnsafeMutableRawPointer(self) + offset).assumingMemoryBound(to: Relay.self)
    }

    /// The descriptor that a direction reads from.
    @inline(__always)
    func source(_ direction: Direction) -> Int32 {
        direction == .toBackend ? pointee.clientDescriptor : pointee.backendDescriptor
    }

    /// The descriptor that a direction writes to.
    @inline(__always)
    func destination(_ direction: Direction) -> Int32 {
        direction == .toBackend ? pointee.backendDescriptor : pointee.clientDescriptor
    }

    /// True exactly while the operation is in the kernel.
    @inline(__always)
    func isInKernel(_ operation: Operation) -> Bool {
        pointee.inKernel.contains(InKernel(operation))
    }
}
