// Operations in flight: their records, how they end, and how completions reach the queue. Completions of one
// operation keep their order; those of different ones may overtake each other where one is delayed.

import CLiburing
import Glibc
import Ring

struct Operation: BitwiseCopyable {
    enum Kind: UInt8 {
        case accept, connect, receive, send, pollReadable, pollWritable, pollError, readEvent, writeLog,
            pollLog
    }

    var kind: Kind
    var isActive = true
    var isMultishot = false
    var waitsForAll = false
    /// A cancel found it busy and takes effect later.
    var isBeingCancelled = false
    /// Tells the record's users apart.
    var serial: UInt64 = 0
    var token: UInt64
    var descriptor: Int32
    /// Connection, listener or log.
    var object: Int32
    var address: UInt64 = 0
    var length: UInt32 = 0
    var transferred: UInt32 = 0
    /// What a multishot poll told last.
    var reported: Int32 = 0
    /// The provided buffer that a send sends out of; -1 for none.
    var buffer: Int32 = -1
    /// No completion of it comes before this.
    var postsAfter: UInt64 = 0
    /// A completion of it is on its way.
    var hasDelayed = false
}

extension SimulatedKernel {
    func add(_ operation: Operation) -> Int32 {
        let number: Int32
        if let free = freeOperations.popLast() {
            number = free
        } else {
            number = operationHigh
            operationHigh += 1
            precondition(Int(operationHigh) <= Self.operationLimit, "a world has fewer operations in flight")
        }
        (operations + Int(number)).initialize(to: operation)
        operations[Int(number)].serial = nextSerial
        nextSerial += 1
        return number
    }

    /// The last completion of an operation.
    func finish(_ number: Int32, result: Int32, flags: UInt32 = 0) {
        let operation = operations + Int(number)
        trace(label(operation.pointee.kind), Int64(operation.pointee.descriptor), Int64(result), Int64(flags))
        complete(operation, result: result, flags: flags)
        forget(number)
    }

    /// One completion of several.
    func progress(_ number: Int32, result: Int32, flags: UInt32) {
        let operation = operations + Int(number)
        trace(label(operation.pointee.kind), Int64(operation.pointee.descriptor), Int64(result), Int64(flags))
        complete(operation, result: result, flags: flags | UInt32(IORING_CQE_F_MORE))
    }

    private func complete(_ operation: UnsafeMutablePointer<Operation>, result: Int32, flags: UInt32) {
        var time = max(now, operation.pointee.postsAfter)
        if happens(.completionDelayed) { time += draw(upTo: plan.delayNanoseconds) }
        if cancelledComeLater { time += 1 }
        if time > now { operation.pointee.hasDelayed = true }
        guard operation.pointee.hasDelayed else {
            return post(token: operation.pointee.token, result: result, flags: flags)
        }
        // Equal times keep their order.
        operation.pointee.postsAfter = time
        schedule(
            .completionIsPosted, at: time, index: result, value: operation.pointee.token, extra: flags)
    }

    func post(token: UInt64, result: Int32, flags: UInt32) {
        guard let queues else { return }
        if queues.pointee.isFull { overflowCount += 1 }
        queues.pointee.post(token: token, result: result, flags: flags)
    }

    func forget(_ number: Int32) {
        let operation = operations[Int(number)]
        operations[Int(number)].isActive = false
        operations[Int(number)].serial = 0
        freeOperations.append(number)
        if operation.buffer >= 0 { buffers.sendEnds(Int(operation.buffer)) }
        switch operation.kind {
        case .accept: listeners[Int(operation.object)].accepting = -1
        case .connect: connections[Int(operation.object)].connecting = -1
        case .receive: connections[Int(operation.object)].receiving = -1
        case .send: connections[Int(operation.object)].sending = -1
        case .pollReadable: connections[Int(operation.object)].pollingReadable = -1
        case .pollWritable: connections[Int(operation.object)].pollingWritable = -1
        case .pollError: connections[Int(operation.object)].pollingError = -1
        case .readEvent: eventReader = -1
        case .writeLog: logs[Int(operation.object)].writing = -1
        case .pollLog: logs[Int(operation.object)].polling = -1
        }
    }

    func attempt(_ number: Int32) {
        switch operations[Int(number)].kind {
        case .accept: attemptAccept(number)
        case .connect: break
        case .receive: attemptReceive(number)
        case .send: attemptSend(number)
        case .pollReadable, .pollWritable, .pollError: attemptPoll(number)
        case .readEvent: attemptEventRead(number)
        case .writeLog: attemptLogWrite(number)
        case .pollLog: break
        }
    }

    private func label(_ kind: Operation.Kind) -> StaticString {
        switch kind {
        case .accept: "accept ends"
        case .connect: "connect ends"
        case .receive: "receive ends"
        case .send: "send ends"
        case .pollReadable: "poll in ends"
        case .pollWritable: "poll out ends"
        case .pollError: "poll error ends"
        case .readEvent: "wake ends"
        case .writeLog: "log write ends"
        case .pollLog: "log poll ends"
        }
    }

    // MARK: Cancelling

    /// By token, or with `descriptor` everything on it. Answers the request's own result.
    func cancel(token: UInt64, descriptor: Int32?) -> Int32 {
        var found: Int32 = 0
        var isBusy = false
        for number in 0..<operationHigh where operations[Int(number)].isActive {
            let operation = operations + Int(number)
            if let descriptor {
                if operation.pointee.descriptor != descriptor { continue }
            } else if operation.pointee.token != token {
                continue
            }
            if happens(.cancelMisses) { continue }
            found += 1
            if operation.pointee.isBeingCancelled { continue }
            if happens(.cancelFindsBusy) {
                isBusy = true
                operation.pointee.isBeingCancelled = true
                schedule(
                    .cancelTakesEffect, at: now + draw(upTo: plan.delayNanoseconds), index: number,
                    value: operation.pointee.serial)
            } else {
                endCancelled(number)
            }
            if descriptor == nil { return isBusy ? -EALREADY : 0 }
        }
        if descriptor != nil { return found }
        return -ENOENT
    }

    func cancelTakesEffect(_ number: Int32, serial: UInt64) {
        guard operations[Int(number)].isActive, operations[Int(number)].serial == serial else { return }
        endCancelled(number)
    }

    /// A send that has moved bytes tells how many.
    private func endCancelled(_ number: Int32) {
        let transferred = operations[Int(number)].transferred
        finish(number, result: transferred > 0 ? Int32(bitPattern: transferred) : -ECANCELED)
    }
}
