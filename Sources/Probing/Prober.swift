// Runs many short exchanges with servers on one ring: health checks, probes of load. Owned by one thread, which
// gives it probes, lets it turn, and takes results. This file has the queue, the loop and the stop; the life of one
// exchange is in `Exchange.swift`.
//
// As many exchanges as there are slots run at a time, the others wait in order. Nothing is allocated for an
// exchange but what its result carries. Most of its cost is system calls and wake-ups: probes that are handed over
// several at a time, every few milliseconds, cost half of what they cost one by one.

import Base
import CLiburing
import Glibc
import Ring

/// Dimensions of a prober.
public struct ProberSettings: Sendable {
    /// Exchanges that run at a time.
    public var inFlightLimit = 64
    /// Exchanges that wait for one of those to end.
    public var waitingLimit = 16_384
    /// Bytes of an answer; one that has no verdict by then is unexpected. Memory is touched as it is used.
    public var answerLimitBytes = 64 * 1024
    /// An eventfd that another thread writes to, to wake the prober out of its wait; -1 for none.
    public var wakeDescriptor: Int32 = -1

    public init() {}
}

public final class Prober {
    enum Operation: UInt8 {
        case connect, send, receive, cancel, wake, close
    }

    private struct Waiting {
        let probe: Probe
        let reference: UInt64
    }

    static let cancelRetryNanoseconds: UInt64 = 20_000_000
    static let queueRetryNanoseconds: UInt64 = 5_000_000

    let ring: Ring
    let settings: ProberSettings
    var exchanges: Slab<Exchange>
    /// By slot: who is asked.
    var probes: [Probe?]
    /// By slot, `answerLimitBytes` each.
    let answers: UnsafeMutablePointer<UInt8>
    var timers: TimerWheel
    /// Nanoseconds of the port's clock, read twice a turn.
    public internal(set) var now: UInt64
    var isStopping = false

    /// Those that wait, in a circle.
    private var waiting: [Waiting?] = []
    private var waitingFirst = 0
    public private(set) var waitingCount = 0
    /// Results that were not taken yet, newest last.
    private var results: [ProbeResult] = []
    private var resultsTaken = 0
    private let wakeMemory: UnsafeMutablePointer<UInt64>
    private var wakeIsInKernel = false
    /// Somebody has written to the wake descriptor; whoever looks sets it back.
    public var wasWoken = false

    /// On the thread that will let it turn.
    public init(port: KernelPort, _ settings: ProberSettings) throws(RingSetUpError) {
        precondition(settings.inFlightLimit > 0 && settings.waitingLimit > 0 && settings.answerLimitBytes > 0)
        let limit = settings.inFlightLimit
        ring = try Ring(
            port: port, submissionEntries: 256, completionEntries: UInt32(max(256, 4 * limit)))
        self.settings = settings
        exchanges = Slab(capacity: limit)
        probes = Array(repeating: nil, count: limit)
        answers = PagedMemory.reserve(UInt8.self, count: limit * settings.answerLimitBytes)
        now = port.monotonicNow(port.context)
        timers = TimerWheel(capacity: limit, now: now)
        wakeMemory = .allocate(capacity: 1)
        wakeMemory.initialize(to: 0)
    }

    /// Nothing but the wake may be in the kernel: stop it and let it turn until it is idle. (Where the ring itself
    /// has failed, memory that the kernel may still write to is kept.)
    deinit {
        guard isIdle else { return }
        // The kernel ends the read of the wake with the ring, which goes after this: its eight bytes stay.
        PagedMemory.release(answers, byteCount: settings.inFlightLimit * settings.answerLimitBytes)
    }

    /// Exchanges that hold a slot.
    public var inFlightCount: Int { exchanges.count }

    /// Nothing runs, nothing waits, and all sockets are closed.
    public var isIdle: Bool { exchanges.count == 0 && waitingCount == 0 && !ring.hasUnsubmitted }

    // MARK: In and out

    /// Has the probe done once; its result carries `reference`. False where too many wait, or after `stop`.
    public func submit(_ probe: Probe, reference: UInt64) -> Bool {
        guard !isStopping, waitingCount < settings.waitingLimit else { return false }
        if waitingCount == waiting.count { growWaiting() }
        waiting[(waitingFirst + waitingCount) % waiting.count] = Waiting(probe: probe, reference: reference)
        waitingCount += 1
        return true
    }

