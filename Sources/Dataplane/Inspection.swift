// What the simulator may see of a worker's sessions between two turns: enough to know which two connections
// belong together and what their session is waiting for. Nothing calls it in production.

import Base
import Ring

/// A session, as it is now.
package struct SessionView {
    package enum State: Int, CaseIterable {
        case awaiting, connecting, relaying, lingering, closing
    }
    package enum Phase: Int, CaseIterable {
        case copying, switching, splicing, ending, ended
    }

    package let listener: Int
    package let pool: Int
    /// Among the pool's candidates.
    package let backend: Int
    package let state: State
    package let toBackend: Phase
    package let toClient: Phase
    package let isStarved: Bool
    package let clientDescriptor: Int32
    /// -1 where there is none.
    package let backendDescriptor: Int32
    /// Nanoseconds of the worker's clock.
    package let acceptedAt: UInt64
    package let connectStartedAt: UInt64
    /// It waits for a place at a backend, since then.
    package let isPending: Bool
    package let pendingSince: UInt64
    /// Tries of its request after the first.
    package let retries: Int
    /// Its request counts in the retry budget of its pool.
    package let isRetried: Bool
    /// A second backend has its request as well.
    package let isHedged: Bool
}

extension Worker {
    /// Pipes that are open and that nobody uses.
    package var idlePipes: Int { pipes.idleCount }

    package func forEachSession(_ body: (SessionView) -> Void) {
        for slot in 0..<UInt32(sessions.highWater) where sessions.isLive(slot) {
            let session = sessions[slot].pointee
            body(
                SessionView(
                    listener: Int(session.listener), pool: poolIndex(session.pool),
                    backend: Int(session.backend),
                    state: view(session.state),
                    toBackend: view(session.toBackend.phase), toClient: view(session.toClient.phase),
                    isStarved: session.toBackend.isStarved || session.toClient.isStarved,
                    clientDescriptor: session.clientDescriptor,
                    backendDescriptor: session.backendDescriptor, acceptedAt: session.acceptedAt,
                    connectStartedAt: session.connectStartedAt, isPending: session.isPending,
                    pendingSince: session.pendingSince,
                    retries: session.exchange != Exchange.none
                        ? Int(exchanges[session.exchange].pointee.retries) : 0,
                    isRetried: session.exchange != Exchange.none
                        && exchanges[session.exchange].pointee.holdsRetry,
                    isHedged: session.exchange != Exchange.none
                        && exchanges[session.exchange].pointee.hedging == .underWay))
        }
    }

    /// -1 for one that a reload has replaced or removed.
    private func poolIndex(_ pool: UnsafeMutablePointer<WorkerPool>) -> Int {
        for index in 0..<epoch.pointee.snapshot.poolCount where epoch.pointee.pools[index] == pool {
            return index
        }
        return -1
    }

    private func view(_ state: SessionState) -> SessionView.State {
        switch state {
        case .awaiting: .awaiting
        case .lingering: .lingering
        case .connecting: .connecting
        case .relaying: .relaying
        case .closing: .closing
        }
    }

    private func view(_ phase: RelayPhase) -> SessionView.Phase {
        switch phase {
        case .copying: .copying
        case .switching: .switching
        case .splicing: .splicing
        case .ending: .ending
        case .ended: .ended
        }
    }
}
