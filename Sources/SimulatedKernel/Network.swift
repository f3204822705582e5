// What travels: connections being made, bytes, ends and resets arriving on either side, and how a connection
// is closed by the worker.

import CLiburing
import Glibc

struct Listener {
    var descriptor: Int32
    var queue: [Int32] = []
    var accepting: Int32 = -1
    var isOpen = true
    /// When a connection was last queued or an accept last tried.
    var triedAt: UInt64 = 0
    /// What it may still hand over before the worker submits again: an accept runs when the worker is in the
    /// kernel, and finds no more than the queue holds.
    var grantsLeft = 0
}

extension SimulatedKernel {
    // MARK: Listeners

    /// A listening socket for the worker.
    public func openListener() -> Int32 {
        let descriptor = descriptors.open(.listener, Int32(listeners.count))
        listeners.append(Listener(descriptor: descriptor))
        return descriptor
    }

    /// For how long clients have waited in a listener's queue without an accept being tried; 0 where none
    /// waits or an accept is in flight.
    public func queueNeglectedNanoseconds(_ place: Int) -> UInt64 {
        let listener = listeners[place]
        guard listener.isOpen, !listener.queue.isEmpty, listener.accepting < 0 else { return 0 }
        return now - listener.triedAt
    }

    func connectionArrives(_ index: Int32) {
        let place = Int(connections[Int(index)].place)
        guard listeners[place].isOpen, listeners[place].queue.count < plan.listenerBacklog else {
            connections[Int(index)].state = .failed
            world?.clientWasRefused(index)
            return
        }
        if listeners[place].queue.isEmpty { listeners[place].triedAt = now }
        listeners[place].queue.append(index)
        trace("client queued", Int64(index), Int64(place))
        world?.peerIsWoken(index)
        if listeners[place].accepting >= 0 { attempt(listeners[place].accepting) }
    }

    func attemptAccept(_ number: Int32) {
        let operation = operations + Int(number)
        let place = Int(operation.pointee.object)
        listeners[place].triedAt = now
        while listeners[place].grantsLeft > 0, let index = listeners[place].queue.first {
            if happens(.acceptOutOfDescriptors) || descriptors.openCount >= plan.descriptorLimit {
                return finish(number, result: -EMFILE)
            }
            if happens(.acceptOutOfMemory) { return finish(number, result: -ENOMEM) }
            listeners[place].queue.removeFirst()
            listeners[place].grantsLeft -= 1
            if happens(.acceptAborted) {
                resetByUs(index)
                return finish(number, result: -ECONNABORTED)
            }
            let descriptor = descriptors.open(.connection, index)
            connections[Int(index)].descriptor = descriptor
            connections[Int(index)].state = .established
            connections[Int(index)].acceptedAt = now
            connections[Int(index)].movedAt = now
            acceptedCount += 1
            trace("accept", Int64(descriptor), Int64(index))
            let isLast =
                !operation.pointee.isMultishot || queues!.pointee.isFull || happens(.multishotEndsEarly)
            if isLast { return finish(number, result: descriptor) }
            progress(number, result: descriptor, flags: 0)
        }
    }

    /// The worker submits: until the entries are read no accept runs, so that a cancel among them is in time.
    func holdAccepts() {
        for place in listeners.indices { listeners[place].grantsLeft = 0 }
    }

    func allowAccepts() {
        for place in listeners.indices { listeners[place].grantsLeft = plan.listenerBacklog }
    }

    /// Accepts that were armed before take what came in the meantime.
    func resumeAccepts() {
        for place in listeners.indices where !listeners[place].queue.isEmpty {
            if listeners[place].accepting >= 0 { attempt(listeners[place].accepting) }
        }
    }

    func closeListener(_ place: Int32) {
        let listener = listeners[Int(place)]
        if listener.accepting >= 0 { fail("a listener is closed with an accept in flight") }
        listeners[Int(place)].isOpen = false
        listeners[Int(place)].queue = []
        for index in listener.queue { resetByUs(index) }
    }

    // MARK: Connecting

    func beginConnect(_ number: Int32, port: UInt16, isUnix: Bool) {
        let operation = operations[Int(number)]
        let index = operation.object
        connections[Int(index)].place = Int32(port)
        // A full queue makes the worker ask again.
        if connections[Int(index)].state == .fresh { connectCount += 1 }
        connections[Int(index)].state = .connecting
        if isUnix, happens(.connectQueueFull) { return finish(number, result: -EAGAIN) }
        for (fault, code) in [
            (Fault.connectRefused, ECONNREFUSED), (.connectTimedOut, ETIMEDOUT),
            (.connectReset, ECONNRESET), (.connectUnreachable, EHOSTUNREACH),
        ] where happens(fault) {
            return answerConnect(number, errno: code)
        }
        switch world?.answerToConnect(index, port: port) ?? .refuses {
        case .accepts: answerConnect(number, errno: 0)
        case .refuses: answerConnect(number, errno: ECONNREFUSED)
        case .unreachable: answerConnect(number, errno: ENETUNREACH)
        case .queueIsFull: finish(number, result: -EAGAIN)
        case .silent: break
        }
    }

