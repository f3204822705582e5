// The only way into the kernel. Everything that the data plane does to the world is either a submission
// entry in the ring or one of these calls, so that another kernel (emulated on epoll, simulated in
// memory) can stand behind the same data plane. The context is whatever that kernel needs to find itself.

import CLiburing

/// The calls that enter the kernel, as C function pointers: one indirect call each, no generics and no
/// existential on the hot path. Every call answers a negative errno on failure, as io_uring does.
public struct KernelPort {
    public typealias Context = UnsafeMutableRawPointer
    public typealias RingPointer = UnsafeMutablePointer<io_uring>

    /// Handed to every call; the kernel's own. The real kernel ignores it.
    public var context: Context

    /// Prepares `ring` with at least `entries` submission entries; asks for what `parameters` says.
    /// `-EINVAL` where a flag is unknown (the caller steps down), `-EPERM`/`-ENOSYS` where forbidden.
    public var setUp:
        @convention(c) (
            _ context: Context, _ ring: RingPointer, _ entries: UInt32,
            _ parameters: UnsafeMutablePointer<io_uring_params>
        ) -> Int32
    /// Gives back what `setUp` took. Operations still in the kernel are cancelled.
    public var exit: @convention(c) (_ context: Context, _ ring: RingPointer) -> Void
    /// IORING_REGISTER_PBUF_RING.
    public var registerBufferRing:
        @convention(c) (
            _ context: Context, _ ring: RingPointer, _ registration: UnsafeMutablePointer<io_uring_buf_reg>
        ) -> Int32
    /// Submits what is queued and waits until at least one completion is there or `timeoutNanoseconds`
    /// have passed (0: do not wait; `UInt64.max`: no limit). Answers 0 or more; `-ETIME` and `-EINTR`
    /// are no failure to the caller; `-EBUSY`/`-EAGAIN` mean: reap completions, then try again.
    public var submitAndWait:
        @convention(c) (_ context: Context, _ ring: RingPointer, _ timeoutNanoseconds: UInt64) -> Int32

    /// Monotonic time in nanoseconds; the worker reads it once a turn.
    public var monotonicNow: @convention(c) (_ context: Context) -> UInt64
    /// Nanoseconds since 1970-01-01 UTC, for log records.
    public var wallClockNow: @convention(c) (_ context: Context) -> UInt64

    /// Non-blocking splice(2) of up to `length` bytes between a socket and a pipe. Answers the bytes
    /// moved, 0 at the end of input, or a negative errno (`-EAGAIN`: not ready).
    public var splice:
        @convention(c) (_ context: Context, _ input: Int32, _ output: Int32, _ length: Int) -> Int
    /// A non-blocking pipe: `descriptors[0]` reads, `[1]` writes; asks for `capacityBytes`, keeps what the
    /// kernel grants (pipe(7): a user over its share of pipe memory gets as little as 8 KiB). Answers the
    /// capacity in bytes.
    public var makePipe:
        @convention(c) (
            _ context: Context, _ descriptors: UnsafeMutablePointer<Int32>, _ capacityBytes: Int32
        )
            -> Int32
    /// A non-blocking, close-on-exec stream socket. (Ring operations on it wait for readiness all the same;
    /// splice(2) needs the flag.) Answers the descriptor.
    public var makeStreamSocket: @convention(c) (_ context: Context, _ family: Int32) -> Int32
    /// setsockopt(2).
    public var setOption:
        @convention(c) (
            _ context: Context, _ descriptor: Int32, _ level: Int32, _ name: Int32,
            _ value: UnsafeRawPointer, _ length: UInt32
        ) -> Int32
    /// getpeername(2).
    public var peerName:
        @convention(c) (
            _ context: Context, _ descriptor: Int32, _ address: UnsafeMutablePointer<sockaddr_storage>,
            _ length: UnsafeMutablePointer<UInt32>
        ) -> Int32
    /// ioctl(SIOCOUTQ): bytes that were given to a stream socket and not taken over by the other side's kernel
    /// yet, or a negative errno.
    public var undeliveredBytes: @convention(c) (_ context: Context, _ descriptor: Int32) -> Int32
    /// shutdown(2). A direct call: the ring hands IORING_OP_SHUTDOWN to a kernel worker thread, always.
    public var shutdown: @convention(c) (_ context: Context, _ descriptor: Int32, _ how: Int32) -> Int32
    /// close(2), for what is not closed by the ring (pipes).
    public var close: @convention(c) (_ context: Context, _ descriptor: Int32) -> Int32
}
