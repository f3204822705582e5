// Reads queued submission entries, as liburing's helpers encode them, and starts what they ask for. Called
// once a turn. What the emulation does not know is refused as the kernel refuses it: with -EINVAL.

import CLiburing
import Glibc

extension Machine {
    /// Starts every queued entry; answers how many there were.
    mutating func submitQueued() -> Int32 {
        let (first, count) = queues.queued()
        for offset in 0..<count { submit(queues.submission(at: first &+ offset).pointee) }
        queues.submissionsRead(upTo: first &+ count)
        return Int32(bitPattern: count)
    }

    @inline(__always)
    private mutating func submit(_ entry: io_uring_sqe) {
        let refusal = Self.refusal(of: entry)
        if refusal != 0 { return queues.post(token: entry.user_data, result: refusal, flags: 0) }
        switch io_uring_op(UInt32(entry.opcode)) {
        case IORING_OP_RECV: submitReceive(entry)
        case IORING_OP_SEND: submitSend(entry)
        case IORING_OP_POLL_ADD: submitPoll(entry)
        case IORING_OP_CLOSE: submitClose(entry)
        case IORING_OP_ACCEPT: submitAccept(entry)
        case IORING_OP_CONNECT: submitConnect(entry)
        case IORING_OP_ASYNC_CANCEL: submitCancel(entry)
        case IORING_OP_READ: submitTransfer(entry, .read)
        case IORING_OP_WRITE: submitTransfer(entry, .write)
        case IORING_OP_NOP: answer(entry, 0)
        default: answer(entry, -EINVAL)
        }
    }

    /// A negative errno for flags that are not emulated; 0 where there are none.
    @inline(__always)
    private static func refusal(of entry: io_uring_sqe) -> Int32 {
        let selects = UInt8(1 << IOSQE_BUFFER_SELECT_BIT)
        let known = selects | UInt8(1 << IOSQE_CQE_SKIP_SUCCESS_BIT) | UInt8(1 << IOSQE_ASYNC_BIT)
        if entry.flags & ~known != 0 { return -EINVAL }
        if entry.flags & selects != 0, UInt32(entry.opcode) != IORING_OP_RECV.rawValue { return -EOPNOTSUPP }
        return 0
    }

    @inline(__always)
    private func skipsSuccess(_ entry: io_uring_sqe) -> Bool {
        entry.flags & UInt8(1 << IOSQE_CQE_SKIP_SUCCESS_BIT) != 0
    }

    /// Posts the only completion of an entry.
    mutating func answer(_ entry: io_uring_sqe, _ result: Int32) {
        if result >= 0, skipsSuccess(entry) { return }
        queues.post(token: entry.user_data, result: result, flags: 0)
    }

    @inline(__always)
    private func operation(_ entry: io_uring_sqe, _ kind: Operation.Kind) -> Operation {
        var operation = Operation(kind: kind, descriptor: entry.fd)
        operation.token = entry.user_data
        operation.skipsSuccess = skipsSuccess(entry)
        operation.address = entry.addr
        operation.length = entry.len
        return operation
    }

    private mutating func submitReceive(_ entry: io_uring_sqe) {
        var operation = operation(entry, .receive)
        let modes = UInt32(entry.ioprio) & ~UInt32(IORING_RECVSEND_POLL_FIRST)
        operation.isMultishot = modes == UInt32(IORING_RECV_MULTISHOT)
        operation.selectsBuffer = entry.flags & UInt8(1 << IOSQE_BUFFER_SELECT_BIT) != 0
        operation.group = entry.buf_group
        operation.flags = entry.msg_flags
        let waitsForAll = entry.msg_flags & UInt32(MSG_WAITALL) != 0
        guard modes == 0 || operation.isMultishot, !waitsForAll,
            operation.selectsBuffer || !operation.isMultishot
        else { return answer(entry, -EINVAL) }
        start(operation)
    }

    private mutating func submitSend(_ entry: io_uring_sqe) {
        guard UInt32(entry.ioprio) & ~UInt32(IORING_RECVSEND_POLL_FIRST) == 0 else {
            return answer(entry, -EINVAL)
        }
        var operation = operation(entry, .send)
        operation.flags = entry.msg_flags
        start(operation)
    }

