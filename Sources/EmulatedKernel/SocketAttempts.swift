// One try at each operation on a socket, without blocking: what the kernel does in io_uring/net.c and
// io_uring/poll.c. Called by the machine at submission, at each edge, and from the ready list.

import CLiburing
import Glibc

extension Machine {
    // MARK: Receive

    /// Takes the buffer first and looks for data then, as the kernel does: without a buffer the answer is
    /// -ENOBUFS whether there is data or not.
    @inline(__always)
    mutating func attemptReceive(_ operation: Operation) -> Outcome {
        guard operation.selectsBuffer else { return receiveIntoOwnBuffer(operation) }
        for _ in 0..<Self.multishotBound {
            guard let buffer = bufferGroups.next(of: operation.group) else { return .done(result: -ENOBUFS) }
            // No length asks for what the buffer holds.
            let limit = operation.length == 0 ? UInt32.max : operation.length
            let wanted = min(limit, buffer.lengthBytes)
            let received = receive(operation, buffer.address, wanted)
            if received < 0 {
                return received == -EAGAIN ? .waits(.readable) : .done(result: received)
            }
            // The end takes no buffer.
            if received == 0 { return .done(result: 0) }
            bufferGroups.take(buffer)
            let flags =
                UInt32(IORING_CQE_F_BUFFER) | UInt32(buffer.identifier) << UInt32(IORING_CQE_BUFFER_SHIFT)
            // With the completion queue full the kernel ends a multishot operation, and so do we.
            if !operation.isMultishot || queues.isFull { return .done(result: received, flags: flags) }
            queues.post(token: operation.token, result: received, flags: flags | UInt32(IORING_CQE_F_MORE))
            if UInt32(received) < wanted, descriptors.shortReadEmpties(operation.descriptor) {
                return .waits(.readable)
            }
        }
        return .again
    }

    private func receiveIntoOwnBuffer(_ operation: Operation) -> Outcome {
        let received = receive(operation, operation.address, operation.length)
        return received == -EAGAIN ? .waits(.readable) : .done(result: received)
    }

    /// Bytes, 0 at the end, or a negative errno.
    @inline(__always)
    private func receive(_ operation: Operation, _ address: UInt64, _ length: UInt32) -> Int32 {
        let flags = Int32(bitPattern: operation.flags) | Int32(MSG_DONTWAIT)
        while true {
            let memory = UnsafeMutableRawPointer(bitPattern: UInt(address))
            let received = recv(operation.descriptor, memory, Int(length), flags)
            if received >= 0 { return Int32(truncatingIfNeeded: received) }
            if errno != EINTR { return -errno }
        }
    }

    // MARK: Send

    /// With MSG_WAITALL goes on until all is sent. After a failure what was sent counts, if anything was.
    @inline(__always)
    func attemptSend(_ operation: inout Operation) -> Outcome {
        let waitsForAll = operation.flags & UInt32(MSG_WAITALL) != 0
        let flags =
            Int32(bitPattern: operation.flags & ~UInt32(MSG_WAITALL))
            | Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        while true {
            let rest = Int(operation.length - operation.transferred)
            let memory = UnsafeRawPointer(bitPattern: UInt(operation.address) + UInt(operation.transferred))
            let sent = Glibc.send(operation.descriptor, memory, rest, flags)
            if sent < 0 {
                let failure = errno
                if failure == EINTR { continue }
                if failure == EAGAIN { return .waits(.writable) }
                return .done(
                    result: operation.transferred > 0 ? Int32(bitPattern: operation.transferred) : -failure)
            }
            operation.transferred += UInt32(sent)
            if sent == rest || !waitsForAll {
                return .done(result: Int32(bitPattern: operation.transferred))
            }
        }
    }

    // MARK: Accept