    private func growWaiting() {
        var larger: [Waiting?] = []
        larger.reserveCapacity(max(16, 2 * waiting.count))
        for place in 0..<waitingCount { larger.append(waiting[(waitingFirst + place) % waiting.count]) }
        while larger.count < max(16, 2 * waitingCount) { larger.append(nil) }
        waiting = larger
        waitingFirst = 0
    }

    private func popWaiting() -> Waiting? {
        guard waitingCount > 0 else { return nil }
        defer {
            waiting[waitingFirst] = nil
            waitingFirst = (waitingFirst + 1) % waiting.count
            waitingCount -= 1
        }
        return waiting[waitingFirst]
    }

    /// The next result, in the order of verdicts. To be called until nil after each turn.
    public func nextResult() -> ProbeResult? {
        guard resultsTaken < results.count else {
            results.removeAll(keepingCapacity: true)
            resultsTaken = 0
            return nil
        }
        resultsTaken += 1
        return results[resultsTaken - 1]
    }

    func deliver(_ result: ProbeResult) { results.append(result) }

    // MARK: The loop

    /// Begins what may begin, waits until something happens, but not beyond `limit` (of the port's clock), and sees to
    /// it. Answers 0, or the errno for which the ring cannot go on.
    public func turn(waitingUntil limit: UInt64) -> Int32 {
        now = ring.port.monotonicNow(ring.port.context)
        if settings.wakeDescriptor >= 0, !wakeIsInKernel { armWake() }
        while exchanges.count < settings.inFlightLimit, let next = popWaiting() {
            begin(next.probe, next.reference)
        }
        let result = ring.submitAndWait(timeoutNanoseconds: timeToWait(until: limit))
        if result < 0 { return -result }
        now = ring.port.monotonicNow(ring.port.context)
        let (first, count) = ring.pending()
        for offset in 0..<count { dispatch(ring.completion(at: first &+ offset)) }
        ring.consume(count)
        while let timer = timers.popExpired(now: now) { timerFired(timer) }
        return 0
    }

    /// 0 would mean: do not wait, which is right where something is due.
    private func timeToWait(until limit: UInt64) -> UInt64 {
        // What could not begin has a result already; at the end only sockets are to be closed.
        if resultsTaken < results.count || isStopping && exchanges.count == 0 { return 0 }
        let next = min(limit, timers.nextDeadline() ?? UInt64.max)
        if next == UInt64.max { return UInt64.max }
        return next > now ? next - now : 0
    }

    private func dispatch(_ completion: Completion) {
        // Closing completes only on failure, which would be a defect here.
        guard let operation = Operation(rawValue: completion.token.operation), operation != .close else {
            preconditionFailure("a descriptor of a probe cannot be closed")
        }
        if operation == .wake {
            wakeIsInKernel = false
            wasWoken = true
            return
        }
        let slot = completion.token.slot
        precondition(
            exchanges.isLive(slot) && completion.token.matches(generation: exchanges.generation(slot)),
            "a slot is freed only when nothing of it is in the kernel")
        completed(slot, operation, completion.result)
    }

    private func armWake() {
        wakeIsInKernel = true
        ring.read(
            settings.wakeDescriptor, into: wakeMemory, count: 8,
            token: Token(operation: Operation.wake.rawValue, generation: 0, slot: 0))
    }

    // MARK: The end

    /// Ends everything: what waits and what runs has the result `stopped` at once, and nothing is taken any more.
    /// Turn until `isIdle`: the kernel gives back what it has, in milliseconds.
    public func stop() {
        isStopping = true
        now = ring.port.monotonicNow(ring.port.context)
        while let next = popWaiting() {
            deliver(
                ProbeResult(
                    reference: next.reference, startedAt: now, durationNanoseconds: 0, cause: .stopped,
                    detail: "", answer: []))
        }
        for slot in 0..<UInt32(exchanges.highWater) where exchanges.isLive(slot) {
            if exchanges[slot].pointee.state != .closing { end(slot, .stopped) }
        }
    }
}