    private mutating func submitPoll(_ entry: io_uring_sqe) {
        // Its length field asks for multishot and updates.
        guard entry.len & ~UInt32(IORING_POLL_ADD_MULTI) == 0 else { return answer(entry, -EINVAL) }
        var operation = operation(entry, .poll)
        operation.isMultishot = entry.len != 0
        operation.flags = entry.poll32_events
        start(operation)
    }

    private mutating func submitAccept(_ entry: io_uring_sqe) {
        guard UInt32(entry.ioprio) & ~UInt32(IORING_ACCEPT_MULTISHOT) == 0, entry.file_index == 0 else {
            return answer(entry, -EINVAL)
        }
        var operation = operation(entry, .accept)
        operation.isMultishot = entry.ioprio != 0
        operation.flags = entry.accept_flags
        operation.offset = entry.off
        // Another worker may take the connection between an edge and accept(2): that must not block.
        let status = fcntl(entry.fd, F_GETFL)
        if status >= 0, status & O_NONBLOCK == 0 { _ = fcntl(entry.fd, F_SETFL, status | O_NONBLOCK) }
        start(operation)
    }

    private mutating func submitConnect(_ entry: io_uring_sqe) {
        guard entry.ioprio == 0, entry.len == 0 else { return answer(entry, -EINVAL) }
        var operation = operation(entry, .connect)
        operation.length = UInt32(truncatingIfNeeded: entry.off)
        guard operation.length <= UInt32(MemoryLayout<sockaddr_storage>.size) else {
            return answer(entry, -EINVAL)
        }
        start(operation)
    }

    private mutating func submitTransfer(_ entry: io_uring_sqe, _ kind: Operation.Kind) {
        guard entry.rw_flags == 0, entry.ioprio == 0 else { return answer(entry, -EINVAL) }
        var operation = operation(entry, kind)
        operation.offset = entry.off
        start(operation)
    }

    /// Nothing is in flight on the descriptor: the caller guarantees it.
    private mutating func submitClose(_ entry: io_uring_sqe) {
        guard entry.file_index == 0, entry.off == 0, entry.addr == 0 else { return answer(entry, -EINVAL) }
        descriptors.forget(entry.fd)
        answer(entry, close(entry.fd) == 0 ? 0 : -errno)
    }

    /// Ends operations by token or by descriptor. The request's own completion comes before those of the
    /// operations that it ends.
    private mutating func submitCancel(_ entry: io_uring_sqe) {
        let all = UInt32(IORING_ASYNC_CANCEL_ALL)
        let byDescriptor = UInt32(IORING_ASYNC_CANCEL_FD)
        guard entry.cancel_flags & ~(all | byDescriptor) == 0 else { return answer(entry, -EINVAL) }
        let cancelsAll = entry.cancel_flags & all != 0
        let usesDescriptor = entry.cancel_flags & byDescriptor != 0
        if usesDescriptor, fcntl(entry.fd, F_GETFD) < 0 { return answer(entry, -EBADF) }
        let firstFound = nextToCancel(entry, usesDescriptor)
        guard cancelsAll else {
            answer(entry, firstFound == nil ? -ENOENT : 0)
            if let number = firstFound { cancel(number) }
            return
        }
        answer(entry, countToCancel(entry, usesDescriptor))
        while let number = nextToCancel(entry, usesDescriptor) { cancel(number) }
    }

    private func nextToCancel(_ entry: io_uring_sqe, _ usesDescriptor: Bool) -> UInt32? {
        guard usesDescriptor else { return operations.find(token: entry.addr) }
        let link = descriptors.firstOperation(on: entry.fd)
        return link == 0 ? nil : link - 1
    }

    private func countToCancel(_ entry: io_uring_sqe, _ usesDescriptor: Bool) -> Int32 {
        guard usesDescriptor else { return operations.count(token: entry.addr) }
        var count: Int32 = 0
        var link = descriptors.firstOperation(on: entry.fd)
        while link != 0 {
            count += 1
            link = operations[link - 1].pointee.nextOfDescriptor
        }
        return count
    }

    /// A send that has moved bytes tells how many, as in the kernel; anything else was cancelled.
    private mutating func cancel(_ number: UInt32) {
        let transferred = operations[number].pointee.transferred
        finish(number, result: transferred > 0 ? Int32(bitPattern: transferred) : -ECANCELED, flags: 0)
    }
}
