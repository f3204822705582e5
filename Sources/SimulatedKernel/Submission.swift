// Reads queued submission entries, as liburing's helpers encode them, and starts what they ask for. An entry
// that names a descriptor which is not open, or a second operation of a kind that the worker promises to have
// once, is a defect of the worker.

import CLiburing
import Glibc

extension SimulatedKernel {
    func submitQueued() -> Int32 {
        guard let queues else { return -EBADF }
        let (first, count) = queues.pointee.queued()
        for offset in 0..<count { submit(queues.pointee.submission(at: first &+ offset).pointee) }
        queues.pointee.submissionsRead(upTo: first &+ count)
        return Int32(bitPattern: count)
    }

    private func submit(_ entry: io_uring_sqe) {
        let object = descriptors[entry.fd]
        switch io_uring_op(UInt32(entry.opcode)) {
        case IORING_OP_RECV: submitReceive(entry, object)
        case IORING_OP_SEND: submitSend(entry, object)
        case IORING_OP_POLL_ADD: submitPoll(entry, object)
        case IORING_OP_CLOSE: submitClose(entry)
        case IORING_OP_ACCEPT: submitAccept(entry, object)
        case IORING_OP_CONNECT: submitConnect(entry, object)
        case IORING_OP_ASYNC_CANCEL: submitCancel(entry)
        case IORING_OP_READ:
            guard object.kind == .event, object.index >= 0 else { return refuse(entry, "read") }
            var operation = Operation(
                kind: .readEvent, token: entry.user_data, descriptor: entry.fd, object: 0)
            operation.address = entry.addr
            eventReader = add(operation)
            attempt(eventReader)
        case IORING_OP_WRITE: submitLogWrite(entry, object)
        default: refuse(entry, "an operation that is not known")
        }
    }

    private func refuse(_ entry: io_uring_sqe, _ what: String) {
        fail("\(what) on descriptor \(entry.fd), which is \(descriptors[entry.fd].kind)")
        post(token: entry.user_data, result: -EBADF, flags: 0)
    }

    private func submitReceive(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        guard object.kind == .connection else { return refuse(entry, "receive") }
        if connections[Int(object.index)].receiving >= 0 { fail("two receives on descriptor \(entry.fd)") }
        var operation = Operation(
            kind: .receive, token: entry.user_data, descriptor: entry.fd, object: object.index)
        operation.isMultishot = UInt32(entry.ioprio) & UInt32(IORING_RECV_MULTISHOT) != 0
        // 0 stands for a whole buffer.
        operation.length = entry.len
        if entry.flags & UInt8(1 << IOSQE_BUFFER_SELECT_BIT) == 0 {
            if !plan.allowsOwnMemory { fail("a receive into memory that is no buffer") }
            operation.address = entry.addr
        }
        let number = add(operation)
        connections[Int(object.index)].receiving = number
        attempt(number)
    }

    private func submitSend(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        guard object.kind == .connection else { return refuse(entry, "send") }
        connections[Int(object.index)].sendBegunAt = now
        if connections[Int(object.index)].sending >= 0 { fail("two sends on descriptor \(entry.fd)") }
        var operation = Operation(
            kind: .send, token: entry.user_data, descriptor: entry.fd, object: object.index)
        operation.address = entry.addr
        operation.length = entry.len
        operation.waitsForAll = entry.msg_flags & UInt32(MSG_WAITALL) != 0
        if entry.msg_flags & UInt32(MSG_NOSIGNAL) == 0 { fail("a send that may raise SIGPIPE") }
        if entry.len == 0 { fail("a send of nothing") }
        if let place = buffers.find(entry.addr) {
            if buffers.buffers[place].isInRing {
                fail("a send out of buffer \(place), which is the kernel's")
            }
            if buffers.buffers[place].sends > 0 { fail("buffer \(place) is sent twice at a time") }
            operation.buffer = Int32(place)
            buffers.sendBegins(place)
        } else if !plan.allowsOwnMemory {
            fail("a send out of memory that is no buffer")
        }
        let number = add(operation)
        connections[Int(object.index)].sending = number
        attempt(number)
    }

