// A direction that moves bulk: socket -> pipe -> socket within the kernel, without a copy to user memory.
// The ring says when a socket is ready (poll), a direct non-blocking splice(2) moves the bytes: the ring's
// own splice operation would go to a kernel worker thread each time.
//
//   wait for input -> pump: input -> pipe -> output, until either side would block -> wait for that side

import Base
import Glibc
import Ring
import Telemetry

extension Worker {
    /// Splices of one direction in one turn before others get their turn.
    private static var roundsInOneTurn: Int { 8 }
    /// A splice that moves less than this is quiet; so many in a row end splicing (in `auto`).
    private static var quietBytes: Int { 8192 }
    private static var quietSplicesThatEndBulk: UInt8 { 16 }

    mutating func beginSplicing(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        counters.pointee.add(.spliceUpgrades)
        session.relay(direction).pointee.phase = .splicing
        session.relay(direction).pointee.quietSplices = 0
        if session.pointee.isHTTP, body(session, direction).pointee.phase != .body {
            // The rest came while the receive was being stopped.
            session.relay(direction).pointee.phase = .copying
            resume(slot, session, direction)
            return
        }
        pump(slot, session, direction)
    }

    mutating func waitForInput(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let token = submitting(.pollInput(direction), slot, session)
        ring.pollReadable(session.source(direction), token: token)
    }

    private mutating func waitForOutput(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let token = submitting(.pollOutput(direction), slot, session)
        ring.pollWritable(session.destination(direction), token: token)
        if session.relay(direction).pointee.phase == .splicing { watchSource(slot, session, direction) }
    }

    /// A poll of this direction completed.
    mutating func readied(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let phase = session.relay(direction).pointee.phase
        if phase == .splicing || phase == .ending { pump(slot, session, direction) }
    }

    /// A poll for room at the destination completed. Where the destination has sent its end, every such poll
    /// completes at once, room or not: asking again would spin, so the timer asks.
    mutating func roomPolled(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction,
        _ completion: Completion
    ) {
        let phase = session.relay(direction).pointee.phase
        guard phase == .splicing || phase == .ending else { return }
        if completion.isPollWritable || mutant(.spinsForRoom) {
            readied(slot, session, direction)
            return
        }
        session.relay(direction).pointee.waitsForTimer = true
        timers.set(slot, deadline: now + Self.roomRetryNanoseconds)
    }

    private static var roomRetryNanoseconds: UInt64 { 5_000_000 }

