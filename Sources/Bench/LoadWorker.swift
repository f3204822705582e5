// One thread's share of the load: its connections, its ring, its clock. This file has the loop and the phases of
// a run; `LoadRequests` begins requests and reads answers, `LoadSockets` opens and closes connections.
//
//   opening (all connections are made) -> warming (who holds: each has an answer, uncounted) -> running
//   -> finishing (what has begun, or is due, is awaited) -> done

import Base
import Glibc
import HTTP1
import Ring
import Synchronization

/// What the threads of a run share; none writes it but the control thread.
final class LoadControl: Sendable {
    let shouldStop = Atomic<Bool>(false)
}

/// What does not change during a run.
struct LoadPlan: BitwiseCopyable {
    let isHTTP: Bool
    let isFresh: Bool
    /// Of this thread; slow readers have the numbers from here on.
    let measuredConnections: Int
    let slowReaders: Int
    let rate: Double?
    let durationNanoseconds: UInt64
    /// Requests that this thread begins at most.
    let requestLimit: UInt64
    let holds: Bool
    let thread: Int
    let threads: Int

    var connections: Int { measuredConnections + slowReaders }
}

struct LoadWorker: ~Copyable {
    enum Phase {
        case opening, warming, running, finishing, done
    }

    /// How long connections may take to be made before the run begins without the rest.
    static let openingLimitNanoseconds: UInt64 = 5_000_000_000
    /// How long answers are awaited when the time is over.
    static let finishingLimitNanoseconds: UInt64 = 2_000_000_000
    /// How long at most until the control thread's word is heard.
    private static let patienceNanoseconds: UInt64 = 50_000_000
    private static let bufferLimit = 1024
    private static let fieldLimit = 100

    let ring: Ring
    var buffers: BufferRing
    let plan: LoadPlan
    let requests: Requests
    let target: UnsafeMutablePointer<sockaddr_storage>
    let targetLength: UInt32
    let connections: UnsafeMutablePointer<LoadConnection>
    /// For each connection, room for a head that comes in pieces.
    let heads: UnsafeMutablePointer<UInt8>
    let fields: FieldTable
    let fieldMemory: UnsafeMutablePointer<Field>
    var idle: IdleList
    var waiting: IdleList
    var connectingCount = 0
    /// Requests that have begun and were not answered, of measured connections.
    var busyCount = 0
    /// Requests of measured connections that have begun.
    var begunCount: UInt64 = 0
    var timers: TimerWheel
    var schedule: Schedule?
    var random: RandomSource
    var phase = Phase.opening
    /// The worker's clock, read once a turn.
    var now: UInt64
    /// When the phase ends, whatever happens.
    private var phaseEndsAt: UInt64
    private var startedAt: UInt64 = 0
    var counts = LoadCounts()
    var histogram = Histogram()
    /// The errno that ends the run: the target cannot be reached at all.
    var failure: Int32 = 0

    /// On the thread that will `run`.
    init(_ plan: LoadPlan, requests: Requests, target address: SocketAddress, isReal: Bool) throws(BenchError)
    {
        let ring = try BenchKernel.makeRing(onRealKernel: isReal)
        buffers = try BenchKernel.makeBuffers(
            ring, limit: min(max(2 * plan.connections, 128), Self.bufferLimit))
        now = BenchKernel.now(ring)
        self.ring = ring
        self.plan = plan
        self.requests = requests
        target = .allocate(capacity: 1)
        target.initialize(to: address.storage)
        targetLength = address.length
        connections = PagedMemory.reserve(LoadConnection.self, count: plan.connections)
        connections.initialize(repeating: LoadConnection(), count: plan.connections)
        heads = PagedMemory.reserve(UInt8.self, count: plan.connections * ResponseReader.headLimitBytes)
        fieldMemory = PagedMemory.reserve(Field.self, count: Self.fieldLimit)
        fields = FieldTable(fieldMemory, capacity: Self.fieldLimit)
        idle = IdleList(capacity: plan.connections)
        waiting = IdleList(capacity: plan.connections)
        timers = TimerWheel(capacity: plan.connections, now: now)
        random = RandomSource(seed: UInt64(plan.thread))
        phaseEndsAt = now + Self.openingLimitNanoseconds
        circulateAllBuffers()
    }

    deinit {
        target.deallocate()
        PagedMemory.release(
            connections, byteCount: plan.connections * MemoryLayout<LoadConnection>.stride)
        PagedMemory.release(heads, byteCount: plan.connections * ResponseReader.headLimitBytes)
        PagedMemory.release(fieldMemory, byteCount: Self.fieldLimit * MemoryLayout<Field>.stride)
    }

    /// The ring of buffers grows when many are held; here none is held for longer than a call, and yet all
    /// connections may be answered in one turn.
    private mutating func circulateAllBuffers() {
        var first = BufferRing.none
        while let buffer = buffers.takeSpare() {
            buffers.segment(buffer).pointee.next = first
            first = buffer
        }
        while first != BufferRing.none {
            let buffer = first
            first = buffers.segment(buffer).pointee.next
            buffers.giveBack(buffer)
        }
        buffers.publish()
    }

