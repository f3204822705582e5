// Requests and answers of the load generator: what a connection does between being made and being closed.

import Base
import Glibc
import HTTP1
import Ring

extension LoadWorker {
    /// A slow reader takes so much, so often.
    static let slowPieceBytes = 1024
    static let slowPauseNanoseconds: UInt64 = 100_000_000

    @inline(__always)
    func isSlow(_ number: UInt32) -> Bool { number >= plan.measuredConnections }

    /// Whether each receive is asked for by itself: then nothing of the connection is in the kernel once it is
    /// answered, and it can be closed at once.
    @inline(__always)
    func receivesOnce(_ number: UInt32) -> Bool { plan.isFresh || isSlow(number) }

    // MARK: Beginning

    /// Of an open loop: everything that is due, as far as there are connections.
    mutating func beginDueRequests() {
        while mayBegin, !idle.isEmpty, let intended = schedule?.take(now: now), let number = idle.popFirst() {
            begin(number, startedAt: intended)
        }
    }

    /// The connection is free: it waits for a request, or begins the next one.
    mutating func becameIdle(_ number: UInt32) {
        connections[Int(number)].state = .idle
        if isSlow(number) {
            if phase == .running { begin(number, startedAt: now) }
        } else if plan.rate == nil, phase == .running, mayBegin {
            begin(number, startedAt: now)
        } else {
            idle.append(number)
        }
    }

    /// The connection is in no list.
    mutating func begin(_ number: UInt32, startedAt: UInt64) {
        let connection = connections + Int(number)
        connection.pointee.startedAt = startedAt
        connection.pointee.kind = requests.draw(&random)
        if !isSlow(number) {
            busyCount += 1
            begunCount += 1
        }
        if connection.pointee.descriptor < 0 {
            connection.pointee.hasRequest = true
            open(number)
        } else {
            send(number)
        }
    }

    mutating func send(_ number: UInt32) {
        let connection = connections + Int(number)
        let request = requests[connection.pointee.kind]
        connection.pointee.state = .busy
        connection.pointee.hasRequest = false
        connection.pointee.reader = ResponseReader()
        connection.pointee.remaining = request.responseBytes ?? 0
        let token = connection.pointee.submitting(.send, number: number)
        ring.send(connection.pointee.descriptor, request.bytes, count: request.count, token: token)
        if isSlow(number) {
            timers.set(number, deadline: now + Self.slowPauseNanoseconds)
        } else if receivesOnce(number) {
            receive(number)
        }
    }

    mutating func receive(_ number: UInt32) {
        let connection = connections + Int(number)
        let token = connection.pointee.submitting(.receive, number: number)
        let descriptor = connection.pointee.descriptor
        if receivesOnce(number) {
            let length = isSlow(number) ? Self.slowPieceBytes : BenchKernel.bufferSizeBytes
            ring.receive(descriptor, group: BenchKernel.bufferGroup, length: length, token: token)
        } else {
            ring.receiveMultishot(descriptor, group: BenchKernel.bufferGroup, token: token)
        }
    }

    // MARK: Completions

    mutating func dispatch(_ completion: Completion) {
        let number = completion.token.slot
        let connection = connections + Int(number)
        let operation = LoadConnection.Operation(rawValue: completion.token.operation)
        precondition(
            completion.token.matches(generation: connection.pointee.generation) && operation != .close,
            "a completion belongs to a submission")
        guard let operation else { return }
        if !completion.hasMore { connection.pointee.inKernel &= ~operation.rawValue }
        switch operation {
        case .connect: connected(number, completion.result)
        case .send: sent(number, completion.result)
        case .receive: received(number, completion)
        case .close: break
        }
        if connection.pointee.state == .closing, connection.pointee.inKernel == 0 { closed(number) }
    }

    private mutating func sent(_ number: UInt32, _ result: Int32) {
        let connection = connections + Int(number)
        if result > 0 { counts.bytesSent += UInt64(result) }
        let isWhole = Int(result) == requests[connection.pointee.kind].count
        switch connection.pointee.state {
        case .answered: isWhole ? next(number) : close(number)
        // Whether there is an answer all the same, the receive says; it ends where the connection is broken.
        case .busy: if !isWhole, isSlow(number) { lost(number, .reset) }
        default: break
        }
    }

    private mutating func received(_ number: UInt32, _ completion: Completion) {
        if let buffer = completion.buffer {
            buffers.take(buffer, length: UInt32(max(completion.result, 0)))
            if completion.result > 0 { take(number, buffer, count: Int(completion.result)) }
            buffers.giveBack(buffer)
        } else if completion.result == 0 {
            ended(number)
        } else if completion.result != -ENOBUFS {
            broken(number)
        }
        rearm(number)
    }

