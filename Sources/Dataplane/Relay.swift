// Moves bytes one way between two sockets; a session has two relays. Small traffic is copied: the kernel
// picks a buffer when data is there, and that buffer goes out as it is. Bulk goes by splice (Splice.swift).
//
//   copying <-> switching -> splicing        input ended: ending -> ended
//
// Backpressure: with `queueLimit` buffers unsent a relay stops receiving, and goes on when the queue has
// run down to `queueResumes`.

import Base
import Glibc
import Ring
import Telemetry

enum RelayPhase: UInt8 {
    /// Received buffers are queued and sent.
    case copying
    /// Bulk was seen: no more receives; splicing begins when the queue is sent.
    case switching
    /// Bytes go through a pipe within the kernel.
    case splicing
    /// The source said that it is done; what is queued is still to be sent.
    case ending
    /// The destination was told. Nothing moves any more.
    case ended
}

struct Relay: BitwiseCopyable {
    var phase = RelayPhase.copying
    /// Completed receives in a row that filled their buffer.
    var fullReceives: UInt8 = 0
    /// Splices in a row that moved little.
    var quietSplices: UInt8 = 0
    /// True exactly while it stands in the worker's list of those who wait for buffers.
    var isStarved = false
    /// True exactly while the session's timer is to look whether the destination has room (`roomPolled`), or
    /// has taken over all (`resetWhenDelivered`).
    var waitsForTimer = false
    /// What is to be sent: in tcp mode the received buffers themselves.
    var queue = BufferQueue()
    /// In http mode: received and not yet understood.
    var input = BufferQueue()
    /// In the worker's pool of pipes; `PipePool.none` where it holds none.
    var pipe = PipePool.none
    /// Bytes in that pipe.
    var pipedBytes: UInt32 = 0
    /// Bytes taken from the source, and given to the destination.
    var received: UInt64 = 0
    var delivered: UInt64 = 0
}

extension Worker {
    /// So much in one receive counts as a full buffer: larger ones than this are hardly ever filled.
    private static var fullReceiveBytes: Int { 64 * 1024 }
    /// So many full buffers in a row make a direction bulk.
    static var fullReceivesThatMakeBulk: UInt8 { 4 }

    mutating func beginRelaying(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        session.pointee.state = .relaying
        session.pointee.lastActivityAt = now
        setIdleTimer(slot, session)
        if listenerPlan(session).pointee.relay == .splice {
            session.relay(.toBackend).pointee.phase = .splicing
            session.relay(.toClient).pointee.phase = .splicing
            waitForInput(slot, session, .toBackend)
            waitForInput(slot, session, .toClient)
        } else {
            receive(slot, session, .toBackend)
            receive(slot, session, .toClient)
        }
    }

    // MARK: Receiving

    /// Arms the receive of a copying relay.
    mutating func receive(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction) {
        let operation = Operation.receive(direction)
        let token = submitting(operation, slot, session)
        if direction == .toClient, session.pointee.isHTTP, expectsBulk(session.pointee.pool) {
            // The head only: the body behind it goes by splice.
            ring.receive(
                session.source(direction), group: Self.bufferGroup, length: Self.bulkHeadBytes, token: token)
        } else if buffers.isShort {
            // A multishot receive takes several before it can be stopped.
            ring.receive(
                session.source(direction), group: Self.bufferGroup, length: buffers.bufferSizeBytes,
                token: token)
        } else {
            ring.receiveMultishot(session.source(direction), group: Self.bufferGroup, token: token)
        }
    }

    mutating func received(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction,
        _ completion: Completion
    ) {
        let relay = session.relay(direction)
        guard completion.result > 0, let buffer = completion.buffer else {
            if let buffer = completion.buffer { discard(buffer) }
            receiveEnded(slot, session, direction, completion.result)
            return
        }
        if relay.pointee.phase == .ended || session.pointee.state == .lingering {
            // The destination is gone, or all was said; nobody else wants it.
            discard(buffer)
            if session.pointee.state == .lingering { resume(slot, session, direction) }
            return
        }
        let length = UInt32(completion.result)
        buffers.take(buffer, length: length)
        relay.pointee.received += UInt64(length)
        if mutant(.bytesOffByOne), Int(length) == buffers.bufferSizeBytes { relay.pointee.received -= 1 }
        session.pointee.lastActivityAt = now
        if session.pointee.isHTTP {
            httpReceived(slot, session, direction, buffer)
            return
        }
        if direction == .toClient { noteFirstByte(session) }
        enqueue(buffer, relay)
        if !session.isInKernel(.send(direction)) || mutant(.twoSends) { sendNext(slot, session, direction) }
        noteSize(slot, session, direction, length)
        if relay.pointee.phase == .copying { keepReceiving(slot, session, direction) }
        // The kernel may have missed the cancel (see `cancelAll`).
        if relay.pointee.phase == .switching, session.isInKernel(.receive(direction)) {
            stopReceiving(slot, session, direction)
        }
    }

