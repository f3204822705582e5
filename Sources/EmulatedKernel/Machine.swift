// One emulated ring at work: a turn reads what is queued, tries each operation at once, keeps those that must
// wait, and lets epoll tell which of them to try again. Called by the port's functions, on the worker's
// thread only.
//
//     queued entry -> attempt -+-> done: completion posted
//                              +-> waits: record in the descriptor's list, tried again at each edge
//                              +-> again: record in the ready list, tried again next turn without sleeping
//                              +-> stalls: record in the stalled list, tried again after a millisecond

import CLiburing
import Glibc
import Ring

/// What trying an operation came to.
enum Outcome {
    case done(result: Int32, flags: UInt32 = 0)
    case waits(Readiness)
    /// There may be more, but others have their turn first.
    case again
    /// It cannot go on, and nothing will tell when it can.
    case stalls
}

struct Machine: ~Copyable {
    /// Completions that one multishot operation posts at a time (the kernel's MULTISHOT_MAX_RETRY).
    static let multishotBound = 32
    private static let eventsLimit: Int32 = 256
    private static let stalledPauseNanoseconds: UInt64 = 1_000_000

    private static let readableEvents =
        EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLPRI.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
    private static let writableEvents = EPOLLOUT.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
    private static let finalEvents =
        EPOLLRDHUP.rawValue | EPOLLPRI.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
    /// What a poll reports whether it was asked for or not (the kernel's IO_POLL_UNMASK).
    static let unmaskedEvents = EPOLLERR.rawValue | EPOLLHUP.rawValue | EPOLLRDHUP.rawValue

    let epoll: Int32
    var queues: QueuesInMemory
    var operations = Operations()
    var descriptors: Descriptors
    var bufferGroups = BufferGroups()
    private let events: UnsafeMutablePointer<epoll_event>
    private var harvestedLastTurn = false
    private var hasPreciseWait = true

    /// Takes over the epoll descriptor.
    init(epoll: Int32, queues: consuming QueuesInMemory) {
        self.epoll = epoll
        self.queues = queues
        descriptors = Descriptors(epoll: epoll)
        events = .allocate(capacity: Int(Self.eventsLimit))
        events.initialize(repeating: epoll_event(), count: Int(Self.eventsLimit))
    }

    deinit {
        operations.forEach { Self.releaseAddress(of: operations[$0]) }
        events.deallocate()
        close(epoll)
    }

    // MARK: A turn

    /// As `KernelPort.submitAndWait`.
    mutating func submitAndWait(timeoutNanoseconds: UInt64) -> Int32 {
        queues.flushBacklog()
        let submitted = submitQueued()
        retryAll(from: operations.ready.first)
        retryAll(from: operations.stalled.first)
        let hasWork = queues.hasCompletions || operations.ready.count > 0
        if hasWork || timeoutNanoseconds == 0 {
            // Every other turn is enough to look for events while there is work without them.
            if timeoutNanoseconds != 0, harvestedLastTurn {
                harvestedLastTurn = false
                return submitted
            }
            let result = harvest(timeoutNanoseconds: 0)
            return result < 0 ? result : submitted
        }
        let result = wait(timeoutNanoseconds: timeoutNanoseconds)
        return result < 0 ? result : submitted
    }

    /// Waits until a completion is posted: 0, -ETIME or another negative errno.
    private mutating func wait(timeoutNanoseconds: UInt64) -> Int32 {
        let isBounded = timeoutNanoseconds != UInt64.max
        let start = isBounded ? monotonicNow() : 0
        var remaining = timeoutNanoseconds
        while true {
            let stalls = operations.stalled.count > 0
            let pause = stalls ? min(remaining, Self.stalledPauseNanoseconds) : remaining
            let result = harvest(timeoutNanoseconds: pause)
            if result < 0 { return result }
            retryAll(from: operations.stalled.first)
            if queues.hasCompletions { return 0 }
            guard isBounded else { continue }
            let elapsed = monotonicNow() &- start
            if elapsed >= timeoutNanoseconds { return -ETIME }
            remaining = timeoutNanoseconds - elapsed
        }
    }

    /// Tries each operation of a queue.
    private mutating func retryAll(from first: UInt32) {
        var link = first
        while link != 0 {
            let next = operations[link - 1].pointee.nextInQueue
            retry(link - 1)
            link = next
        }
    }

    /// Takes events from epoll and tries what they may have woken. A negative errno, or 0.
    private mutating func harvest(timeoutNanoseconds: UInt64) -> Int32 {
        let count = waitForEvents(timeoutNanoseconds: timeoutNanoseconds)
        if count < 0 { return count }
        harvestedLastTurn = true
        for index in 0..<Int(count) {
            guard let descriptor = descriptors.descriptor(of: events[index]) else { continue }
            wake(descriptor, events: events[index].events)
        }
        return 0
    }