    /// Goes on receiving where the kernel has ended it, or where each receive is asked for by itself.
    private mutating func rearm(_ number: UInt32) {
        let connection = connections + Int(number)
        guard connection.pointee.inKernel & LoadConnection.Operation.receive.rawValue == 0 else { return }
        switch connection.pointee.state {
        case .busy where isSlow(number):
            timers.set(number, deadline: now + Self.slowPauseNanoseconds)
        case .busy: receive(number)
        case .idle, .answered:
            if !receivesOnce(number), connection.pointee.descriptor >= 0 { receive(number) }
        default: break
        }
    }

    private mutating func take(_ number: UInt32, _ buffer: UInt16, count: Int) {
        let connection = connections + Int(number)
        counts.bytesReceived += UInt64(count)
        switch connection.pointee.state {
        case .busy: break
        case .idle, .answered:
            counts.add(.unexpectedBytes)
            close(number)
            return
        default: return
        }
        let progress = plan.isHTTP ? readHTTP(number, buffer, count) : readTCP(connection, count)
        switch progress {
        case .incomplete: break
        case .complete: answered(number)
        case .failed(let kind): lost(number, kind)
        }
    }

    private func readHTTP(_ number: UInt32, _ buffer: UInt16, _ count: Int) -> ResponseReader.Progress {
        let octets = buffers.bytes(buffer).assumingMemoryBound(to: UInt8.self)
        return connections[Int(number)].reader.read(
            octets, count: count, kept: heads + Int(number) * ResponseReader.headLimitBytes, fields: fields)
    }

    private func readTCP(
        _ connection: UnsafeMutablePointer<LoadConnection>, _ count: Int
    ) -> ResponseReader.Progress {
        guard UInt64(count) <= connection.pointee.remaining else { return .failed(.unexpectedBytes) }
        connection.pointee.remaining -= UInt64(count)
        return connection.pointee.remaining == 0 ? .complete : .incomplete
    }

    // MARK: Ends of a request

    /// The whole answer is there; whether it is a good one, its status and length say.
    private mutating func answered(_ number: UInt32) {
        let connection = connections + Int(number)
        if !isSlow(number) { busyCount -= 1 }
        if let kind = complaint(connection) {
            counts.add(kind)
        } else if isSlow(number) {
            counts.slowAnswered += 1
        } else {
            counts.answered += 1
            if phase == .running { counts.answeredInTime += 1 }
            histogram.record(now &- connection.pointee.startedAt)
        }
        if connection.pointee.inKernel & LoadConnection.Operation.send.rawValue != 0 {
            connection.pointee.state = .answered
        } else {
            next(number)
        }
    }

    private func complaint(_ connection: UnsafeMutablePointer<LoadConnection>) -> ErrorKind? {
        if !plan.isHTTP { return nil }
        switch connection.pointee.reader.status {
        case 200..<300: break
        case ..<400: return .status3xx
        case ..<500: return .status4xx
        default: return .status5xx
        }
        let wanted = requests[connection.pointee.kind].responseBytes
        return wanted == nil || wanted == connection.pointee.reader.bodyBytes ? nil : .wrongLength
    }

    /// The request is over, and the connection good.
    private mutating func next(_ number: UInt32) {
        let isKept = !plan.isFresh && (!plan.isHTTP || connections[Int(number)].reader.isPersistent)
        if isKept { becameIdle(number) } else { close(number) }
    }

    /// The other side sends no more.
    private mutating func ended(_ number: UInt32) {
        let connection = connections + Int(number)
        switch connection.pointee.state {
        case .busy where plan.isHTTP && connection.pointee.reader.endsWithConnection:
            answered(number)
        case .busy: lost(number, .closedEarly)
        case .idle, .answered: close(number)
        default: break
        }
    }

    private mutating func broken(_ number: UInt32) {
        switch connections[Int(number)].state {
        case .busy: lost(number, .reset)
        case .idle, .answered: close(number)
        default: break
        }
    }

    /// The request failed, and the connection is of no use any more.
    mutating func lost(_ number: UInt32, _ kind: ErrorKind) {
        let connection = connections + Int(number)
        counts.add(kind)
        let hasRequest = connection.pointee.state == .busy || connection.pointee.hasRequest
        if hasRequest, !isSlow(number) { busyCount -= 1 }
        connection.pointee.hasRequest = false
        if connection.pointee.state != .connecting { close(number) }
    }
}
