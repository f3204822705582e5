// The end of a session: the kernel gives back what it holds, the buffers and the pipe go home, both
// sockets are closed, the log record is written, the counters add up, the slot is free.

import Base
import Glibc
import Ring
import Telemetry

extension Worker {
    /// Ends a session because one side reset its connection: the other side is reset as well.
    mutating func finishReset(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason) {
        // SO_LINGER with zero seconds makes close(2) send RST and drop what is unsent (socket(7)).
        reset(session.pointee.clientDescriptor)
        if session.pointee.backendDescriptor >= 0, !mutant(.resetNotPassedOn) {
            reset(session.pointee.backendDescriptor)
        }
        finish(slot, session, reason)
    }

    private func reset(_ descriptor: Int32) {
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = settings.port.setOption(
            settings.port.context, descriptor, SOL_SOCKET, SO_LINGER, &value,
            UInt32(MemoryLayout<linger>.size))
    }

    /// Ends a session. Returns with the slot free, or in state `closing` until the kernel has given back
    /// what it holds.
    mutating func finish(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ reason: Reason) {
        guard session.pointee.state != .closing else { return }
        // A response that is cut off must not look whole, not even one that the end of its connection ends.
        if session.pointee.isHTTP, reason != .ok, session.pointee.exchange != Exchange.none,
            exchange(session).pointee.hasAnswered
        {
            reset(session.pointee.clientDescriptor)
        }
        noteSilentSuccess(session, reason)
        if session.pointee.exchange != Exchange.none { dropHedge(exchange(session)) }
        if session.pointee.connection != BackendConnection.none {
            sendBehindAgain(session.pointee.connection)
        }
        leaveBatch(slot, session)
        session.pointee.state = .closing
        session.pointee.reason = reason
        timers.clear(slot)
        endWaitForSocket(session)
        endWait(slot, session)
        leaveStarved(slot, session, .toBackend)
        leaveStarved(slot, session, .toClient)
        if session.pointee.inKernel.isEmpty || mutant(.slotFreedEarly) || mutant(.staleGeneration) {
            session.pointee.inKernel = []
            release(slot, session)
            return
        }
        cancelAll(slot, session)
    }

    /// How long a cancel may take to have its effect before it is asked for again.
    static var cancelRetryNanoseconds: UInt64 { 20_000_000 }

    /// Asks for everything back, and again after a while for as long as something is missing. Linux answers
    /// EALREADY only for what is about to end by itself, but it does not find an operation that stands between
    /// two tries, as a receive does that found data just when it was going to wait (io_arm_apoll_handler:
    /// IO_APOLL_READY), and that one may wait again afterwards.
    mutating func cancelAll(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let onClient = session.pointee.inKernel.intersection(.onClient)
        if !onClient.isEmpty, !session.isInKernel(.cancelAllOnClient) {
            ring.cancel(
                onClient.single.map { token($0, slot, session) }, orAllOn: session.pointee.clientDescriptor,
                token: submitting(.cancelAllOnClient, slot, session))
        }
        let onBackend = session.pointee.inKernel.intersection(.onBackend)
        if !onBackend.isEmpty, !session.isInKernel(.cancelAllOnBackend) {
            ring.cancel(
                onBackend.single.map { token($0, slot, session) }, orAllOn: session.pointee.backendDescriptor,
                token: submitting(.cancelAllOnBackend, slot, session))
        }
        if mutant(.missedCancelNotRepeated) { return }
        timers.set(slot, deadline: now + Self.cancelRetryNanoseconds)
    }

    /// A completion of a session that is closing.
    mutating func closingProgressed(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ operation: Operation, _ result: Int32
    ) {
        // Bytes of a send that was under way are out: the record and the counters say so.
        if result > 0, operation == .sendToClient || operation == .sendToBackend {
            noteSent(session.relay(operation == .sendToClient ? .toClient : .toBackend), UInt32(result))
        }
        if session.pointee.inKernel.isEmpty { release(slot, session) }
    }

    private mutating func release(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        precondition(session.pointee.inKernel.isEmpty, "a slot is freed when nothing of it is in the kernel")
        timers.clear(slot)
        endExchange(slot, session, session.pointee.reason)
        takeHome(session.relay(.toBackend))
        takeHome(session.relay(.toClient))
        if session.pointee.clientPlace > 0, !mutant(.clientPlaceNotReleased) {
            shared.pointee.clients.release(place: Int(session.pointee.clientPlace) - 1)
        }
        ring.close(session.pointee.clientDescriptor, token: workerToken(.close))
        if mutant(.doubleClose), session.pointee.reason == .idleTimeout {
            ring.close(session.pointee.clientDescriptor, token: workerToken(.close))
        }
        leaveBackend(slot, session)
        shared.pointee.sessions.value.wrappingSubtract(1, ordering: .relaxed)
        let listener = listenerPlan(session)
        listener.pointee.sessions.pointee.value.wrappingSubtract(1, ordering: .relaxed)
        count(session)
        // In http mode requests are recorded; only who was turned away before any has a record of the session.
        if listener.pointee.http == nil || session.pointee.reason == .clientLimit {
            record(session)
        }
        if mutant(.recordTwice), session.pointee.reason == .backendReset { record(session) }
        session.pointee.pool.pointee.removeUser()
        session.pointee.epoch.pointee.removeUser()
        sessions.release(slot)
        resumeAccepting()
    }

    /// What a relay held goes back where it came from.
    private mutating func takeHome(_ relay: UnsafeMutablePointer<Relay>) {
        buffers.drop(&relay.pointee.input)
        dropQueue(relay)
        leavePipe(relay)
    }

    private func count(_ session: UnsafeMutablePointer<Session>) {
        counters.pointee.add(.finished)
        counters.pointee.add(reason: Int(session.pointee.reason.rawValue))
        counters.pointee.add(.bytesIn, session.pointee.toBackend.received)
        counters.pointee.add(.bytesOut, session.pointee.toClient.delivered)
        tallySession(session)
    }
}
