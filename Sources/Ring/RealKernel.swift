// The port to the kernel that runs this process: liburing for the ring, the plain system calls for the
// rest. No state of its own.

import CLiburing
import Glibc

extension KernelPort {
    /// The kernel that runs this process, through io_uring. The context is not used.
    public static var real: KernelPort {
        KernelPort(
            context: UnsafeMutableRawPointer(bitPattern: 1)!,
            setUp: { _, ring, entries, parameters in io_uring_queue_init_params(entries, ring, parameters) },
            exit: { _, ring in io_uring_queue_exit(ring) },
            registerBufferRing: { _, ring, registration in io_uring_register_buf_ring(ring, registration, 0)
            },
            submitAndWait: realSubmitAndWait,
            monotonicNow: { _ in realClock(CLOCK_MONOTONIC) },
            wallClockNow: { _ in realClock(CLOCK_REALTIME) },
            splice: { _, input, output, length in
                let moved = weir_splice(input, output, length)
                return moved >= 0 ? moved : -Int(errno)
            },
            makePipe: { _, descriptors, capacityBytes in
                if pipe2(descriptors, O_NONBLOCK | O_CLOEXEC) != 0 { return -errno }
                _ = weir_set_pipe_size(descriptors[0], capacityBytes)
                return weir_pipe_size(descriptors[0])
            },
            makeStreamSocket: { _, family in
                let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
                let descriptor = socket(family, kind, 0)
                return descriptor >= 0 ? descriptor : -errno
            },
            setOption: { _, descriptor, level, name, value, length in
                setsockopt(descriptor, level, name, value, length) == 0 ? 0 : -errno
            },
            peerName: { _, descriptor, address, length in
                let generic = UnsafeMutableRawPointer(address).assumingMemoryBound(to: sockaddr.self)
                return getpeername(descriptor, generic, length) == 0 ? 0 : -errno
            },
            undeliveredBytes: { _, descriptor in weir_undelivered_bytes(descriptor) },
            shutdown: { _, descriptor, how in Glibc.shutdown(descriptor, how) == 0 ? 0 : -errno },
            close: { _, descriptor in Glibc.close(descriptor) == 0 ? 0 : -errno })
    }
}

private func realClock(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

private func realSubmitAndWait(
    _ context: UnsafeMutableRawPointer, _ ring: UnsafeMutablePointer<io_uring>, _ timeoutNanoseconds: UInt64
) -> Int32 {
    if timeoutNanoseconds == 0 {
        let submitted = io_uring_submit(ring)
        return submitted < 0 ? submitted : io_uring_get_events(ring)
    }
    if timeoutNanoseconds == UInt64.max { return io_uring_submit_and_wait(ring, 1) }
    var completion: UnsafeMutablePointer<io_uring_cqe>?
    var timeout = __kernel_timespec()
    timeout.tv_sec = Int64(timeoutNanoseconds / 1_000_000_000)
    timeout.tv_nsec = Int64(timeoutNanoseconds % 1_000_000_000)
    return io_uring_submit_and_wait_timeout(ring, &completion, 1, &timeout, nil)
}
