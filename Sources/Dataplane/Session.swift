// One accepted client connection and what it is doing now. A session lives in a slot of its worker's slab
// and is touched by that worker only.
//
//   accept -> connecting -> relaying -> closing -> (slot freed)
//                 |  ^                    ^
//                 |  '-- next candidate   |
//                 '-----------------------'  no candidate left, client limit, shutdown

import Balancing
import Base

enum SessionState: UInt8 {
    /// A backend is being connected to.
    case connecting
    /// Bytes flow; each direction has its own `RelayPhase`.
    case relaying
    /// The reason is known; waiting for the kernel to give back what it still holds.
    case closing
}

struct Session: BitwiseCopyable {
    var state: SessionState
    /// Known once `closing`.
    var reason: Reason
    /// How the last attempt to connect failed; `ok` where none did.
    var connectFailure: Reason
    /// The side that is gone, whose last words the other one still gets (LostSide.swift).
    var lostSide = LostSide.none
    /// TCP keepalive is on.
    var keepsAlive: Bool
    var inKernel: InKernel
    var listener: UInt16
    var pool: UInt16
    /// Index within the pool; meaningful while `holdsBackend`.
    var backend: UInt16
    /// How many backends were tried.
    var attempts: UInt16
    var sequence: CandidateSequence
    /// True exactly while the backend's active count includes this session.
    var holdsBackend: Bool
    /// True exactly while `SharedState.waitForSocket` counts it: there was no descriptor for its backend.
    var waitsForSocket: Bool
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
