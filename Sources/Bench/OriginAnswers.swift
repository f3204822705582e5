// What the origin does between accepting a connection and closing it: reads requests, owes answers, sends those
// that are due. Requests may be pipelined; their answers leave in order.

import Base
import Glibc
import HTTP1
import Ring

extension OriginWorker {
    func receive(_ slot: UInt32) {
        let descriptor = connections[slot].pointee.descriptor
        if isEcho {
            ring.receive(
                descriptor, group: BenchKernel.bufferGroup, length: BenchKernel.bufferSizeBytes,
                token: submitting(.receive, slot))
        } else {
            ring.receiveMultishot(
                descriptor, group: BenchKernel.bufferGroup, token: submitting(.receive, slot))
        }
    }

    mutating func received(_ slot: UInt32, _ completion: Completion) {
        let connection = connections[slot]
        if let buffer = completion.buffer {
            buffers.take(buffer, length: UInt32(max(completion.result, 0)))
            if completion.result > 0 { take(slot, buffer, count: Int(completion.result)) }
            if connection.pointee.heldBuffer != buffer { buffers.giveBack(buffer) }
        } else if completion.result == 0 {
            connection.pointee.hasEnded = true
            sendWhatIsDue(slot)
        } else if completion.result != -ENOBUFS, !connection.pointee.isClosing {
            counts.broken += 1
            close(slot)
        }
        let mayReceive = !connection.pointee.hasEnded && !connection.pointee.isClosing
        let isHolding = connection.pointee.heldBuffer != BufferRing.none
        if mayReceive, !isHolding, !connection.pointee.isInKernel(.receive) { receive(slot) }
    }

    private mutating func take(_ slot: UInt32, _ buffer: UInt16, count: Int) {
        let connection = connections[slot]
        if connection.pointee.isClosing || connection.pointee.hasEnded { return }
        counts.bytesReceived += UInt64(count)
        if isEcho {
            connection.pointee.heldBuffer = buffer
            connection.pointee.heldDue = due()
            waitUntilDue(slot, connection.pointee.heldDue)
        } else if isHTTP {
            readRequests(slot, buffer, count)
        } else {
            connection.pointee.messageBytes += count
            while connection.pointee.messageBytes >= requestBytes, !connection.pointee.hasEnded {
                connection.pointee.messageBytes -= requestBytes
                counts.requests += 1
                owe(slot, responses.kind(bodyBytes: bodyBytes, closes: false, isHTTP: false))
            }
        }
        sendWhatIsDue(slot)
    }