    private func answerConnect(_ number: Int32, errno: Int32) {
        let operation = operations[Int(number)]
        let time = arrivalTime() + plan.latencyNanoseconds
        schedule(
            .connectEnds, at: time, index: number, value: operation.serial, extra: UInt32(errno))
    }

    func connectEnds(_ number: Int32, serial: UInt64, errno: Int32) {
        guard operations[Int(number)].isActive, operations[Int(number)].serial == serial else { return }
        let index = operations[Int(number)].object
        if errno == 0 {
            connections[Int(index)].state = .established
            connections[Int(index)].movedAt = now
            finish(number, result: 0)
            world?.backendAccepted(index)
        } else {
            connections[Int(index)].state = .failed
            finish(number, result: -errno)
        }
    }

    // MARK: Arrivals

    func arriveAtUs(_ index: Int32, upTo position: UInt64, isEnd: Bool) {
        let connection = connections + Int(index)
        if connection.pointee.resetReachedUs || connection.pointee.weSentReset { return }
        if connection.pointee.isOurEndClosed {
            // Nobody is there to read it; an end alone disturbs nobody.
            if position > connection.pointee.toUs.arrived { resetByUs(index) }
            return
        }
        connection.pointee.toUs.arrived = position
        if isEnd { connection.pointee.toUs.hasEndArrived = true }
        connection.pointee.toUs.arrivedAt = now
        wakeReaders(index)
    }

    func arriveAtPeer(_ index: Int32, upTo position: UInt64, isEnd: Bool) {
        let connection = connections + Int(index)
        if connection.pointee.resetReachedPeer || connection.pointee.peerSentReset { return }
        if connection.pointee.isPeerClosed {
            if position > connection.pointee.toPeer.arrived { resetByPeer(index) }
            return
        }
        connection.pointee.toPeer.arrived = position
        if isEnd { connection.pointee.toPeer.hasEndArrived = true }
        world?.peerIsWoken(index)
    }

    func resetArrivesAtUs(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.resetReachedUs || connection.pointee.weSentReset { return }
        connection.pointee.resetReachedUs = true
        connection.pointee.resetReachedUsAt = now
        connection.pointee.pendingError = connection.pointee.toUs.hasEndArrived ? EPIPE : ECONNRESET
        trace("reset arrives", Int64(index))
        wakeReaders(index)
        wakeWriters(index)
    }

    func resetArrivesAtPeer(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.resetReachedPeer { return }
        connection.pointee.resetReachedPeer = true
        world?.peerIsWoken(index)
    }

    func resetByPeer(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.peerSentReset { return }
        connection.pointee.peerSentReset = true
        connection.pointee.isPeerClosed = true
        scheduleReset(.resetArrivesAtUs, index, lastArrival: connection.pointee.toUs.lastArrival)
    }

    func resetByUs(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.weSentReset { return }
        connection.pointee.weSentReset = true
        connection.pointee.isOurEndClosed = true
        scheduleReset(.resetArrivesAtPeer, index, lastArrival: connection.pointee.toPeer.lastArrival)
    }

    /// What is on the way comes first, or is overtaken and lost.
    private func scheduleReset(_ arrival: Event.Kind, _ index: Int32, lastArrival: UInt64) {
        let ordered = max(arrivalTime(), lastArrival)
        let time = random.next() & 1 == 0 ? ordered : now + plan.latencyNanoseconds
        schedule(arrival, at: time, index: index)
    }

    // MARK: The worker closes

    func closeConnection(_ index: Int32) {
        let connection = connections + Int(index)
        let number = connection.pointee.descriptor
        for operation in [
            connection.pointee.receiving, connection.pointee.sending, connection.pointee.pollingReadable,
            connection.pointee.pollingWritable, connection.pointee.pollingError,
            connection.pointee.connecting,
        ] where operation >= 0 {
            fail("descriptor \(number) is closed with an operation in flight")
            operations[Int(operation)].isActive = false
        }
        connection.pointee.descriptor = -1
        connection.pointee.isOurEndClosed = true
        connection.pointee.closedAt = now
        guard connection.pointee.state == .established, !connection.pointee.resetReachedUs else { return }
        // Linux: unread bytes at close, or SO_LINGER with no time, send a reset.
        if connection.pointee.lingersZero || connection.pointee.toUs.unread > 0 {
            resetByUs(index)
        } else if !connection.pointee.toPeer.isEndWritten {
            connection.pointee.toPeer.isEndWritten = true
            sendOnItsWay(index, isEnd: true)
        }
    }
}
