// Deadlines: the connect of a session, its idle time, the pauses of acceptors. Activity does not touch
// the wheel: a session's timer, when it fires, looks at the time of the last byte and is set anew.

import Base
import Glibc
import Ring

extension Worker {
    /// A session that lives this long gets TCP keepalive; shorter ones are spared the system calls.
    private static var keepAliveAfterNanoseconds: UInt64 { 30_000_000_000 }
    /// Seconds without a byte before the kernel probes, between probes, and probes until it gives up.
    private static var keepAliveIdleSeconds: Int32 { 60 }
    private static var keepAliveIntervalSeconds: Int32 { 15 }
    private static var keepAliveProbes: Int32 { 4 }

    private static var dropReportNanoseconds: UInt64 { 1_000_000_000 }

    /// A pipe that is not needed for this long, or up to twice that, is closed.
    private static var pipeIdleNanoseconds: UInt64 { 10_000_000_000 }

    private var choreTimer: UInt32 { UInt32(settings.slots + Self.acceptorLimit(settings.listeners.count)) }
    private var pipeTimer: UInt32 { choreTimer + 1 }
    private var logTimer: UInt32 { choreTimer + 2 }
    var pendingTimer: UInt32 { choreTimer + 3 }
    var removalTimer: UInt32 { choreTimer + 4 }

    /// How long the kernel may sleep.
    func timeUntilNextDeadline() -> UInt64 {
        guard let deadline = timers.nextDeadline() else { return UInt64.max }
        // Never 0: a deadline that is due was handled in this turn, the wheel's tick is not over yet.
        return deadline > now ? max(deadline - now, 1000) : 1000
    }

    mutating func setIdleTimer(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let idle = idleTimeout(session)
        var deadline = session.pointee.lastActivityAt &+ idle
        if session.pointee.lostSide != .none { deadline = lastWordsDeadline(session) }
        if !session.pointee.keepsAlive {
            deadline = min(deadline, session.pointee.connectedAt &+ Self.keepAliveAfterNanoseconds)
        }
        timers.set(slot, deadline: deadline)
    }

    /// Without a byte either way; a tunnel's own in http mode.
    private func idleTimeout(_ session: UnsafeMutablePointer<Session>) -> UInt64 {
        let listener = listenerPlan(session)
        return listener.pointee.http?.pointee.tunnelTimeoutNanoseconds
            ?? listener.pointee.idleTimeoutNanoseconds
    }

    mutating func fireTimers() {
        while let timer = timers.popExpired(now: now) {
            if Int(timer) < settings.slots {
                sessionTimerFired(timer, sessions[timer])
            } else if timer < choreTimer {
                acceptorTimerFired(Int(timer) - settings.slots)
            } else if timer == choreTimer {
                reportDrops()
            } else if timer == logTimer {
                // The turn's end writes what has waited.
            } else if timer == pendingTimer {
                // The turn's end looks who may go on.
            } else if timer == removalTimer {
                endLeftBehind()
            } else if timer == pipeTimer {
                pipes.closeUnused()
                schedulePipeCheck()
            } else {
                connectionTimerFired(timer)
            }
        }
    }

    private mutating func sessionTimerFired(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        precondition(sessions.isLive(slot), "a timer belongs to a session")
        if session.pointee.isHTTP, session.pointee.state != .connecting, session.pointee.state != .closing {
            httpTimerFired(slot, session)
            return
        }
        switch session.pointee.state {
        case .connecting: connectTimerFired(slot, session)
        case .relaying: checkIdle(slot, session)
        case .awaiting, .lingering: break
        case .closing: cancelAll(slot, session)
        }
    }

    private mutating func checkIdle(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        guard retryRoom(slot, session) else { return }
        if session.pointee.lostSide != .none, now >= lastWordsDeadline(session) {
            finishReset(slot, session, session.pointee.lostSide.reason)
            return
        }
        if now >= session.pointee.lastActivityAt &+ idleTimeout(session) {
            finish(slot, session, .idleTimeout)
            return
        }
        if !session.pointee.keepsAlive, now >= session.pointee.connectedAt &+ Self.keepAliveAfterNanoseconds {
            session.pointee.keepsAlive = true
            keepAlive(session.pointee.clientDescriptor)
            keepAlive(session.pointee.backendDescriptor)
        }
        watchHalfClosed(slot, session)
        if mutant(.missedIdleTimer) { return }
        // Unless somebody waits for it again.
        if !timers.isSet(slot) { setIdleTimer(slot, session) }
    }

    /// A peer that vanished without a word is noticed after two minutes instead of at the idle timeout. On
    /// unix sockets the TCP options fail, and are not needed.
    private func keepAlive(_ descriptor: Int32) {
        setOption(descriptor, Int(IPPROTO_TCP), TCP_KEEPIDLE, Self.keepAliveIdleSeconds)
        setOption(descriptor, Int(IPPROTO_TCP), TCP_KEEPINTVL, Self.keepAliveIntervalSeconds)
        setOption(descriptor, Int(IPPROTO_TCP), TCP_KEEPCNT, Self.keepAliveProbes)
        setOption(descriptor, Int(SOL_SOCKET), SO_KEEPALIVE, 1)
    }

    /// Sees to it that idle pipes do not stay for ever.
    mutating func schedulePipeCheck() {
        if pipes.idleCount == 0 || timers.isSet(pipeTimer) || mutant(.idlePipesStay) { return }
        timers.set(pipeTimer, deadline: now + Self.pipeIdleNanoseconds)
    }

    /// For the sweep of invariants.
    var isPipeCheckDue: Bool { timers.isSet(pipeTimer) }

    /// Records wait to be written; the loop is to turn when that is late.
    mutating func wakeForLog() {
        timers.setNoLater(logTimer, deadline: now + WorkerLog.longestWaitNanoseconds)
    }

    /// Makes `reportDrops` run soon, and once.
    mutating func scheduleDropReport() {
        if timers.isSet(choreTimer) { return }
        timers.set(choreTimer, deadline: max(now, lastDropReportAt &+ Self.dropReportNanoseconds))
    }
}