    private func submitPoll(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        if object.kind == .log { return submitLogPoll(entry, object) }
        guard object.kind == .connection else { return refuse(entry, "poll") }
        let connection = connections + Int(object.index)
        let kind: Operation.Kind
        let polling: WritableKeyPath<Connection, Int32>
        if entry.poll32_events & UInt32(POLLIN) != 0 {
            (kind, polling) = (.pollReadable, \.pollingReadable)
        } else if entry.poll32_events & UInt32(POLLOUT) != 0 {
            (kind, polling) = (.pollWritable, \.pollingWritable)
        } else {
            (kind, polling) = (.pollError, \.pollingError)
        }
        if connection.pointee[keyPath: polling] >= 0 {
            fail("two polls of one kind on descriptor \(entry.fd)")
        }
        var operation = Operation(
            kind: kind, token: entry.user_data, descriptor: entry.fd, object: object.index)
        operation.isMultishot = entry.len & UInt32(IORING_POLL_ADD_MULTI) != 0
        let number = add(operation)
        connection.pointee[keyPath: polling] = number
        attempt(number)
    }

    private func submitAccept(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        guard object.kind == .listener else { return refuse(entry, "accept") }
        if listeners[Int(object.index)].accepting >= 0 { fail("two accepts on descriptor \(entry.fd)") }
        var operation = Operation(
            kind: .accept, token: entry.user_data, descriptor: entry.fd, object: object.index)
        operation.isMultishot = UInt32(entry.ioprio) & UInt32(IORING_ACCEPT_MULTISHOT) != 0
        let number = add(operation)
        listeners[Int(object.index)].accepting = number
        attempt(number)
    }

    private func submitConnect(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        guard object.kind == .connection else { return refuse(entry, "connect") }
        guard let address = UnsafeRawPointer(bitPattern: UInt(entry.addr)) else {
            return refuse(entry, "connect to nowhere")
        }
        let isUnix = address.load(as: sa_family_t.self) == sa_family_t(AF_UNIX)
        let number = add(
            Operation(kind: .connect, token: entry.user_data, descriptor: entry.fd, object: object.index))
        connections[Int(object.index)].connecting = number
        beginConnect(number, port: isUnix ? portInPath(address) : portOfTCP(address), isUnix: isUnix)
    }

    private func portOfTCP(_ address: UnsafeRawPointer) -> UInt16 {
        UInt16(bigEndian: address.load(as: sockaddr_in.self).sin_port)
    }

    /// A unix backend's path is a slash and its number.
    private func portInPath(_ address: UnsafeRawPointer) -> UInt16 {
        var number: UInt16 = 0
        var place = 3
        while case let byte = address.load(fromByteOffset: place, as: UInt8.self), (48...57).contains(byte) {
            number = number &* 10 &+ UInt16(byte - 48)
            place += 1
        }
        return number
    }

    private func submitCancel(_ entry: io_uring_sqe) {
        let byDescriptor = entry.cancel_flags & UInt32(IORING_ASYNC_CANCEL_FD) != 0
        if byDescriptor, descriptors[entry.fd].kind == .free { return refuse(entry, "cancel") }
        // The request's completion and those of the operations come in either order.
        cancelledComeLater = random.next() & 1 == 0
        defer { cancelledComeLater = false }
        let result = cancel(token: entry.addr, descriptor: byDescriptor ? entry.fd : nil)
        trace("cancel ends", Int64(entry.fd), Int64(result), Int64(bitPattern: entry.user_data >> 56))
        if happens(.completionDelayed) {
            schedule(
                .completionIsPosted, at: now + draw(upTo: plan.delayNanoseconds), index: result,
                value: entry.user_data)
        } else {
            post(token: entry.user_data, result: result, flags: 0)
        }
    }

    private func submitClose(_ entry: io_uring_sqe) {
        trace("close", Int64(entry.fd))
        let result = close(entry.fd)
        if result < 0 { post(token: entry.user_data, result: result, flags: 0) }
        if entry.flags & UInt8(1 << IOSQE_CQE_SKIP_SUCCESS_BIT) == 0, result == 0 {
            post(token: entry.user_data, result: 0, flags: 0)
        }
    }

    private func submitLogWrite(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        guard object.kind == .log else { return refuse(entry, "write") }
        if logs[Int(object.index)].writing >= 0 { fail("two writes to one log") }
        var operation = Operation(
            kind: .writeLog, token: entry.user_data, descriptor: entry.fd, object: object.index)
        operation.address = entry.addr
        operation.length = entry.len
        let number = add(operation)
        logs[Int(object.index)].writing = number
        attempt(number)
    }

    private func submitLogPoll(_ entry: io_uring_sqe, _ object: DescriptorEntry) {
        if logs[Int(object.index)].polling >= 0 { fail("two polls of one log") }
        logs[Int(object.index)].polling = add(
            Operation(kind: .pollLog, token: entry.user_data, descriptor: entry.fd, object: object.index))
        if logs[Int(object.index)].isReady { logGoesOn(object.index) }
    }
}