    /// Returns when the run is over, or `control` says stop. Answers 0, or the errno for which it broke off.
    mutating func run(_ control: LoadControl) -> Int32 {
        begin()
        while phase != .done {
            let result = turn()
            if result != 0 { return result }
            if control.shouldStop.load(ordering: .relaxed) { stop() }
        }
        return 0
    }

    private mutating func begin() {
        for number in 0..<UInt32(plan.connections) {
            if plan.isFresh, number < plan.measuredConnections {
                connections[Int(number)].state = .idle
                idle.append(number)
            } else {
                waiting.append(number)
            }
        }
        openWaiting()
        if plan.isFresh { startRunning() }
    }

    /// One turn of the loop. Answers 0, or the errno for which the run breaks off.
    mutating func turn() -> Int32 {
        let result = ring.submitAndWait(timeoutNanoseconds: timeUntilNextEvent())
        if result < 0 { return -result }
        now = ring.port.monotonicNow(ring.port.context)
        let (first, count) = ring.pending()
        for offset in 0..<count { dispatch(ring.completion(at: first &+ offset)) }
        ring.consume(count)
        while let number = timers.popExpired(now: now) { rested(number) }
        openWaiting()
        advancePhase()
        beginDueRequests()
        buffers.publish()
        return failure
    }

    private func timeUntilNextEvent() -> UInt64 {
        var next = min(now + Self.patienceNanoseconds, phaseEndsAt)
        if let deadline = timers.nextDeadline() { next = min(next, deadline) }
        if !idle.isEmpty, mayBegin, let start = schedule?.nextStart { next = min(next, start) }
        // 0 would mean: do not wait, which is right where something is due.
        return next > now ? next - now : 0
    }

    // MARK: Phases

    private mutating func advancePhase() {
        switch phase {
        case .opening:
            let isOpen = waiting.isEmpty && connectingCount == 0 && timers.count == 0
            if now >= phaseEndsAt, counts.connections == 0 { failure = ETIMEDOUT }
            if isOpen || now >= phaseEndsAt { plan.holds && !plan.isFresh ? startWarming() : startRunning() }
        case .warming:
            if busyCount == 0 || now >= phaseEndsAt {
                counts.forgetAnswers()
                histogram = Histogram()
                begunCount = 0
                startRunning()
            }
        case .running:
            if now >= phaseEndsAt || !mayBegin && busyCount == 0 {
                counts.elapsedNanoseconds = now - startedAt
                phase = .finishing
                if !mayBegin { schedule = nil }
                phaseEndsAt = now + Self.finishingLimitNanoseconds
                advancePhase()
            }
        case .finishing:
            let isAnswered = busyCount == 0 && schedule?.nextStart == nil
            if isAnswered || now >= phaseEndsAt { finish() }
        case .done: break
        }
    }

    /// What stands between may connect to its backends only now: that is no part of kept connections' cost.
    private mutating func startWarming() {
        phase = .warming
        phaseEndsAt = now + Self.openingLimitNanoseconds
        while let number = idle.popFirst() { begin(number, startedAt: now) }
    }

    private mutating func startRunning() {
        phase = .running
        if plan.holds { sayRunning() }
        startedAt = now
        phaseEndsAt = now + plan.durationNanoseconds
        for number in plan.measuredConnections..<plan.connections
        where connections[number].state == .idle {
            begin(UInt32(number), startedAt: now)
        }
        if let rate = plan.rate {
            schedule = Schedule(
                start: now, end: phaseEndsAt, rate: rate, thread: plan.thread, threads: plan.threads)
            return
        }
        while mayBegin, let number = idle.popFirst() { begin(number, startedAt: now) }
    }

    private func sayRunning() {
        let text: StaticString = "running\n"
        _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Whether a run that ends after so many requests has any left.
    var mayBegin: Bool { begunCount < plan.requestLimit }

    /// The control thread wants to see what there is.
    private mutating func stop() {
        if phase == .running { counts.elapsedNanoseconds = now - startedAt }
        if phase != .done { finish() }
    }

    /// Whoever has no answer yet has waited at least so long; to leave them out would flatter the target.
    private mutating func finish() {
        phase = .done
        for number in 0..<plan.measuredConnections where isAwaiting(connections + number) {
            counts.unfinished += 1
            histogram.record(now - connections[number].startedAt)
        }
        while let intended = schedule?.take(now: now) {
            counts.unfinished += 1
            histogram.record(now - intended)
        }
    }

    private func isAwaiting(_ connection: UnsafeMutablePointer<LoadConnection>) -> Bool {
        connection.pointee.state == .busy
            || connection.pointee.state == .connecting && connection.pointee.hasRequest
    }
}
