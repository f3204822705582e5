// The simulated kernel as the worker sees it: a `KernelPort` whose calls find their kernel by the context.

import CLiburing
import Glibc
import Ring

extension SimulatedKernel {
    /// For one `Ring`. The kernel must outlive it.
    public var port: KernelPort {
        var port = KernelPort.real
        port.context = Unmanaged.passUnretained(self).toOpaque()
        port.setUp = { context, ring, entries, parameters in
            kernel(context).setUp(ring, entries, &parameters.pointee)
        }
        port.exit = { context, _ in kernel(context).exit() }
        port.registerBufferRing = { context, _, registration in
            kernel(context).buffers.register(registration.pointee)
        }
        port.submitAndWait = { context, _, timeout in
            kernel(context).submitAndWait(timeoutNanoseconds: timeout)
        }
        port.monotonicNow = { kernel($0).now }
        port.wallClockNow = { kernel($0).now + 1_700_000_000_000_000_000 }
        port.splice = { kernel($0).splice($1, $2, $3) }
        port.makePipe = { kernel($0).makePipe($1, $2) }
        port.makeStreamSocket = { kernel($0).makeStreamSocket($1) }
        port.setOption = { kernel($0).setOption($1, $2, $3, $4, $5) }
        port.peerName = { kernel($0).peerName($1, $2, $3) }
        port.undeliveredBytes = { kernel($0).undeliveredBytes($1) }
        port.shutdown = { kernel($0).shutdown($1, $2) }
        port.close = { kernel($0).close($1) }
        return port
    }

    private func setUp(
        _ ring: UnsafeMutablePointer<io_uring>, _ entries: UInt32, _ parameters: inout io_uring_params
    ) -> Int32 {
        guard let asked = QueuesInMemory.sizes(entries: entries, parameters: parameters), queues == nil else {
            return -EINVAL
        }
        // CLAMP lets the kernel give less than is asked for.
        let submission = min(asked.submission, plan.submissionEntries)
        let completion = min(asked.completion, max(plan.completionEntries, submission))
        parameters.sq_entries = submission
        parameters.cq_entries = completion
        let queues = UnsafeMutablePointer<QueuesInMemory>.allocate(capacity: 1)
        queues.initialize(
            to: QueuesInMemory(
                ring: ring, descriptor: -1, flags: parameters.flags, submissionEntries: submission,
                completionEntries: completion))
        self.queues = queues
        return 0
    }

    /// What is still in flight is dropped: the worker may leave nothing but its wake and its logs behind.
    private func exit() {
        guard let queues else { return }
        let (_, unread) = queues.pointee.queued()
        if unread > 0 { fail("\(unread) submissions were never handed over") }
        for number in 0..<operationHigh where operations[Int(number)].isActive {
            switch operations[Int(number)].kind {
            case .readEvent, .writeLog, .pollLog: break
            default: fail("an operation is in flight at the end: \(operations[Int(number)].kind)")
            }
            forget(number)
        }
        queues.deinitialize(count: 1)
        queues.deallocate()
        self.queues = nil
    }
}

@inline(__always)
private func kernel(_ context: UnsafeMutableRawPointer) -> SimulatedKernel {
    Unmanaged<SimulatedKernel>.fromOpaque(context).takeUnretainedValue()
}
