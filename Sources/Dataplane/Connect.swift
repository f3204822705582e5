// From a session to a connected backend: the pool's policy names a candidate, the ring connects to it,
// and on refusal or timeout the next candidate gets its turn, each at most once.

import Base
import Balancing
import Glibc
import Health
import Ring
import Telemetry

extension Worker {
    /// Tries the next candidate; ends the session where there is none left.
    mutating func connectNext(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        // It had a backend that a reload has removed.
        if session.pointee.pool.pointee.isRetired { moveToSuccessor(session) }
        let pool = session.pointee.pool.pointee.plan
        let choice = Choice(
            key: session.pointee.key, now: now,
            sticky: mutant(.stickyIgnored) ? nil : session.pointee.sticky.index)
        guard !isBehindOthers(session), takePoolPlace(session) else {
            if wait(slot, session) { return }
            session.pointee.connectFailure = .backendsFull
            noBackendLeft(slot, session, .noBackend)
            return
        }
        guard let index = session.pointee.pool.pointee.policy.take(&session.pointee.sequence, choice) else {
            releasePoolPlace(session)
            if pool.pointee.candidates.fullCount > 0, wait(slot, session) { return }
            endWait(slot, session)
            if session.pointee.connectFailure == .ok, pool.pointee.candidates.fullCount > 0 {
                session.pointee.connectFailure = .backendsFull
            }
            if session.pointee.isHTTP, exchange(session).pointee.mayStartOver {
                exchange(session).pointee.mayStartOver = false
                session.pointee.sequence = CandidateSequence()
                connectNext(slot, session)
            } else if !retryConnecting(slot, session) {
                noBackendLeft(slot, session, .noBackend)
            }
            return
        }
        session.pointee.backend = UInt16(index)
        session.pointee.holdsBackend = true
        session.pointee.trial = session.pointee.sequence.trial
        tally(.tries, session)
        endWait(slot, session)
        rememberBackend(session)
        if pool.pointee.batch > 1, standBehind(slot, session) { return }
        if session.pointee.isHTTP, attachIdle(slot, session) {
            session.pointee.attempts += 1
            exchange(session).pointee.isReused = true
            backendAttached(slot, session)
            return
        }
        connect(slot, session, to: pool.pointee.backends + index)
    }

    /// To the same backend, on a new connection.
    mutating func connectAgain(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        connect(
            slot, session,
            to: session.pointee.pool.pointee.plan.pointee.backends + Int(session.pointee.backend))
    }

    /// In tcp mode that ends the session; in http mode, the request.
    private mutating func noBackendLeft(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason
    ) {
        if session.pointee.isHTTP {
            fail(slot, session, 503, reason)
        } else {
            finish(slot, session, reason)
        }
    }

    private mutating func connect(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, to backend: UnsafePointer<BackendPlan>
    ) {
        session.pointee.state = .connecting
        let descriptor = settings.port.makeStreamSocket(settings.port.context, backend.pointee.address.family)
        // Those that are still closing may have all slots.
        if descriptor >= 0, session.pointee.isHTTP, !addConnection(descriptor, slot, session) {
            ring.close(descriptor, token: workerToken(.close))
            fail(slot, session, 503, .overloaded)
            return
        }
        counters.pointee.add(.connects)
        guard descriptor >= 0 else {
            noSocket(slot, session, -descriptor)
            return
        }
        session.pointee.attempts += 1
        session.pointee.backendDescriptor = descriptor
        session.pointee.connectStartedAt = now
        if backend.pointee.isTCP { setOption(descriptor, Int(IPPROTO_TCP), TCP_NODELAY, 1) }
        submitConnect(slot, session, to: backend)
    }

