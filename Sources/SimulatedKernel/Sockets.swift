// Operations on the worker's sockets: receive, send, poll, and the direct calls. Data that arrived is readable
// before an end or an error is, as in Linux.

import CLiburing
import Glibc

extension SimulatedKernel {
    /// Completions that one multishot operation posts at a time (the kernel's MULTISHOT_MAX_RETRY).
    private static let multishotBound = 32
    /// POLLRDHUP of poll(2).
    private static let pollReadEnd: Int32 = 0x2000

    /// The error that the next operation on a socket gets, once; nil for none.
    func takeError(_ connection: UnsafeMutablePointer<Connection>) -> Int32? {
        guard connection.pointee.pendingError != 0 else { return nil }
        defer { connection.pointee.pendingError = 0 }
        return connection.pointee.pendingError
    }

    /// Why a write fails at once; nil where it does not.
    func writeError(_ connection: UnsafeMutablePointer<Connection>) -> Int32? {
        if connection.pointee.toPeer.isEndWritten {
            fail("bytes after the end on descriptor \(connection.pointee.descriptor)")
            return EPIPE
        }
        guard connection.pointee.isGone else { return nil }
        return takeError(connection) ?? EPIPE
    }

    // MARK: Receive

    func attemptReceive(_ number: Int32) {
        let operation = operations + Int(number)
        let index = operation.pointee.object
        let connection = connections + Int(index)
        for _ in 0..<Self.multishotBound {
            if connection.pointee.toUs.unread == 0 {
                if let failure = takeError(connection) { return finish(number, result: -failure) }
                let isOver = connection.pointee.toUs.hasEndArrived || connection.pointee.resetReachedUs
                guard isOver else { return }
                connection.pointee.movedAt = now
                return finish(number, result: 0)
            }
            if happens(.receiveOutOfMemory) {
                connection.pointee.hadInjectedError = true
                return finish(number, result: -ENOMEM)
            }
            if happens(.receiveInterrupted) { return finish(number, result: -EINTR) }
            if operation.pointee.address != 0 {
                let count = take(operation.pointee, into: operation.pointee.address, operation.pointee.length)
                return finish(number, result: Int32(count))
            }
            guard !happens(.noBuffers), let buffer = buffers.take() else {
                return finish(number, result: -ENOBUFS)
            }
            let count = take(operation.pointee, into: buffer.address, buffer.lengthBytes)
            let flags =
                UInt32(IORING_CQE_F_BUFFER) | UInt32(buffer.identifier) << UInt32(IORING_CQE_BUFFER_SHIFT)
            let isLast =
                !operation.pointee.isMultishot || queues!.pointee.isFull || happens(.multishotEndsEarly)
            if isLast { return finish(number, result: Int32(count), flags: flags) }
            progress(number, result: Int32(count), flags: flags)
        }
        schedule(.operationGoesOn, at: now + 1000, index: number, value: operation.pointee.serial)
    }

    /// Moves what has come to where it is received, which has room for `room` bytes. Answers how many.
    private func take(_ operation: Operation, into address: UInt64, _ room: UInt32) -> UInt64 {
        let connection = connections + Int(operation.object)
        var count = min(connection.pointee.toUs.unread, UInt64(room))
        if operation.length > 0 { count = min(count, UInt64(operation.length)) }
        if happens(.shortReceive) { count = 1 + draw(upTo: count - 1) }
        fillReceived(
            UnsafeMutableRawPointer(bitPattern: UInt(address))!, count: Int(count), of: operation.object,
            at: connection.pointee.toUs.read)
        tookFromUs(operation.object, count)
        return count
    }

    /// The worker took bytes: the peer may write more.
    func tookFromUs(_ index: Int32, _ count: UInt64) {
        let connection = connections + Int(index)
        connection.pointee.toUs.read += count
        connection.pointee.movedAt = now
        schedule(.windowOpensForPeer, at: arrivalTime(), index: index)
    }

    // MARK: Send