    @inline(__always)
    mutating func attemptAccept(_ operation: Operation) -> Outcome {
        let address = UnsafeMutableRawPointer(bitPattern: UInt(operation.address))
        let length = UnsafeMutablePointer<socklen_t>(bitPattern: UInt(operation.offset))
        for _ in 0..<Self.multishotBound {
            let accepted = weir_accept(
                operation.descriptor, address, length, Int32(bitPattern: operation.flags))
            if accepted < 0 {
                let failure = errno
                if failure == EINTR { continue }
                return failure == EAGAIN ? .waits(.readable) : .done(result: -failure)
            }
            if !operation.isMultishot || queues.isFull { return .done(result: accepted) }
            queues.post(token: operation.token, result: accepted, flags: UInt32(IORING_CQE_F_MORE))
        }
        return .again
    }

    // MARK: Connect

    mutating func attemptConnect(_ operation: inout Operation) -> Outcome {
        if operation.isInProgress { return connectResult(operation) }
        let descriptor = operation.descriptor
        let status = fcntl(descriptor, F_GETFL)
        if status < 0 { return .done(result: -errno) }
        let blocks = status & O_NONBLOCK == 0
        if blocks { _ = fcntl(descriptor, F_SETFL, status | O_NONBLOCK) }
        let address = UnsafeRawPointer(bitPattern: UInt(operation.address))
        let failure = weir_connect(descriptor, address, operation.length) == 0 ? 0 : errno
        if blocks { _ = fcntl(descriptor, F_SETFL, status) }
        switch failure {
        case EINPROGRESS, EINTR:
            operation.isInProgress = true
            return .waits(.writable)
        case EAGAIN:
            // A unix listener whose backlog is full; the kernel tells nobody when there is room again.
            keepAddress(of: &operation)
            return .stalls
        default: return .done(result: -failure)
        }
    }

    /// The caller's address needs to be valid only while it submits.
    private func keepAddress(of operation: inout Operation) {
        if operation.ownsAddress { return }
        let copy = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<sockaddr_storage>.size,
            alignment: MemoryLayout<sockaddr_storage>.alignment)
        if let address = UnsafeRawPointer(bitPattern: UInt(operation.address)) {
            copy.copyMemory(from: address, byteCount: Int(operation.length))
        }
        operation.address = UInt64(UInt(bitPattern: copy))
        operation.ownsAddress = true
    }

    private func connectResult(_ operation: Operation) -> Outcome {
        // An event may be of a file that had this number: only the socket knows.
        if poll(operation.descriptor, events: UInt32(POLLOUT)) == 0 { return .waits(.writable) }
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(operation.descriptor, SOL_SOCKET, SO_ERROR, &failure, &length) != 0 { failure = errno }
        return .done(result: -failure)
    }

    // MARK: Poll

    @inline(__always)
    mutating func attemptPoll(_ operation: Operation) -> Outcome {
        let found = poll(operation.descriptor, events: operation.flags)
        return found == 0 ? .waits(.any) : tellPoll(operation, found)
    }

    /// A multishot poll stays, and tells of each edge.
    @inline(__always)
    mutating func tellPoll(_ operation: Operation, _ found: Int32) -> Outcome {
        if !operation.isMultishot || found < 0 || queues.isFull { return .done(result: found) }
        queues.post(token: operation.token, result: found, flags: UInt32(IORING_CQE_F_MORE))
        return .waits(.any)
    }

    /// Which of the events, errors and ends included, hold at this moment; 0 for none, or a negative errno.
    func poll(_ descriptor: Int32, events: UInt32) -> Int32 {
        let asked = events & 0x7FFF | Self.unmaskedEvents
        var query = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: asked), revents: 0)
        while true {
            let count = Glibc.poll(&query, 1, 0)
            if count == 0 { return 0 }
            if count > 0 { break }
            if errno != EINTR { return -errno }
        }
        let found = UInt32(UInt16(bitPattern: query.revents))
        return found & UInt32(POLLNVAL) != 0 ? -EBADF : Int32(bitPattern: found & asked)
    }
}