    private mutating func wake(_ descriptor: Int32, events: UInt32) {
        let entry = descriptors[descriptor]
        if events & Self.finalEvents != 0 { entry.pointee.readsUntilEmpty = true }
        var link = entry.pointee.firstOperation
        while link != 0 {
            let number = link - 1
            let operation = operations[number]
            link = operation.pointee.nextOfDescriptor
            // One in a run list has had its share of this turn, or waits for nothing that has an event.
            if operation.pointee.queue != .none { continue }
            switch operation.pointee.readiness {
            case .readable where events & Self.readableEvents != 0: retry(number)
            case .writable where events & Self.writableEvents != 0: retry(number)
            case .any:
                let found = events & (operation.pointee.flags | Self.unmaskedEvents)
                if found != 0 { apply(tellPoll(operation.pointee, Int32(bitPattern: found)), to: number) }
            default: break
            }
        }
    }

    // MARK: Operations

    /// Tries an operation that was just submitted.
    @inline(__always)
    mutating func start(_ submitted: Operation) {
        var operation = submitted
        let outcome = attempt(&operation)
        if case .done(let result, let flags) = outcome {
            post(operation, result: result, flags: flags)
        } else {
            park(operation, outcome)
        }
    }

    private mutating func park(_ operation: Operation, _ outcome: Outcome) {
        let watched = descriptors.watch(operation.descriptor)
        let number = operations.add(operation)
        descriptors.link(number, operations)
        if watched < 0 {
            finish(number, result: watched, flags: 0)
        } else {
            apply(outcome, to: number)
        }
    }

    private mutating func retry(_ number: UInt32) {
        let record = operations[number]
        apply(attempt(&record.pointee), to: number)
    }

    private mutating func apply(_ outcome: Outcome, to number: UInt32) {
        switch outcome {
        case .done(let result, let flags): finish(number, result: result, flags: flags)
        case .waits(let readiness):
            operations[number].pointee.readiness = readiness
            operations.dequeue(number)
        case .again: operations.enqueue(number, in: .ready)
        case .stalls: operations.enqueue(number, in: .stalled)
        }
    }

    /// Posts an operation's last completion and frees its record.
    mutating func finish(_ number: UInt32, result: Int32, flags: UInt32) {
        let operation = operations[number]
        post(operation.pointee, result: result, flags: flags)
        let descriptor = operation.pointee.descriptor
        let wasAccept = operation.pointee.kind == .accept
        Self.releaseAddress(of: operation)
        descriptors.unlink(number, operations)
        operations.remove(number)
        if wasAccept, descriptors.firstOperation(on: descriptor) == 0 { descriptors.unwatch(descriptor) }
    }

    @inline(__always)
    private mutating func post(_ operation: Operation, result: Int32, flags: UInt32) {
        if operation.skipsSuccess, result >= 0 { return }
        queues.post(token: operation.token, result: result, flags: flags)
    }

    @inline(__always)
    private mutating func attempt(_ operation: inout Operation) -> Outcome {
        switch operation.kind {
        case .receive: attemptReceive(operation)
        case .send: attemptSend(&operation)
        case .accept: attemptAccept(operation)
        case .connect: attemptConnect(&operation)
        case .poll: attemptPoll(operation)
        case .read: attemptRead(operation)
        case .write: attemptWrite(operation)
        }
    }

    // MARK: Waiting

    /// epoll_pwait2(2), or where the kernel or its filter lacks that, epoll_wait(2) with the time rounded up.
    private mutating func waitForEvents(timeoutNanoseconds: UInt64) -> Int32 {
        if hasPreciseWait {
            let count: Int32
            if timeoutNanoseconds == UInt64.max {
                count = epoll_pwait2(epoll, events, Self.eventsLimit, nil, nil)
            } else {
                var timeout = timespec()
                timeout.tv_sec = Int(timeoutNanoseconds / 1_000_000_000)
                timeout.tv_nsec = Int(timeoutNanoseconds % 1_000_000_000)
                count = epoll_pwait2(epoll, events, Self.eventsLimit, &timeout, nil)
            }
            if count >= 0 { return count }
            if errno != ENOSYS, errno != EPERM { return -errno }
            hasPreciseWait = false
        }
        var milliseconds: Int32 = -1
        if timeoutNanoseconds != UInt64.max {
            let rounded = timeoutNanoseconds / 1_000_000 + (timeoutNanoseconds % 1_000_000 == 0 ? 0 : 1)
            milliseconds = Int32(min(rounded, UInt64(Int32.max)))
        }
        let count = epoll_wait(epoll, events, Self.eventsLimit, milliseconds)
        return count >= 0 ? count : -errno
    }

    private func monotonicNow() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Frees the copy of a peer's address that a stalled connect made.
    private static func releaseAddress(of operation: UnsafeMutablePointer<Operation>) {
        guard operation.pointee.ownsAddress else { return }
        operation.pointee.ownsAddress = false
        UnsafeMutableRawPointer(bitPattern: UInt(operation.pointee.address))?.deallocate()
    }
}
