// What happens when one side is gone: it reset its connection, or bytes for it found nobody. What is under way to
// it is dropped. What it sent before is delivered to the other side, which is then reset too, as the side
// itself would have done: an early error answer arrives, and a broken one does not look whole.
//
//   sideIsGone -> its last words are read and sent on -> resetWhenDelivered -> finishReset

import Base
import Glibc
import Ring

/// The side of a session that is gone.
enum LostSide: UInt8 {
    case none, client, backend

    /// The side that a direction reads from.
    @inline(__always)
    init(sourceOf direction: Direction) { self = direction == .toBackend ? .client : .backend }
    /// The side that a direction writes to.
    @inline(__always)
    init(destinationOf direction: Direction) { self = direction == .toBackend ? .backend : .client }

    /// The direction of its last words.
    @inline(__always)
    var outward: Direction { self == .client ? .toBackend : .toClient }

    var reason: Reason { self == .client ? .clientReset : .backendReset }
}

extension Worker {
    /// The other side may take its time to accept the last words, but no longer than this without progress.
    static var lastWordsNanoseconds: UInt64 { 30_000_000_000 }
    private static var deliveryPollNanoseconds: UInt64 { 2_000_000 }

    /// A read failed: the source of this direction is gone, and there is no more to read.
    mutating func sourceBroke(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        if session.pointee.isHTTP, session.pointee.lostSide == .none {
            httpSourceBroke(slot, session, direction)
            return
        }
        if relay.pointee.phase != .ended, !session.pointee.isHTTP { relay.pointee.phase = .ending }
        sideIsGone(slot, session, LostSide(sourceOf: direction))
    }

    /// A side is gone; what it sent before may still be read.
    mutating func sideIsGone(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ side: LostSide
    ) {
        if session.pointee.isHTTP, session.pointee.lostSide == .none {
            httpSideFailed(slot, session, side)
            return
        }
        if session.pointee.lostSide != .none, session.pointee.lostSide != side {
            finishReset(slot, session, session.pointee.lostSide.reason)
            return
        }
        let outward = session.relay(side.outward)
        if outward.pointee.phase == .ending, outward.pointee.queue.count == 0, outward.pointee.pipedBytes == 0
        {
            outward.pointee.phase = .ended
        }
        if session.pointee.lostSide == .none {
            session.pointee.lostSide = side
            if side == .backend || mutant(.clientsCountAsFaults), session.pointee.firstByteAt == 0 {
                noteFault(session, .reset)
            }
            session.pointee.lastActivityAt = now
            if mutant(.lastWordsDropped) {
                finishReset(slot, session, side.reason)
                return
            }
            if outward.pointee.phase != .ended || undelivered(session) > 0 {
                stop(slot, session, side.outward.opposite)
            }
        }
        if outward.pointee.phase == .ended { resetWhenDelivered(slot, session) }
    }

    /// Nothing goes on in this direction, because its destination is gone.
    private mutating func stop(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        relay.pointee.phase = .ended
        relay.pointee.waitsForTimer = false
        leaveStarved(slot, session, direction)
        leavePipe(relay)
        // One that is being sent goes when the send is back.
        if !session.isInKernel(.send(direction)) { dropQueue(relay) }
        if session.isInKernel(.receive(direction)) { stopReceiving(slot, session, direction) }
        watchSource(slot, session, direction)
    }

    /// Bytes of the last words that the other side's kernel has not taken over.
    private func undelivered(_ session: UnsafeMutablePointer<Session>) -> UInt32 {
        let destination = session.destination(session.pointee.lostSide.outward)
        return UInt32(max(0, settings.port.undeliveredBytes(settings.port.context, destination)))
    }

    /// All is sent: a reset before it arrived would take it back.
    mutating func resetWhenDelivered(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let bytes = undelivered(session)
        if bytes == 0 || mutant(.resetOvertakes) {
            finishReset(slot, session, session.pointee.lostSide.reason)
            return
        }
        if bytes != session.pointee.undeliveredBytes {
            session.pointee.undeliveredBytes = bytes
            session.pointee.lastActivityAt = now
        }
        // The longer nothing moves, the less often it is asked.
        let pause = max(Self.deliveryPollNanoseconds, (now &- session.pointee.lastActivityAt) / 4)
        session.relay(session.pointee.lostSide.outward).pointee.waitsForTimer = true
        timers.set(slot, deadline: min(now + pause, lastWordsDeadline(session)))
    }

    /// When a session that lost a side ends, whatever the other one has taken.
    func lastWordsDeadline(_ session: UnsafeMutablePointer<Session>) -> UInt64 {
        let idle = listenerPlan(session).pointee.idleTimeoutNanoseconds
        return session.pointee.lastActivityAt &+ min(idle, Self.lastWordsNanoseconds)
    }
}