    private mutating func readRequests(_ slot: UInt32, _ buffer: UInt16, _ count: Int) {
        let connection = connections[slot]
        let octets = buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self)
        let kept = heads + Int(slot) * RequestReader.headLimitBytes
        var offset = 0
        while !connection.pointee.hasEnded {
            let event = connection.pointee.reader.read(
                octets, count: count, offset: &offset, kept: kept, fields: fields)
            switch event {
            case .incomplete: return
            case .wantsContinue: owe(slot, OriginResponses.interim)
            case .complete:
                counts.requests += 1
                let reader = connection.pointee.reader
                if reader.asksForLoad {
                    owe(slot, OriginResponses.load)
                    continue
                }
                let kind = responses.kind(
                    bodyBytes: reader.wantedBytes ?? bodyBytes, closes: !reader.isPersistent, isHTTP: true)
                if kind == OriginResponses.refusal { counts.refused += 1 }
                owe(slot, kind, isHeadOnly: reader.isHead)
            case .refused:
                counts.refused += 1
                owe(slot, OriginResponses.refusal)
            }
        }
    }

    // MARK: Owing

    private mutating func owe(_ slot: UInt32, _ kind: UInt16, isHeadOnly: Bool = false) {
        let connection = connections[slot]
        guard connection.pointee.owedCount < OriginConnection.owedLimit else {
            counts.refused += 1
            close(slot)
            connection.pointee.hasEnded = true
            return
        }
        // Nothing is read behind the last answer.
        if responses[kind].closes { connection.pointee.hasEnded = true }
        let isRequest = kind != OriginResponses.interim && kind != OriginResponses.load
        if isRequest { load.begin() }
        let due = isRequest ? due() : now
        answer(slot, connection.pointee.owedCount).pointee = OwedAnswer(
            due: due, startedAt: now, kind: kind, isHeadOnly: isHeadOnly)
        connection.pointee.owedCount += 1
        waitUntilDue(slot, due)
    }

    /// When an answer to what came just now is to leave.
    private mutating func due() -> UInt64 {
        guard delayNanoseconds > 0, delayedShare == 1 || random.nextUnit() < delayedShare else { return now }
        counts.delayed += 1
        return now + delayNanoseconds
    }

    private mutating func waitUntilDue(_ slot: UInt32, _ due: UInt64) {
        if due == now { return }
        delays.append(DelayQueue.Entry(due: due, slot: slot, generation: connections.generation(slot)))
    }

    /// The answer that is owed as number `index` from the next one on.
    func answer(_ slot: UInt32, _ index: Int) -> UnsafeMutablePointer<OwedAnswer> {
        let position = (connections[slot].pointee.owedFirst + index) % OriginConnection.owedLimit
        return owed + Int(slot) * OriginConnection.owedLimit + position
    }

    // MARK: Sending

    mutating func sendWhatIsDue(_ slot: UInt32) {
        let connection = connections[slot]
        if connection.pointee.isClosing || connection.pointee.isInKernel(.send) { return }
        if isEcho {
            sendBack(slot)
        } else if connection.pointee.owedCount > 0 {
            sendOwed(slot)
        } else if connection.pointee.hasEnded {
            close(slot)
        }
    }

    private mutating func sendBack(_ slot: UInt32) {
        let connection = connections[slot]
        let buffer = connection.pointee.heldBuffer
        if buffer == BufferRing.none {
            if connection.pointee.hasEnded { close(slot) }
            return
        }
        if connection.pointee.heldDue > now { return }
        connection.pointee.sendingBytes = Int(buffers.segment(buffer).pointee.length)
        ring.send(
            connection.pointee.descriptor, buffers.bytes(buffer), count: connection.pointee.sendingBytes,
            token: submitting(.send, slot))
    }

    private mutating func sendOwed(_ slot: UInt32) {
        let connection = connections[slot]
        let first = answer(slot, 0).pointee
        if first.due > now { return }
        if first.kind == OriginResponses.load { return sendLoad(slot) }
        let response = responses[first.kind]
        var count = 1
        while !first.isHeadOnly, count < min(response.copies, connection.pointee.owedCount) {
            let next = answer(slot, count).pointee
            if next.kind != first.kind || next.isHeadOnly || next.due > now { break }
            count += 1
        }
        connection.pointee.sendingCount = count
        connection.pointee.sendingBytes = first.isHeadOnly ? response.headCount : count * response.count
        ring.send(
            connection.pointee.descriptor, response.bytes, count: connection.pointee.sendingBytes,
            token: submitting(.send, slot))
    }

    mutating func sent(_ slot: UInt32, _ result: Int32) {
        let connection = connections[slot]
        if result > 0 { counts.bytesSent += UInt64(result) }
        if connection.pointee.isClosing { return }
        guard Int(result) == connection.pointee.sendingBytes else {
            counts.broken += 1
            close(slot)
            return
        }
        if isEcho {
            buffers.giveBack(connection.pointee.heldBuffer)
            connection.pointee.heldBuffer = BufferRing.none
            counts.responses += 1
            receive(slot)
            return
        }
        for index in 0..<connection.pointee.sendingCount {
            settle(answer(slot, index).pointee, isSent: true)
        }
        let kind = answer(slot, 0).pointee.kind
        if kind != OriginResponses.interim { counts.responses += UInt64(connection.pointee.sendingCount) }
        connection.pointee.owedFirst =
            (connection.pointee.owedFirst + connection.pointee.sendingCount) % OriginConnection.owedLimit
        connection.pointee.owedCount -= connection.pointee.sendingCount
        sendWhatIsDue(slot)
    }
}
