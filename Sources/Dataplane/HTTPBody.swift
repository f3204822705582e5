// Bodies on their way through: received buffers go from a relay's input to its queue, chunk framing written anew
// in place. Small pieces are copied behind what waits to be sent, so that they take no send of their own.

import Base
import HTTP1
import Ring
import Telemetry

/// What a step of a body came to.
enum BodyStep {
    case goesOn
    case refused(Refusal)
    /// Every buffer is in use.
    case noBuffer
}

extension Worker {
    /// Bodies with more than this left to come are spliced.
    static var bytesThatMakeBulk: UInt64 { 64 * 1024 }
    /// How much of a response is received at first where a long body is expected.
    static var bulkHeadBytes: Int { 4096 }
    /// So many short responses in a row end that expectation.
    private static var shortResponsesThatEndBulk: UInt8 { 8 }

    /// The last responses of the pool were long. A multishot receive would take much of such a body before it can
    /// be stopped.
    @inline(__always)
    func expectsBulk(_ pool: UnsafeMutablePointer<WorkerPool>) -> Bool { pool.pointee.bulkHint > 0 }

    @inline(__always)
    func noteLength(_ body: BodyState, _ pool: UnsafeMutablePointer<WorkerPool>) {
        if body.framing == .length, body.remaining >= Self.bytesThatMakeBulk {
            pool.pointee.bulkHint = Self.shortResponsesThatEndBulk
        } else if pool.pointee.bulkHint > 0 {
            pool.pointee.bulkHint -= 1
        }
    }

    /// Passes on what has come of a body. `behind` is a buffer that is not sent yet and takes what fits, or none;
    /// `taken` counts the bytes that were received for it.
    mutating func passBody(
        _ relay: UnsafeMutablePointer<Relay>, _ body: inout BodyState, behind: UInt16, _ taken: inout UInt64
    ) -> BodyStep {
        while body.phase == .body, relay.pointee.input.count > 0 {
            let segment = buffers.segment(relay.pointee.input.head)
            let length = Int(segment.pointee.length)
            if length == 0 {
                dropEmptyInput(relay)
                continue
            }
            switch body.framing {
            case .none: preconditionFailure("a message without a body has none to pass")
            case .length:
                let count = Int(min(UInt64(length), body.remaining))
                body.remaining -= UInt64(count)
                taken += UInt64(count)
                if body.remaining == 0 || mutant(.lastByteLeftOut) && body.remaining == 1 {
                    body.phase = .done
                }
                if !moveInput(relay, consumed: count, produced: count, behind) { return .noBuffer }
            case .untilClose:
                taken += UInt64(length)
                let isMoved =
                    body.mode == .identity
                    ? moveInput(relay, consumed: length, produced: length, behind)
                    : wrapInput(relay, behind)
                if !isMoved { return .noBuffer }
            case .chunked:
                let octets = (buffers.bytes(relay.pointee.input.head) + Int(segment.pointee.offset))
                    .assumingMemoryBound(to: UInt8.self)
                let step: ChunkedBody.Step
                do throws(Refusal) {
                    step = try body.chunks.process(octets, count: length, mode: body.mode)
                } catch {
                    return .refused(error)
                }
                taken += UInt64(step.consumed)
                if body.chunks.isDone { body.phase = .done }
                if !moveInput(relay, consumed: step.consumed, produced: step.produced, behind) {
                    return .noBuffer
                }
                // Trailers that have not all come are held back.
                if step.consumed < length, body.phase == .body, !joinInput(relay) { return .goesOn }
            }
        }
        return .goesOn
    }

    /// The first `consumed` bytes of the input are dealt with, and its first `produced` bytes are to be sent.
    /// False where there is no buffer for them.
    private mutating func moveInput(
        _ relay: UnsafeMutablePointer<Relay>, consumed: Int, produced: Int, _ behind: UInt16
    ) -> Bool {
        let segment = buffers.segment(relay.pointee.input.head)
        // What is queued goes out behind `behind`, and before these bytes.
        if produced == 0
            || relay.pointee.queue.isEmpty && copy(produced, of: relay.pointee.input.head, behind)
        {
            consumeInput(relay, consumed)
            return true
        }
        if consumed == Int(segment.pointee.length) {
            segment.pointee.length = UInt32(produced)
            let buffer = buffers.removeFirst(from: &relay.pointee.input)
            buffers.append(buffer, to: &relay.pointee.queue)
            return true
        }
        guard let buffer = buffers.takeSpare() else { return false }
        _ = copy(produced, of: relay.pointee.input.head, buffer)
        buffers.append(buffer, to: &relay.pointee.queue)
        consumeInput(relay, consumed)
        return true
    }