    /// Goes on receiving, or stops where too much is unsent.
    mutating func keepReceiving(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        let isReceiving = session.isInKernel(.receive(direction))
        if relay.pointee.queue.count + relay.pointee.input.count >= max(queueLimit, leastLimit(session)) {
            if isReceiving { stopReceiving(slot, session, direction) }
            watchSource(slot, session, direction)
        } else if !isReceiving, !relay.pointee.isStarved, !session.isInKernel(.cancelReceive(direction)) {
            receive(slot, session, direction)
        }
    }

    /// In http mode a head that has come in part waits in one buffer for the rest.
    @inline(__always)
    private func leastLimit(_ session: UnsafeMutablePointer<Session>) -> UInt16 {
        session.pointee.isHTTP ? 2 : 0
    }

    /// A receive ended without data.
    private mutating func receiveEnded(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ result: Int32
    ) {
        let relay = session.relay(direction)
        // Nobody wants more of it: its destination is gone.
        if relay.pointee.phase == .ended, result >= 0 || Self.isNoFailure(-result) { return }
        switch -result {
        case 0:
            inputEnded(slot, session, direction)
        case ENOBUFS:
            counters.pointee.add(.buffersExhausted)
            if relay.pointee.phase == .copying {
                starve(slot, session, direction)
            } else {
                resume(slot, session, direction)
            }
        case ECANCELED, EAGAIN, EINTR:
            // Stopped by `stopReceiving`; `resume` decides what comes next.
            resume(slot, session, direction)
        default:
            sourceBroke(slot, session, direction)
        }
    }

    /// A receive that ended so may be tried again.
    private static func isNoFailure(_ code: Int32) -> Bool {
        code == ENOBUFS || code == ECANCELED || code == EAGAIN || code == EINTR
    }

    /// Nobody reads from the source until the destination has taken what is queued, which may be long: a
    /// reset of the source is to be noticed all the same.
    mutating func watchSource(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if session.isInKernel(.watch(direction)) { return }
        ring.watchErrors(session.source(direction), token: submitting(.watch(direction), slot, session))
    }

    /// A peer that only sent its end wakes the watch as well, without an error: that is no reset.
    mutating func watched(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction,
        _ completion: Completion
    ) {
        if completion.isPollError {
            if session.pointee.state == .connecting, !session.pointee.isHTTP {
                finish(slot, session, .clientReset)
                return
            }
            sideIsGone(slot, session, LostSide(sourceOf: direction))
        } else if !completion.hasMore {
            watchSource(slot, session, direction)
        }
    }

    mutating func stopReceiving(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        guard !session.isInKernel(.cancelReceive(direction)) else { return }
        let target = token(.receive(direction), slot, session)
        ring.cancel(target, token: submitting(.cancelReceive(direction), slot, session))
    }

    mutating func receiveCancelled(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if mutant(.cancelledReceiveNotResumed) { return }
        resume(slot, session, direction)
    }

    /// Something that held a relay back is gone: receives again, or begins to splice.
    mutating func resume(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let relay = session.relay(direction)
        if session.isInKernel(.receive(direction)) || session.isInKernel(.cancelReceive(direction)) { return }
        switch relay.pointee.phase {
        case .copying:
            let held = relay.pointee.queue.count + relay.pointee.input.count
            if held <= max(queueResumes, leastLimit(session) / 2), !relay.pointee.isStarved {
                receive(slot, session, direction)
            }
        case .switching:
            if relay.pointee.queue.count == 0 { beginSplicing(slot, session, direction) }
        case .splicing, .ending, .ended: break
        }
    }