    private mutating func submitConnect(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, to backend: UnsafePointer<BackendPlan>
    ) {
        let address = UnsafeRawPointer(backend) + MemoryLayout<BackendPlan>.offset(of: \.address.storage)!
        ring.connect(
            session.pointee.backendDescriptor, to: address.assumingMemoryBound(to: sockaddr_storage.self),
            length: backend.pointee.address.length, token: submitting(.connect, slot, session))
        timers.set(slot, deadline: connectDeadline(session))
    }

    /// Of this attempt.
    private func connectDeadline(_ session: UnsafeMutablePointer<Session>) -> UInt64 {
        let listener = listenerPlan(session)
        var timeout = listener.pointee.connectTimeoutNanoseconds
        if session.pointee.isHTTP {
            timeout = min(timeout, retryPlan(session, exchange(session)).pointee.perTryNanoseconds)
        }
        return session.pointee.connectStartedAt &+ timeout
    }

    private func backend(of session: UnsafeMutablePointer<Session>) -> UnsafePointer<BackendPlan> {
        session.pointee.pool.pointee.plan.pointee.backends + Int(session.pointee.backend)
    }

    /// There is no socket for the backend.
    private mutating func noSocket(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ code: Int32
    ) {
        counters.pointee.add(.connectFailures)
        session.pointee.connectFailure = Reason(connectErrno: code)
        leaveBackend(slot, session)
        guard session.pointee.connectFailure == .outOfDescriptors else {
            // This host may lack the address family of this backend only.
            connectNext(slot, session)
            return
        }
        if makeWayForSockets() {
            session.pointee.sequence = CandidateSequence()
            connectNext(slot, session)
            return
        }
        // Another candidate would fail the same way, but a session that ends gives descriptors back: the
        // client waits for that, and the others wait in the kernel's queue.
        closeIdleConnections()
        pauseAccepting()
        let listener = listenerPlan(session)
        let begunAt =
            session.pointee.isHTTP ? exchange(session).pointee.startedAt : session.pointee.acceptedAt
        guard now < begunAt + listener.pointee.connectTimeoutNanoseconds else {
            noBackendLeft(slot, session, .outOfDescriptors)
            return
        }
        session.pointee.waitsForSocket = true
        shared.pointee.waitForSocket.value.wrappingAdd(1, ordering: .relaxed)
        session.pointee.sequence = CandidateSequence()
        session.pointee.connectStartedAt = now
        timers.set(slot, deadline: now + Self.descriptorRetryNanoseconds)
    }

    /// How long a session waits before it asks again for a descriptor.
    private static var descriptorRetryNanoseconds: UInt64 { 10_000_000 }

    /// It tries again, or ends.
    func endWaitForSocket(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.waitsForSocket else { return }
        session.pointee.waitsForSocket = false
        shared.pointee.waitForSocket.value.wrappingSubtract(1, ordering: .relaxed)
    }

    mutating func connected(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ result: Int32) {
        timers.clear(slot)
        guard result == 0, !isEnding(session) else {
            if isEnding(session) {
                connectFailed(slot, session, ECANCELED)
            } else if result == -EAGAIN, !backend(of: session).pointee.isTCP {
                waitForQueue(slot, session)
            } else {
                connectFailed(slot, session, -result)
            }
            return
        }
        session.pointee.connectedAt = now
        if session.pointee.isHTTP {
            backendAttached(slot, session)
        } else {
            observeLatency(session, since: session.pointee.connectStartedAt)
            beginRelaying(slot, session)
        }
    }

    /// A unix socket whose queue is full: where TCP would wait, it answers at once (connect(2), EAGAIN), and
    /// nothing tells when there is room. The timer asks until the time is over.
    private mutating func waitForQueue(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        if mutant(.fullQueueForgotten) { return }
        timers.set(slot, deadline: min(now + Self.queueRetryNanoseconds, connectDeadline(session)))
    }

    private static var queueRetryNanoseconds: UInt64 { 5_000_000 }

    private mutating func retryConnect(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        if now < connectDeadline(session) {
            submitConnect(slot, session, to: backend(of: session))
        } else {
            connectFailed(slot, session, ETIMEDOUT)
        }
    }