    func attemptSend(_ number: Int32) {
        let operation = operations + Int(number)
        let index = operation.pointee.object
        let connection = connections + Int(index)
        if let failure = writeError(connection) {
            let transferred = operation.pointee.transferred
            // The kernel's io_send answers what was sent, and the socket gives its error once.
            if transferred > 0 { connection.pointee.isResetUntold = true }
            return finish(number, result: transferred > 0 ? Int32(bitPattern: transferred) : -failure)
        }
        if happens(.sendOutOfMemory) {
            connection.pointee.hadInjectedError = true
            let transferred = operation.pointee.transferred
            return finish(number, result: transferred > 0 ? Int32(bitPattern: transferred) : -ENOMEM)
        }
        let room = connection.pointee.room(connection.pointee.toPeer)
        if room == 0 || (operation.pointee.transferred > 0 && !connection.pointee.isWritable) { return }
        var count = min(UInt64(operation.pointee.length - operation.pointee.transferred), room)
        let isShort = happens(.shortSend)
        if isShort { count = 1 + draw(upTo: count - 1) }
        let memory = UnsafeRawPointer(
            bitPattern: UInt(operation.pointee.address) + UInt(operation.pointee.transferred))!
        if plan.carriesBytes {
            store.appendToPeer(index, UnsafeRawBufferPointer(start: memory, count: Int(count)))
        } else {
            verify(memory, connection, index, count)
        }
        operation.pointee.transferred += UInt32(count)
        gaveToPeer(index, count)
        let isDone = operation.pointee.transferred == operation.pointee.length
        if isDone || isShort || !operation.pointee.waitsForAll {
            // Only the completion tells the worker that bytes moved.
            connection.pointee.movedAt = now
            finish(number, result: Int32(bitPattern: operation.pointee.transferred))
        }
    }

    /// What goes out one side is what came in at the other, in order and nothing before it came.
    private func verify(
        _ memory: UnsafeRawPointer, _ connection: UnsafeMutablePointer<Connection>, _ index: Int32,
        _ count: UInt64
    ) {
        let pair = connection.pointee.pair
        guard pair >= 0 else { return fail("bytes for connection \(index), which is nobody's pair") }
        let position = connection.pointee.toPeer.written
        if position + count > connections[Int(pair)].toUs.read {
            return fail("connection \(index) is sent more than came from \(pair)")
        }
        if !pattern.matches(memory, count: Int(count), of: pair, at: position) {
            fail("connection \(index) is sent wrong bytes at position \(position)")
        }
    }

    func gaveToPeer(_ index: Int32, _ count: UInt64) {
        connections[Int(index)].toPeer.written += count
        sendOnItsWay(index, isEnd: false)
    }

    /// What was written to the peer so far arrives later, in order.
    func sendOnItsWay(_ index: Int32, isEnd: Bool) {
        let connection = connections + Int(index)
        let time = max(arrivalTime(), connection.pointee.toPeer.lastArrival)
        connection.pointee.toPeer.lastArrival = time
        schedule(
            .arrivesAtPeer, at: time, index: index, value: connection.pointee.toPeer.written,
            extra: isEnd ? 1 : 0)
        if plan.carriesBytes { world?.workerSent(index) }
    }

    // MARK: Poll

    func attemptPoll(_ number: Int32) {
        let operation = operations[Int(number)]
        let connection = connections + Int(operation.object)
        var found: Int32 = 0
        if operation.kind == .pollReadable {
            if connection.pointee.toUs.unread > 0 { found |= Int32(POLLIN) }
            if connection.pointee.toUs.hasEndArrived { found |= Int32(POLLIN) }
        } else if operation.kind == .pollWritable,
            connection.pointee.isWritable || connection.pointee.toPeer.isEndWritten
        {
            found |= Int32(POLLOUT)
        }
        // What is told to every poll, asked for or not (the kernel's IO_POLL_UNMASK): a peer that has ended ends
        // a wait for room as well.
        if connection.pointee.toUs.hasEndArrived { found |= Self.pollReadEnd }
        if connection.pointee.toUs.hasEndArrived, connection.pointee.toPeer.isEndWritten {
            found |= Int32(POLLHUP)
        }
        if connection.pointee.isGone {
            found |= Int32(POLLERR | POLLHUP)
            if operation.kind == .pollReadable { found |= Int32(POLLIN) }
            if operation.kind == .pollWritable { found |= Int32(POLLOUT) }
        }
        if operation.kind == .pollWritable, found == Self.pollReadEnd { countVainPoll(connection) }
        if found == 0 || found == operation.reported { return }
        guard operation.isMultishot else { return finish(number, result: found) }
        operations[Int(number)].reported = found
        if queues!.pointee.isFull || happens(.multishotEndsEarly) { return finish(number, result: found) }
        progress(number, result: found, flags: 0)
    }

    /// A worker that asks again and again for what does not come burns a core.
    private func countVainPoll(_ connection: UnsafeMutablePointer<Connection>) {
        let isSoon = now < connection.pointee.vainPollAt + 1_000_000
        connection.pointee.vainPolls = isSoon ? connection.pointee.vainPolls + 1 : 0
        connection.pointee.vainPollAt = now
        if connection.pointee.vainPolls > 20 {
            fail("the worker spins on descriptor \(connection.pointee.descriptor), which has no room")
        }
    }

