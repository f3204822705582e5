// What the worker has besides connections: logs that may stall or fail, the event counter that wakes it, and
// pipes for splicing.

import CLiburing
import Glibc

struct Log {
    var descriptor: Int32
    var writing: Int32 = -1
    var polling: Int32 = -1
    /// Takes no bytes before this.
    var stallsUntil: UInt64 = 0
    var isReady = true
}

struct Pipe {
    /// A run of bytes of one stream.
    struct Run {
        var connection: Int32
        var position: UInt64
        var count: UInt64
    }
    var capacityBytes: Int
    var runs: [Run] = []
    var heldBytes = 0
    var openEnds = 2
}

extension SimulatedKernel {
    // MARK: Logs

    /// A log's descriptor; the world's to keep open.
    public func openLog() -> Int32 {
        let descriptor = descriptors.open(.log, Int32(logs.count))
        logs.append(Log(descriptor: descriptor))
        return descriptor
    }

    func attemptLogWrite(_ number: Int32) {
        let operation = operations[Int(number)]
        let log = operation.object
        if logs[Int(log)].stallsUntil > now { return }
        if happens(.logStall) {
            logs[Int(log)].stallsUntil = now + plan.logStallNanoseconds
            return schedule(.logGoesOn, at: logs[Int(log)].stallsUntil, index: log)
        }
        if happens(.logAgain) {
            logs[Int(log)].isReady = false
            schedule(.logGoesOn, at: now + draw(upTo: plan.logStallNanoseconds), index: log)
            return finish(number, result: -EAGAIN)
        }
        for (fault, code) in [(Fault.logNoSpace, ENOSPC), (.logBrokenPipe, EPIPE)] where happens(fault) {
            world?.logLost(log)
            return finish(number, result: -code)
        }
        var count = Int(operation.length)
        if happens(.logShort) { count = 1 + Int(draw(upTo: UInt64(count - 1))) }
        let memory = UnsafeRawPointer(bitPattern: UInt(operation.address))
        world?.logReceived(log, UnsafeRawBufferPointer(start: memory, count: count))
        finish(number, result: Int32(count))
    }

    func logGoesOn(_ log: Int32) {
        logs[Int(log)].isReady = true
        if logs[Int(log)].polling >= 0 { finish(logs[Int(log)].polling, result: Int32(POLLOUT)) }
        if logs[Int(log)].writing >= 0 { attempt(logs[Int(log)].writing) }
    }

    // MARK: The event counter

    public func openEventCounter() -> Int32 { descriptors.open(.event, 0) }

    public func addToEventCounter() {
        eventValue += 1
        if eventReader >= 0 { attempt(eventReader) }
    }

    func attemptEventRead(_ number: Int32) {
        if eventValue == 0 { return }
        if happens(.wakeInterrupted) { return finish(number, result: -EINTR) }
        UnsafeMutablePointer<UInt64>(bitPattern: UInt(operations[Int(number)].address))!.pointee = eventValue
        eventValue = 0
        finish(number, result: 8)
    }

    // MARK: Pipes

    func makePipe(_ numbers: UnsafeMutablePointer<Int32>, _ capacityBytes: Int32) -> Int32 {
        if happens(.pipeOutOfDescriptors) || descriptors.openCount + 2 > plan.descriptorLimit {
            return -EMFILE
        }
        let index = Int32(pipes.count)
        let granted = min(capacityBytes, plan.pipeBytes)
        pipes.append(Pipe(capacityBytes: Int(granted)))
        numbers[0] = descriptors.open(.pipeOutput, index)
        numbers[1] = descriptors.open(.pipeInput, index)
        return granted
    }

    func splice(_ input: Int32, _ output: Int32, _ length: Int) -> Int {
        let (source, destination) = (descriptors[input], descriptors[output])
        switch (source.kind, destination.kind) {
        case (.connection, .pipeInput): return fill(destination.index, from: source.index, length)
        case (.pipeOutput, .connection): return drain(source.index, into: destination.index, length)
        default:
            fail("splice from \(source.kind) to \(destination.kind)")
            return -Int(EBADF)
        }
    }

    private func fill(_ pipe: Int32, from index: Int32, _ length: Int) -> Int {
        let connection = connections + Int(index)
        if connection.pointee.receiving >= 0 { fail("a splice beside a receive") }
        let free = pipes[Int(pipe)].capacityBytes - pipes[Int(pipe)].heldBytes
        let available = Int(connection.pointee.toUs.unread)
        if available == 0 {
            if let failure = takeError(connection) { return -Int(failure) }
            let isOver = connection.pointee.toUs.hasEndArrived || connection.pointee.resetReachedUs
            guard isOver else { return -Int(EAGAIN) }
            connection.pointee.movedAt = now
            return 0
        }
        if free == 0 || happens(.spliceAgain) { return -Int(EAGAIN) }
        var count = min(length, available, free)
        if happens(.shortSplice) { count = 1 + Int(draw(upTo: UInt64(count - 1))) }
        let position = connection.pointee.toUs.read
        pipes[Int(pipe)].heldBytes += count
        pipes[Int(pipe)].runs.append(
            Pipe.Run(connection: index, position: position, count: UInt64(count)))
        tookFromUs(index, UInt64(count))
        trace("splice in", Int64(index), Int64(count))
        return count
    }

    private func drain(_ pipe: Int32, into index: Int32, _ length: Int) -> Int {
        let connection = connections + Int(index)
        if connection.pointee.sending >= 0 { fail("a splice beside a send") }
        if let failure = writeError(connection) { return -Int(failure) }
        guard let run = pipes[Int(pipe)].runs.first else { return -Int(EAGAIN) }
        let room = connection.pointee.room(connection.pointee.toPeer)
        if room == 0 || happens(.spliceAgain) { return -Int(EAGAIN) }
        var count = min(UInt64(length), run.count, room)
        if happens(.shortSplice) { count = 1 + draw(upTo: count - 1) }
        if plan.carriesBytes {
            store.pass(Int(count), from: run.connection, at: run.position, to: index)
        } else if run.connection != connection.pointee.pair
            || run.position != connection.pointee.toPeer.written
        {
            fail(
                "spliced bytes of connection \(run.connection) at \(run.position) go to \(index), "
                    + "which has \(connection.pointee.toPeer.written) of \(connection.pointee.pair)")
        }
        if run.count == count {
            pipes[Int(pipe)].runs.removeFirst()
        } else {
            pipes[Int(pipe)].runs[0].count -= count
            pipes[Int(pipe)].runs[0].position += count
        }
        pipes[Int(pipe)].heldBytes -= Int(count)
        gaveToPeer(index, count)
        connection.pointee.movedAt = now
        trace("splice out", Int64(index), Int64(count))
        return Int(count)
    }
}