    /// Copies the first bytes of a buffer behind those of another that is not sent yet; false where they do not fit.
    private func copy(_ count: Int, of source: UInt16, _ target: UInt16) -> Bool {
        guard target != BufferRing.none else { return false }
        let segment = buffers.segment(target)
        let end = Int(segment.pointee.offset + segment.pointee.length)
        guard end + count <= buffers.bufferSizeBytes else { return false }
        (buffers.bytes(target) + end).copyMemory(
            from: buffers.bytes(source) + Int(buffers.segment(source).pointee.offset), byteCount: count)
        segment.pointee.length += UInt32(count)
        return true
    }

    /// The first input buffer goes out as chunks, in buffers of our own (or behind another).
    private mutating func wrapInput(_ relay: UnsafeMutablePointer<Relay>, _ behind: UInt16) -> Bool {
        var behind = relay.pointee.queue.isEmpty ? behind : BufferRing.none
        let source = buffers.segment(relay.pointee.input.head)
        var left = Int(source.pointee.length)
        while left > 0 {
            var isNew = false
            if behind == BufferRing.none {
                guard let buffer = buffers.takeSpare() else { return false }
                (behind, isNew) = (buffer, true)
            }
            let target = buffers.segment(behind)
            let place = buffers.bytes(behind) + Int(target.pointee.length)
            let room = buffers.bufferSizeBytes - Int(target.pointee.length) - HeadWriter.chunkSizeBytes - 2
            let count = min(left, room)
            if count > 0 {
                var writer = HeadWriter(
                    place.assumingMemoryBound(to: UInt8.self), capacity: room + HeadWriter.chunkSizeBytes + 2)
                writer.appendChunkSize(count)
                let start = buffers.bytes(relay.pointee.input.head) + Int(source.pointee.offset)
                writer.append(start.assumingMemoryBound(to: UInt8.self), count: count)
                writer.appendLineEnd()
                target.pointee.length += UInt32(writer.count)
                source.pointee.offset += UInt32(count)
                source.pointee.length -= UInt32(count)
                left -= count
            }
            if isNew { buffers.append(behind, to: &relay.pointee.queue) }
            behind = BufferRing.none
        }
        dropEmptyInput(relay)
        return true
    }

    /// The end of a body that is sent in chunks although it came without. False where there is no buffer.
    mutating func endWrapped(_ relay: UnsafeMutablePointer<Relay>) -> Bool {
        guard let buffer = buffers.takeSpare() else { return false }
        var writer = HeadWriter(
            buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self), capacity: buffers.bufferSizeBytes)
        writer.appendLastChunk()
        buffers.segment(buffer).pointee.length = UInt32(writer.count)
        buffers.append(buffer, to: &relay.pointee.queue)
        return true
    }

    // MARK: Splicing

    /// The body that goes in a direction.
    func body(
        _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) -> UnsafeMutablePointer<BodyState> {
        let offset =
            direction == .toBackend
            ? MemoryLayout<Exchange>.offset(of: \Exchange.request)!
            : MemoryLayout<Exchange>.offset(of: \Exchange.response)!
        return (UnsafeMutableRawPointer(exchange(session)) + offset).assumingMemoryBound(to: BodyState.self)
    }

    /// A long rest of a body goes by splice.
    mutating func noteBody(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) {
        guard session.pointee.state == .relaying, session.pointee.exchange != Exchange.none else { return }
        let relay = session.relay(direction)
        let body = body(session, direction)
        guard relay.pointee.phase == .copying, body.pointee.phase == .body, body.pointee.framing == .length,
            body.pointee.remaining >= Self.bytesThatMakeBulk,
            listenerPlan(session).pointee.relay != .copy, pipes.hasRoom(now: now)
        else { return }
        relay.pointee.phase = .switching
        if session.isInKernel(.receive(direction)) {
            stopReceiving(slot, session, direction)
        } else {
            resume(slot, session, direction)
        }
    }

    /// The rest of a body came while the receive was being stopped: the next one must not be spliced in its place.
    func forgetSwitch(_ relay: UnsafeMutablePointer<Relay>) {
        if relay.pointee.phase == .switching { relay.pointee.phase = .copying }
    }

    /// So many bytes of a body went into the pipe.
    func noteSpliced(_ session: UnsafeMutablePointer<Session>, _ direction: Direction, _ count: Int) {
        let body = body(session, direction)
        body.pointee.remaining -= UInt64(count)
        if body.pointee.remaining == 0 { body.pointee.phase = .done }
        if direction == .toBackend { exchange(session).pointee.bytesIn += UInt64(count) }
    }

    /// The pipe is empty. True where the body is over.
    mutating func endSplicedBody(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ direction: Direction
    ) -> Bool {
        guard body(session, direction).pointee.phase == .done else { return false }
        let relay = session.relay(direction)
        leavePipe(relay)
        relay.pointee.phase = .copying
        if direction == .toBackend {
            resume(slot, session, direction)
            requestSent(slot, session)
        } else {
            responseReceived(slot, session)
        }
        return true
    }
}