    func wakeReaders(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.receiving >= 0 { attempt(connection.pointee.receiving) }
        if connection.pointee.pollingReadable >= 0 { attempt(connection.pointee.pollingReadable) }
        if connection.pointee.pollingError >= 0 { attempt(connection.pointee.pollingError) }
        if connection.pointee.toUs.hasEndArrived, connection.pointee.pollingWritable >= 0 {
            attempt(connection.pointee.pollingWritable)
        }
    }

    func wakeWriters(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.sending >= 0, connection.pointee.isWritable || connection.pointee.isGone {
            attempt(connection.pointee.sending)
        }
        if connection.pointee.pollingWritable >= 0 { attempt(connection.pointee.pollingWritable) }
    }

    // MARK: Direct calls

    func makeStreamSocket(_ family: Int32) -> Int32 {
        if happens(.socketOutOfDescriptors) || descriptors.openCount >= plan.descriptorLimit {
            socketFailureCount += 1
            socketsRefused += 1
            return -EMFILE
        }
        if plan.lacksUnixSockets && family == AF_UNIX || happens(.socketFamilyUnknown) {
            socketFailureCount += 1
            return -EAFNOSUPPORT
        }
        let index = newConnection(.backend, place: -1)
        let descriptor = descriptors.open(.connection, index)
        connections[Int(index)].descriptor = descriptor
        return descriptor
    }

    func setOption(
        _ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: UnsafeRawPointer, _ length: UInt32
    ) -> Int32 {
        let object = descriptors[descriptor]
        guard object.kind == .connection else {
            fail("an option of descriptor \(descriptor), which is \(object.kind)")
            return -EBADF
        }
        if level == SOL_SOCKET, name == SO_LINGER {
            let value = value.load(as: linger.self)
            connections[Int(object.index)].lingersZero = value.l_onoff != 0 && value.l_linger == 0
        }
        return 0
    }

    func peerName(
        _ descriptor: Int32, _ address: UnsafeMutablePointer<sockaddr_storage>,
        _ length: UnsafeMutablePointer<UInt32>
    ) -> Int32 {
        let object = descriptors[descriptor]
        guard object.kind == .connection else {
            fail("the peer of descriptor \(descriptor), which is \(object.kind)")
            return -EBADF
        }
        if connections[Int(object.index)].resetReachedUs { return -ENOTCONN }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = UInt16(truncatingIfNeeded: object.index).bigEndian
        name.sin_addr.s_addr = UInt32(0x0A00_0000 + clientHost(object.index)).bigEndian
        UnsafeMutableRawPointer(address).storeBytes(of: name, as: sockaddr_in.self)
        length.pointee = UInt32(MemoryLayout<sockaddr_in>.size)
        return 0
    }

    /// Four hosts have all the clients.
    public func clientHost(_ connection: Int32) -> Int32 { connection & 3 }

    func undeliveredBytes(_ descriptor: Int32) -> Int32 {
        let object = descriptors[descriptor]
        guard object.kind == .connection else {
            fail("undelivered bytes of descriptor \(descriptor), which is \(object.kind)")
            return -EBADF
        }
        let connection = connections[Int(object.index)]
        if connection.isGone { return 0 }
        return Int32(clamping: connection.toPeer.written - connection.toPeer.arrived)
    }

    func shutdown(_ descriptor: Int32, _ how: Int32) -> Int32 {
        let object = descriptors[descriptor]
        guard object.kind == .connection else {
            fail("shutdown of descriptor \(descriptor), which is \(object.kind)")
            return -EBADF
        }
        let connection = connections + Int(object.index)
        trace("shutdown", Int64(descriptor), Int64(how))
        if connection.pointee.sending >= 0 { fail("an end beside a send") }
        if connection.pointee.isGone { return -ENOTCONN }
        guard !connection.pointee.toPeer.isEndWritten else {
            fail("descriptor \(descriptor) is ended twice")
            return 0
        }
        connection.pointee.toPeer.isEndWritten = true
        sendOnItsWay(object.index, isEnd: true)
        return 0
    }

    func close(_ descriptor: Int32) -> Int32 {
        let object = descriptors[descriptor]
        switch object.kind {
        case .connection: closeConnection(object.index)
        case .listener: closeListener(object.index)
        case .pipeInput, .pipeOutput: pipes[Int(object.index)].openEnds -= 1
        case .log, .event, .free:
            fail("close of descriptor \(descriptor), which is \(object.kind)")
            return -EBADF
        }
        descriptors.close(descriptor)
        return 0
    }
}
