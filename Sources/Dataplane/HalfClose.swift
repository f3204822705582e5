// What happens when one side says that it has sent all: the other side is told, and only when both have
// is the session over. The truth table is in docs/half-close.md.

import Base
import Glibc
import Ring

extension Worker {
    private static var watchHalfClosedAfterNanoseconds: UInt64 { 1_000_000_000 }

    /// The session's timer fired: it is half-closed for a while, perhaps.
    mutating func watchHalfClosed(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        for direction in Direction.allCases where session.relay(direction).pointee.phase == .ended {
            watchSource(slot, session, direction)
        }
    }

    /// The source of this direction is at its end.
    mutating func inputEnded(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if session.pointee.isHTTP {
            httpInputEnded(slot, session, direction)
            return
        }
        let relay = session.relay(direction)
        relay.pointee.phase = .ending
        session.pointee.lastActivityAt = now
        if mutant(.queueDroppedAtEnd), !session.isInKernel(.send(direction.opposite)) { dropQueue(relay) }
        if relay.pointee.queue.count == 0 { passOnEnd(slot, session, direction) }
    }

    /// Everything received was delivered: the destination learns that no more comes.
    mutating func passOnEnd(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        session.relay(direction).pointee.phase = .ended
        if session.pointee.lostSide != .none {
            resetWhenDelivered(slot, session)
            return
        }
        if session.relay(direction.opposite).pointee.phase == .ended {
            // Closing tells it just as well.
            finish(slot, session, .ok)
            return
        }
        if mutant(.droppedHalfClose) { return }
        // A destination that is gone makes this fail; its own direction finds out.
        _ = settings.port.shutdown(settings.port.context, session.destination(direction), Int32(SHUT_WR))
        // Nobody reads from the source any more. Mostly the other direction ends soon; only where it does not is a
        // watch for a reset worth its submission.
        timers.setNoLater(slot, deadline: now + Self.watchHalfClosedAfterNanoseconds)
    }
}