    /// The session's timer fired. False where the session ended by it.
    mutating func retryRoom(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Bool {
        if !retryRoom(slot, session, .toBackend) { return false }
        return retryRoom(slot, session, .toClient)
    }

    private mutating func retryRoom(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) -> Bool {
        guard session.relay(direction).pointee.waitsForTimer else { return true }
        session.relay(direction).pointee.waitsForTimer = false
        if session.relay(direction).pointee.phase == .ended {
            resetWhenDelivered(slot, session)
        } else {
            readied(slot, session, direction)
        }
        return sessions.isLive(slot) && session.pointee.state == .relaying
    }

    private mutating func pump(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        for _ in 0..<Self.roundsInOneTurn {
            if relay.pointee.pipedBytes > 0 {
                guard drainPipe(slot, session, direction) else { return }
            }
            if session.pointee.isHTTP, endSplicedBody(slot, session, direction) { return }
            if relay.pointee.phase == .ending {
                leavePipe(relay)
                passOnEnd(slot, session, direction)
                return
            }
            guard fillPipe(slot, session, direction) else { return }
        }
        // The others first; both polls complete at once where there is more to do.
        if relay.pointee.pipedBytes > 0 {
            waitForOutput(slot, session, direction)
        } else {
            waitForInput(slot, session, direction)
        }
    }

    /// Pipe -> destination. True where the pipe is empty afterwards; else somebody was told to wait.
    private mutating func drainPipe(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) -> Bool {
        let relay = session.relay(direction)
        let pipe = pipes.pipe(relay.pointee.pipe)
        let moved = settings.port.splice(
            settings.port.context, pipe.output, session.destination(direction), Int(relay.pointee.pipedBytes))
        if moved > 0 {
            relay.pointee.pipedBytes -= UInt32(moved)
            relay.pointee.delivered += UInt64(moved)
            if mutant(.pipedBytesDroppedAtEnd), relay.pointee.quietSplices > 4 {
                relay.pointee.received -= UInt64(relay.pointee.pipedBytes)
                leavePipe(relay)
                waitForInput(slot, session, direction)
                return false
            }
            session.pointee.lastActivityAt = now
            if relay.pointee.pipedBytes == 0 { return true }
        } else if moved != -Int(EAGAIN), moved != -Int(EINTR) {
            sideIsGone(slot, session, LostSide(destinationOf: direction))
            return false
        }
        waitForOutput(slot, session, direction)
        return false
    }

    /// Source -> pipe. True where there is something to go on with; else somebody was told to wait.
    private mutating func fillPipe(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) -> Bool {
        let relay = session.relay(direction)
        if relay.pointee.pipe == PipePool.none {
            guard let number = pipes.take(now: now) else {
                beginCopying(slot, session, direction)
                return false
            }
            relay.pointee.pipe = number
        }
        let pipe = pipes.pipe(relay.pointee.pipe)
        var most = Int(pipe.capacityBytes)
        if session.pointee.isHTTP {
            most = Int(min(UInt64(most), body(session, direction).pointee.remaining))
        }
        let moved = settings.port.splice(
            settings.port.context, session.source(direction), pipe.input, most)
        if moved > 0 {
            if session.pointee.isHTTP { noteSpliced(session, direction, moved) }
            relay.pointee.pipedBytes += UInt32(moved)
            relay.pointee.received += UInt64(moved)
            session.pointee.lastActivityAt = now
            if direction == .toClient { noteFirstByte(session) }
            relay.pointee.quietSplices = moved < Self.quietBytes ? relay.pointee.quietSplices &+ 1 : 0
            return true
        }
        if moved == 0, session.pointee.isHTTP {
            leavePipe(relay)
            httpInputEnded(slot, session, direction)
            return false
        }
        if moved == 0 {
            relay.pointee.phase = .ending
            session.pointee.lastActivityAt = now
            return true
        }
        leavePipe(relay)
        if moved == -Int(EAGAIN) || moved == -Int(EINTR) {
            waitOrGoBackToCopying(slot, session, direction)
        } else {
            sourceBroke(slot, session, direction)
        }
        return false
    }

    /// Nothing to read now, and the pipe is empty: the moment to fall back where it has turned quiet.
    private mutating func waitOrGoBackToCopying(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let isAutomatic = listenerPlan(session).pointee.relay == .automatic
        if isAutomatic, session.relay(direction).pointee.quietSplices >= Self.quietSplicesThatEndBulk {
            beginCopying(slot, session, direction)
        } else {
            waitForInput(slot, session, direction)
        }
    }

    private mutating func beginCopying(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        counters.pointee.add(.spliceDowngrades)
        session.relay(direction).pointee.phase = .copying
        session.relay(direction).pointee.fullReceives = 0
        resume(slot, session, direction)
    }

    /// Gives the pipe back; bytes still in it are lost.
    mutating func leavePipe(_ relay: UnsafeMutablePointer<Relay>) {
        guard relay.pointee.pipe != PipePool.none else { return }
        if !mutant(.pipeNotReturned) {
            pipes.giveBack(relay.pointee.pipe, isEmpty: relay.pointee.pipedBytes == 0, now: now)
            schedulePipeCheck()
        }
        relay.pointee.pipe = PipePool.none
        relay.pointee.pipedBytes = 0
    }
}