    /// Several full buffers in a row: this direction moves bulk.
    private mutating func noteSize(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ length: UInt32
    ) {
        let relay = session.relay(direction)
        guard Int(length) >= min(buffers.bufferSizeBytes, Self.fullReceiveBytes) else {
            relay.pointee.fullReceives = 0
            return
        }
        relay.pointee.fullReceives &+= 1
        guard relay.pointee.fullReceives >= Self.fullReceivesThatMakeBulk, relay.pointee.phase == .copying,
            listenerPlan(session).pointee.relay != .copy, pipes.hasRoom(now: now)
        else { return }
        relay.pointee.fullReceives = 0
        relay.pointee.phase = .switching
        if session.isInKernel(.receive(direction)) { stopReceiving(slot, session, direction) }
    }

    // MARK: Sending

    mutating func enqueue(_ buffer: UInt16, _ relay: UnsafeMutablePointer<Relay>) {
        if mutant(.receivesInWrongOrder), relay.pointee.queue.count > 1 {
            let second = buffers.segment(relay.pointee.queue.head).pointee.next
            buffers.segment(buffer).pointee.next = second
            buffers.segment(relay.pointee.queue.head).pointee.next = buffer
            relay.pointee.queue.count += 1
            return
        }
        buffers.append(buffer, to: &relay.pointee.queue)
    }

    mutating func sendNext(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        let buffer = session.relay(direction).pointee.queue.head
        let segment = buffers.segment(buffer)
        ring.send(
            session.destination(direction), buffers.bytes(buffer) + Int(segment.pointee.offset),
            count: Int(segment.pointee.length), token: submitting(.send(direction), slot, session))
    }

    mutating func sent(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ result: Int32
    ) {
        let relay = session.relay(direction)
        guard result >= 0 else {
            sendFailed(slot, session, direction, -result)
            return
        }
        noteSent(relay, UInt32(result))
        session.pointee.lastActivityAt = now
        if session.pointee.isHTTP {
            httpSent(slot, session, direction)
            return
        }
        if relay.pointee.phase == .ended {
            dropQueue(relay)
            return
        }
        if relay.pointee.queue.count > 0 {
            sendNext(slot, session, direction)
        } else if relay.pointee.phase == .ending {
            passOnEnd(slot, session, direction)
            return
        }
        if relay.pointee.phase == .copying || relay.pointee.phase == .switching {
            resume(slot, session, direction)
        }
    }

    /// So many bytes of the oldest buffer are out.
    mutating func noteSent(_ relay: UnsafeMutablePointer<Relay>, _ count: UInt32) {
        relay.pointee.delivered += UInt64(count)
        let segment = buffers.segment(relay.pointee.queue.head)
        segment.pointee.length -= count
        if mutant(.shortSendRepeated), segment.pointee.length > 0 { return }
        segment.pointee.offset += count
        if segment.pointee.length == 0 { dequeue(relay) }
    }

    private mutating func sendFailed(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ code: Int32
    ) {
        if code == EAGAIN || code == EINTR {
            sendNext(slot, session, direction)
            return
        }
        if session.relay(direction).pointee.phase == .ended { dropQueue(session.relay(direction)) }
        sideIsGone(slot, session, LostSide(destinationOf: direction))
    }

    /// The oldest buffer is sent: the kernel gets it back.
    private mutating func dequeue(_ relay: UnsafeMutablePointer<Relay>) {
        let buffer = buffers.removeFirst(from: &relay.pointee.queue)
        if mutant(.lostBuffer), relay.pointee.phase == .ending { return }
        if !buffers.segment(buffer).pointee.isKept { buffers.giveBack(buffer) }
    }

    /// Gives back every queued buffer; none may be in a send.
    mutating func dropQueue(_ relay: UnsafeMutablePointer<Relay>) {
        buffers.drop(&relay.pointee.queue)
    }

    // MARK: Waiting for buffers

    private mutating func starve(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        if session.relay(direction).pointee.isStarved { return }
        session.relay(direction).pointee.isStarved = true
        if mutant(.missedRearmAfterNoBuffers) { return }
        starved.append(slot, direction)
    }

    mutating func leaveStarved(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        guard session.relay(direction).pointee.isStarved else { return }
        session.relay(direction).pointee.isStarved = false
        if mutant(.missedRearmAfterNoBuffers) { return }
        starved.remove(slot, direction)
    }

    /// Buffers came back in this turn: who waits longest receives first, one buffer each.
    mutating func resumeStarved() {
        var free = buffers.inKernelCount
        while free > 0, let (slot, direction) = starved.first {
            let session = sessions[slot]
            leaveStarved(slot, session, direction)
            resume(slot, session, direction)
            // One whose own queue is long receives later, and leaves the buffer to the next.
            if session.isInKernel(.receive(direction)) { free -= 1 }
        }
    }
}
