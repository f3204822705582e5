// One io_uring of one worker: takes submissions, hands out completions in batches. It owns the heap-held
// `struct io_uring` and nothing of what the operations mean. Which kernel stands behind it is the port's
// affair.

import CLiburing

/// What a completion says, copied out of the queue.
public struct Completion: BitwiseCopyable {
    public let token: Token
    /// Zero or more: the operation's result. Negative: errno.
    public let result: Int32
    let flags: UInt32

    /// More completions of the same (multishot) submission will follow.
    @inline(__always)
    public var hasMore: Bool { flags & UInt32(IORING_CQE_F_MORE) != 0 }
    /// Of a poll: the descriptor is in error (a reset, for one).
    @inline(__always)
    public var isPollError: Bool { result > 0 && result & Int32(POLLERR) != 0 }
    /// For the answer of `pollWritable`: there is room, or the connection is at its end. False where the poll
    /// ended only because the other side sends no more, which io_uring tells every poll.
    @inline(__always)
    public var isPollWritable: Bool { result < 0 || result & (POLLOUT | POLLERR | POLLHUP) != 0 }
    /// The provided buffer that the data lies in; nil where the kernel took none.
    @inline(__always)
    public var buffer: UInt16? {
        flags & UInt32(IORING_CQE_F_BUFFER) != 0
            ? UInt16(truncatingIfNeeded: flags >> UInt32(IORING_CQE_BUFFER_SHIFT)) : nil
    }
}

/// Why a ring could not be set up.
public struct RingSetUpError: Error {
    /// What was tried, in words.
    public let step: StaticString
    public let errno: Int32

    public init(step: StaticString, errno: Int32) {
        self.step = step
        self.errno = errno
    }
}

public struct Ring: ~Copyable {
    /// Heap memory: the kernel-facing library keeps pointers into it.
    public let raw: UnsafeMutablePointer<io_uring>
    /// On the heap, so that the ring is a few words where it is borrowed: the compiler copies what it borrows.
    private let portPlace: UnsafeMutablePointer<KernelPort>
    /// The set-up flags that the kernel accepted.
    public let flags: UInt32

