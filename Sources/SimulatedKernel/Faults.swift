// What can go wrong, how often in this world, and how the world is dimensioned. A seed picks its own mix, so
// that a rare pair of faults meets in some world often instead of in every world hardly ever (Groce et al.,
// "Swarm Testing", 2012). Each fault that happens is counted.

import Base

/// Every way in which the kernel or the network deviates from the smooth case. All of them are allowed to a
/// real kernel.
public enum Fault: Int, CaseIterable, Sendable {
    case shortReceive, shortSend, shortSplice
    case noBuffers
    case connectRefused, connectTimedOut, connectReset, connectUnreachable
    case networkReset
    case socketOutOfDescriptors, acceptOutOfDescriptors, pipeOutOfDescriptors
    case socketFamilyUnknown
    case receiveOutOfMemory, sendOutOfMemory, acceptOutOfMemory
    case acceptAborted
    case spliceAgain
    case receiveInterrupted
    case multishotEndsEarly
    case completionDelayed
    case cancelFindsBusy
    case completionBeforeSubmission
    case waitInterrupted, submitBusy
    case logShort, logAgain, logStall, logNoSpace, logBrokenPipe
    // Since the first seeds were pinned; `WorldPlan` draws their odds apart.
    case cancelMisses, connectQueueFull, wakeInterrupted

    public static let later: [Fault] = [.cancelMisses, .connectQueueFull, .wakeInterrupted]

    public var name: String { "\(self)" }
}

/// Dimensions and odds of one world.
public struct FaultPlan {
    /// Odds of each fault, out of 2^16 each time that it could happen.
    public var odds = [UInt16](repeating: 0, count: Fault.allCases.count)
    /// One way through the network, and what it varies by.
    public var latencyNanoseconds: UInt64 = 50_000
    public var jitterNanoseconds: UInt64 = 20_000
    /// What a turn of the worker takes at most.
    public var turnNanoseconds: UInt64 = 20_000
    /// How late a delayed completion is at most.
    public var delayNanoseconds: UInt64 = 2_000_000
    /// Send and receive buffers of the connections, both sides together.
    public var windowBytes: UInt64 = 64 * 1024
    public var pipeBytes: Int32 = 64 * 1024
    /// Connections carry what peers write, and not a `Pattern`.
    public var carriesBytes = false
    /// Receives and sends may name memory of their own. A worker's never do; a prober's do.
    public var allowsOwnMemory = false
    /// The highest number of descriptors; beyond it EMFILE.
    public var descriptorLimit = 4096
    /// There are no unix sockets to be had, as there is no IPv6 on some hosts.
    public var lacksUnixSockets = false
    /// Entries of the queues, at most what the worker asks for.
    public var submissionEntries: UInt32 = 1024
    public var completionEntries: UInt32 = 8192
    public var listenerBacklog = 128
    /// A log that stalls does so for this long.
    public var logStallNanoseconds: UInt64 = 300_000_000

    public init() {}
}

extension SimulatedKernel {
    /// Draws whether a fault happens now; counts it.
    func happens(_ fault: Fault) -> Bool {
        let odds = plan.odds[fault.rawValue]
        if odds == 0 { return false }
        guard UInt16(truncatingIfNeeded: random.next() >> 48) < odds else { return false }
        faultCounts[fault.rawValue] += 1
        trace("fault", Int64(fault.rawValue))
        return true
    }

    func draw(upTo bound: UInt64) -> UInt64 {
        bound == 0 ? 0 : random.next() % (bound + 1)
    }

    /// When something sent now is there.
    func arrivalTime() -> UInt64 { now + plan.latencyNanoseconds + draw(upTo: plan.jitterNanoseconds) }
}