    private mutating func connectFailed(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ code: Int32
    ) {
        counters.pointee.add(.connectFailures)
        tally(.connectFailures, session)
        session.pointee.connectFailure =
            isEnding(session) ? .backendRemoved : Reason(connectErrno: code)
        observeFailure(session, since: session.pointee.connectStartedAt)
        if let fault = Fault(ofConnect: session.pointee.connectFailure) { noteFault(session, fault) }
        leaveBackend(slot, session)
        // A cancel may still be on its way: the slot is not reused before it is back, and it names this
        // attempt's submission, which is gone.
        connectNext(slot, session)
    }

    /// The timer of a connecting session: its connect took too long, and the completion of the cancel will
    /// say so; or it waits for the backend's queue or for a descriptor, and tries again.
    mutating func connectTimerFired(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.isInKernel(.connect) else {
            if session.pointee.backendDescriptor >= 0 {
                retryConnect(slot, session)
                return
            }
            if session.pointee.isPending {
                endWait(slot, session)
                session.pointee.connectFailure = .backendsFull
                noBackendLeft(slot, session, .pendingTimeout)
                return
            }
            endWaitForSocket(session)
            connectNext(slot, session)
            resumeAccepting()
            return
        }
        if mutant(.connectNeverTimesOut) { return }
        guard !session.isInKernel(.cancelConnect) else {
            // The cancel of the attempt before this one is not back yet.
            timers.set(slot, deadline: now)
            return
        }
        let target = token(.connect, slot, session)
        ring.cancel(target, token: submitting(.cancelConnect, slot, session))
    }

    /// The answer to a cancel. It may come before the connect's own end, and the kernel may have found the
    /// connect too busy to be ended: then it is asked again.
    mutating func connectCancelled(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard session.isInKernel(.connect), !timers.isSet(slot) else { return }
        timers.set(slot, deadline: now + Self.cancelRetryNanoseconds)
    }

    /// Gives up the place at the backend and the socket to it.
    mutating func leaveBackend(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        releaseCandidate(session)
        if session.pointee.connection != BackendConnection.none {
            // Nothing of the request was sent: it waits for the next candidate.
            let request = session.pointee.toBackend.queue
            if !mutant(.requestLostAtRetry) { session.pointee.toBackend.queue = BufferQueue() }
            dropConnection(slot, session)
            if !mutant(.requestLostAtRetry) { session.pointee.toBackend.queue = request }
        } else if session.pointee.backendDescriptor >= 0 {
            ring.close(session.pointee.backendDescriptor, token: workerToken(.close))
            session.pointee.backendDescriptor = -1
        }
    }

    /// The backend's count is without this session, or its request.
    func releaseCandidate(_ session: UnsafeMutablePointer<Session>) {
        if session.pointee.holdsBackend {
            noteLastUse(session)
            let pool = session.pointee.pool.pointee.plan
            if !mutant(.backendNotReleased) || session.pointee.state == .closing {
                pool.pointee.candidates.release(Int(session.pointee.backend))
            }
            endTrial(session)
            session.pointee.holdsBackend = false
            releasePoolPlace(session)
        }
    }

    /// It leaves a backend that is on trial, and has said nothing of it: another may be the trial.
    func endTrial(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.trial != .noTrial else { return }
        session.pointee.pool.pointee.plan.pointee.health.endTrial(
            Int(session.pointee.backend), session.pointee.trial)
        session.pointee.trial = .noTrial
    }

    func setOption(_ descriptor: Int32, _ level: Int, _ name: Int32, _ value: Int32) {
        var value = value
        // A peer that is gone already makes this fail; the next operation says so.
        _ = settings.port.setOption(
            settings.port.context, descriptor, Int32(level), name, &value,
            UInt32(MemoryLayout<Int32>.size))
    }
}