    /// Sets up a ring with the fastest set of flags that this kernel accepts: from single issuer with
    /// deferred task work (6.1) over cooperative task work (5.19) down to none. Must be called on the
    /// thread that will submit.
    public init(port: KernelPort, submissionEntries: UInt32, completionEntries: UInt32)
        throws(RingSetUpError)
    {
        let always = UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_CLAMP)
        let deferred = UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN)
        let cooperative = UInt32(IORING_SETUP_COOP_TASKRUN)
        let submitAll = UInt32(IORING_SETUP_SUBMIT_ALL)
        let raw = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        var result: Int32 = 0
        for wanted in [submitAll | deferred, submitAll | cooperative, 0] {
            var parameters = io_uring_params()
            parameters.flags = always | wanted
            parameters.cq_entries = completionEntries
            raw.initialize(to: io_uring())
            result = port.setUp(port.context, raw, submissionEntries, &parameters)
            if result == 0 {
                self.raw = raw
                portPlace = .allocate(capacity: 1)
                portPlace.initialize(to: port)
                flags = always | wanted
                return
            }
            if result != -EINVAL { break }
        }
        raw.deallocate()
        throw RingSetUpError(step: "setting up the ring", errno: -result)
    }

    deinit {
        port.exit(port.context, raw)
        portPlace.deallocate()
        raw.deallocate()
    }

    public var port: KernelPort {
        @inline(__always)
        get { portPlace.pointee }
    }

    // MARK: Submissions

    /// A free submission entry. When the queue is full, what is queued is submitted first.
    @inline(__always)
    func entry() -> UnsafeMutablePointer<io_uring_sqe> {
        if let entry = weir_get_sqe(raw) { return entry }
        return entryAfterSubmitting()
    }

    @inline(never)
    private func entryAfterSubmitting() -> UnsafeMutablePointer<io_uring_sqe> {
        // The kernel takes every queued entry in one call unless it runs out of memory: try for a while.
        for _ in 0..<1000 {
            _ = port.submitAndWait(port.context, raw, 0)
            if let entry = weir_get_sqe(raw) { return entry }
        }
        fatalError("the kernel takes no submissions: out of memory")
    }

    /// Accepts connections until it completes without `hasMore`; each completion's result is a descriptor
    /// (non-blocking, close-on-exec).
    @inline(__always)
    public func acceptMultishot(_ descriptor: Int32, token: Token) {
        let entry = entry()
        let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        io_uring_prep_multishot_accept(entry, descriptor, nil, nil, flags)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Accepts one connection.
    @inline(__always)
    public func acceptOne(_ descriptor: Int32, token: Token) {
        let entry = entry()
        let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        io_uring_prep_accept(entry, descriptor, nil, nil, flags)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Connects; `address` must stay valid until the entry is submitted.
    @inline(__always)
    public func connect(
        _ descriptor: Int32, to address: UnsafePointer<sockaddr_storage>, length: UInt32, token: Token
    ) {
        let entry = entry()
        let generic = UnsafeRawPointer(address).assumingMemoryBound(to: sockaddr.self)
        io_uring_prep_connect(entry, descriptor, generic, length)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Receives into provided buffers, again and again until a completion without `hasMore`.
    @inline(__always)
    public func receiveMultishot(_ descriptor: Int32, group: UInt16, token: Token) {
        let entry = entry()
        io_uring_prep_recv_multishot(entry, descriptor, nil, 0, 0)
        weir_sqe_select_buffer(entry, group)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Receives once into a provided buffer.
    @inline(__always)
    public func receive(_ descriptor: Int32, group: UInt16, length: Int, token: Token) {
        let entry = entry()
        io_uring_prep_recv(entry, descriptor, nil, length, 0)
        weir_sqe_select_buffer(entry, group)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Receives once, up to `count` bytes; `memory` must stay valid until the completion.
    public func receive(
        _ descriptor: Int32, into memory: UnsafeMutableRawPointer, count: Int, token: Token
    ) {
        let entry = entry()
        io_uring_prep_recv(entry, descriptor, memory, count, 0)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Sends all of it unless the connection fails: the kernel retries short sends.
    @inline(__always)
    public func send(_ descriptor: Int32, _ bytes: UnsafeRawPointer, count: Int, token: Token) {
        let entry = entry()
        io_uring_prep_send(entry, descriptor, bytes, count, Int32(MSG_WAITALL | MSG_NOSIGNAL))
        weir_sqe_set_token(entry, token.bits)
    }

    /// Completes once when `descriptor` is readable, at its end or in error.
    @inline(__always)
    public func pollReadable(_ descriptor: Int32, token: Token) {
        let entry = entry()
        io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN) | UInt32(POLLRDHUP))
        weir_sqe_set_token(entry, token.bits)
    }

    /// Completes once when `descriptor` is writable or in error.
    @inline(__always)
    public func pollWritable(_ descriptor: Int32, token: Token) {
        let entry = entry()
        io_uring_prep_poll_add(entry, descriptor, UInt32(POLLOUT))
        weir_sqe_set_token(entry, token.bits)
    }

    /// Completes each time `descriptor` gets into error or its peer sends its end (the kernel adds POLLRDHUP to
    /// every poll), and stays; data does not wake it.
    @inline(__always)
    public func watchErrors(_ descriptor: Int32, token: Token) {
        let entry = entry()
        io_uring_prep_poll_multishot(entry, descriptor, 0)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Asks the kernel to end the operation that was submitted with `target`.
    @inline(__always)
    public func cancel(_ target: Token, token: Token) {
        let entry = entry()
        io_uring_prep_cancel64(entry, target.bits, 0)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Asks the kernel to end every operation on `descriptor`.
    @inline(__always)
    public func cancelAll(on descriptor: Int32, token: Token) {
        let entry = entry()
        io_uring_prep_cancel_fd(entry, descriptor, UInt32(IORING_ASYNC_CANCEL_ALL))
        weir_sqe_set_token(entry, token.bits)
    }

    /// Asks the kernel to end the operation that is named, or where none is, every operation on `descriptor`. By its name
    /// the kernel finds one in a table; for all on a descriptor it goes through every operation that waits in the ring,
    /// which takes milliseconds where there are ten thousand connections.
    @inline(__always)
    public func cancel(_ target: Token?, orAllOn descriptor: Int32, token: Token) {
        if let target { cancel(target, token: token) } else { cancelAll(on: descriptor, token: token) }
    }

    /// Closes; completes only on failure, which would be a defect.
    @inline(__always)
    public func close(_ descriptor: Int32, token: Token) {
        let entry = entry()
        io_uring_prep_close(entry, descriptor)
        entry.pointee.flags |= UInt8(1 << IOSQE_CQE_SKIP_SUCCESS_BIT)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Reads once at the descriptor's position; `buffer` must stay valid until the completion.
    @inline(__always)
    public func read(_ descriptor: Int32, into buffer: UnsafeMutableRawPointer, count: Int, token: Token) {
        let entry = entry()
        io_uring_prep_read(entry, descriptor, buffer, UInt32(count), UInt64.max)
        weir_sqe_set_token(entry, token.bits)
    }

    /// Writes once at the descriptor's position (at the end, where it was opened so).
    @inline(__always)
    public func write(_ descriptor: Int32, _ bytes: UnsafeRawPointer, count: Int, token: Token) {
        let entry = entry()
        io_uring_prep_write(entry, descriptor, bytes, UInt32(count), UInt64.max)
        weir_sqe_set_token(entry, token.bits)
    }

    /// True while entries are queued that the kernel was not shown yet.
    public var hasUnsubmitted: Bool { raw.pointee.sq.sqe_tail != raw.pointee.sq.sqe_head }

    // MARK: Completions

    /// Submits what is queued, in one system call with the wait for the next completion.
    /// Answers a negative errno only where the ring cannot go on.
    @inline(__always)
    public func submitAndWait(timeoutNanoseconds: UInt64) -> Int32 {
        let result = port.submitAndWait(port.context, raw, timeoutNanoseconds)
        switch -result {
        case ETIME, EINTR, EBUSY, EAGAIN: return 0
        default: return result
        }
    }

    /// The completions that are there now, as positions for `completion(at:)`. They stay in the queue
    /// until `consume`.
    @inline(__always)
    public func pending() -> (first: UInt32, count: UInt32) {
        let head = weir_cq_head(raw)
        return (head, weir_cq_tail(raw) &- head)
    }

    @inline(__always)
    public func completion(at position: UInt32) -> Completion {
        let entry = weir_cq_entry(raw, position)!
        return Completion(
            token: Token(bits: entry.pointee.user_data), result: entry.pointee.res, flags: entry.pointee.flags
        )
    }

    /// Gives a batch back to the kernel: one queue advance for all of it.
    @inline(__always)
    public func consume(_ count: UInt32) { weir_cq_advance(raw, count) }

    /// Completions that the kernel had to drop; anything but 0 means that the ring is not to be trusted.
    public var droppedCompletions: UInt32 { weir_cq_dropped(raw) }
}
