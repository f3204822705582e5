// The ring that a thread of weir-bench runs on: io_uring where it works, else the one that is emulated on epoll.

import EmulatedKernel
import Glibc
import Ring

/// What both commands tell the kernel of an operation.
enum BenchKernel {
    static let bufferGroup: UInt16 = 0
    /// Large enough that bulk is read in few pieces; one that holds a small message costs a page.
    static let bufferSizeBytes = 32 * 1024

    /// Whether io_uring may be used here.
    static func isRealUsable() -> Bool {
        do throws(RingSetUpError) {
            let ring = try Ring(port: .real, submissionEntries: 8, completionEntries: 16)
            _ = try BufferRing(ring: ring, group: 0, limit: 2, bufferSizeBytes: 64)
            return true
        } catch {
            return false
        }
    }

    /// On the thread that will submit.
    static func makeRing(onRealKernel isReal: Bool) throws(BenchError) -> Ring {
        do throws(RingSetUpError) {
            let emulated = isReal ? nil : EmulatedKernel()
            let ring = try Ring(
                port: emulated?.port ?? .real, submissionEntries: 1024, completionEntries: 16_384)
            withExtendedLifetime(emulated) {}
            return ring
        } catch {
            throw BenchError("\(error.step) failed: \(errorText(error.errno))")
        }
    }

    /// Nanoseconds of the ring's clock.
    static func now(_ ring: borrowing Ring) -> UInt64 { ring.port.monotonicNow(ring.port.context) }

    static func makeBuffers(_ ring: borrowing Ring, limit: Int) throws(BenchError) -> BufferRing {
        do throws(RingSetUpError) {
            return try BufferRing(
                ring: ring, group: bufferGroup, limit: limit, bufferSizeBytes: bufferSizeBytes)
        } catch {
            throw BenchError("\(error.step) failed: \(errorText(error.errno))")
        }
    }

    /// Raises the limit of open descriptors as far as this process may. Answers it.
    static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }
}
