// A kernel behind `KernelPort` for hosts that forbid io_uring: it executes the same submission entries with
// epoll and non-blocking system calls. This file is its public face; `Machine` does the work. The process
// makes one for each worker when the real ring is refused.

import CLiburing
import Glibc
import Ring

/// One emulated ring. Completions carry the results and flags that io_uring gives; what an application of
/// this house never submits (links, fixed files, bundles) is answered with -EINVAL.
///
/// The process must ignore SIGPIPE, and no operation may be in flight on a descriptor that is closed. One
/// thread at a time uses it.
public final class EmulatedKernel {
    /// What the port's context points at. It outlives this object for as long as its ring does.
    private struct Holder: ~Copyable {
        var machine: UnsafeMutablePointer<Machine>?
        var isOwned = true
    }

    private let holder: UnsafeMutablePointer<Holder>

    public init() {
        holder = .allocate(capacity: 1)
        holder.initialize(to: Holder())
    }

    deinit {
        holder.pointee.isOwned = false
        Self.releaseIfUnused(holder)
    }

    /// The port to hand to one `Ring`. Keep this object until that ring is set up; from there on it may go. A
    /// second ring before the first has ended is refused with EBUSY.
    public var port: KernelPort {
        var port = KernelPort.real
        port.context = UnsafeMutableRawPointer(holder)
        port.setUp = { context, ring, entries, parameters in
            EmulatedKernel.setUp(EmulatedKernel.holder(context), ring, entries, &parameters.pointee)
        }
        port.exit = { context, _ in
            let holder = EmulatedKernel.holder(context)
            guard let machine = holder.pointee.machine else { return }
            machine.deinitialize(count: 1)
            machine.deallocate()
            holder.pointee.machine = nil
            EmulatedKernel.releaseIfUnused(holder)
        }
        port.registerBufferRing = { context, _, registration in
            EmulatedKernel.machine(context).pointee.bufferGroups.register(registration.pointee)
        }
        port.submitAndWait = { context, _, timeoutNanoseconds in
            EmulatedKernel.machine(context).pointee.submitAndWait(timeoutNanoseconds: timeoutNanoseconds)
        }
        return port
    }

    private static func setUp(
        _ holder: UnsafeMutablePointer<Holder>, _ ring: UnsafeMutablePointer<io_uring>, _ entries: UInt32,
        _ parameters: inout io_uring_params
    ) -> Int32 {
        guard holder.pointee.machine == nil else { return -EBUSY }
        guard let sizes = QueuesInMemory.sizes(entries: entries, parameters: parameters) else {
            return -EINVAL
        }
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        if epoll < 0 { return -errno }
        parameters.sq_entries = sizes.submission
        parameters.cq_entries = sizes.completion
        parameters.features = QueuesInMemory.features
        let machine = UnsafeMutablePointer<Machine>.allocate(capacity: 1)
        machine.initialize(
            to: Machine(
                epoll: epoll,
                queues: QueuesInMemory(
                    ring: ring, descriptor: epoll, flags: parameters.flags,
                    submissionEntries: sizes.submission, completionEntries: sizes.completion)))
        holder.pointee.machine = machine
        return 0
    }

    @inline(__always)
    private static func holder(_ context: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Holder> {
        context.assumingMemoryBound(to: Holder.self)
    }

    @inline(__always)
    private static func machine(_ context: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Machine> {
        holder(context).pointee.machine!
    }

    private static func releaseIfUnused(_ holder: UnsafeMutablePointer<Holder>) {
        guard !holder.pointee.isOwned, holder.pointee.machine == nil else { return }
        holder.deinitialize(count: 1)
        holder.deallocate()
    }
}
