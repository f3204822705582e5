// Connections to backends in http mode, which outlive requests. A session has one while it serves a request;
// between requests it waits in its backend's list of idle ones, newest first, with a receive in the kernel that
// tells when the backend closes it.
//
//   connect -> attached to a session -> idle -> attached ... -> closing -> (slot freed)
//                                       |
//                                       '-> hedging -> attached, closing     (Hedge.swift)
//
// While one is attached, its operations are counted in the session's `inKernel`, and their completions handled
// there; the tokens name the connection all the same, so that a receive goes on from request to request.

import Base
import Glibc
import Ring
import Telemetry

struct BackendConnection: BitwiseCopyable {
    static let none = UInt32.max

    enum State: UInt8 {
        case attached, idle, closing
        /// It has a session's request as well as the session's own connection.
        case hedging
    }

    var state: State
    var pool: UnsafeMutablePointer<WorkerPool>
    var backend: UInt16
    var descriptor: Int32
    /// While it is not attached.
    var inKernel: InKernel = []
    /// Whose it is while it is attached or hedging.
    var session: UInt32
    /// How many it has served.
    var requests: UInt32 = 0
    // In the list of its backend.
    var nextIdle = BackendConnection.none
    var previousIdle = BackendConnection.none
    var idleSince: UInt64 = 0
    /// While it is hedging or closing: what a send of it is still about.
    var queue = BufferQueue()
    // Where several requests share it (Batch.swift).
    /// Its request is sent when the turn ends; others may be written behind it.
    var isGathering = false
    /// Its session has not looked yet at what came behind the last answer.
    var isHandedOver = false
    /// An answer will come that nobody waits for.
    var isTruncated = false
    var behindCount: UInt8 = 0
    /// The sessions whose answers come behind that of its session, by slot; `none`.
    var firstBehind = BackendConnection.none
    var lastBehind = BackendConnection.none
}

/// The idle connections of a worker: a list for each backend, which begins in its `WorkerPool`.
struct IdleConnections: ~Copyable {
    private(set) var total = 0

    @inline(__always)
    func newest(_ pool: UnsafeMutablePointer<WorkerPool>, backend: UInt16) -> UInt32 {
        pool.pointee.idleHeads[Int(backend)]
    }

    mutating func add(_ number: UInt32, _ connections: borrowing Slab<BackendConnection>) {
        let connection = connections[number]
        let head = connection.pointee.pool.pointee.idleHeads + Int(connection.pointee.backend)
        connection.pointee.previousIdle = BackendConnection.none
        connection.pointee.nextIdle = head.pointee
        if head.pointee != BackendConnection.none { connections[head.pointee].pointee.previousIdle = number }
        head.pointee = number
        connection.pointee.pool.pointee.idleCount += 1
        connection.pointee.pool.pointee.addUser()
        total += 1
    }

    mutating func remove(_ number: UInt32, _ connections: borrowing Slab<BackendConnection>) {
        let connection = connections[number].pointee
        if connection.previousIdle != BackendConnection.none {
            connections[connection.previousIdle].pointee.nextIdle = connection.nextIdle
        } else {
            connection.pool.pointee.idleHeads[Int(connection.backend)] = connection.nextIdle
        }
        if connection.nextIdle != BackendConnection.none {
            connections[connection.nextIdle].pointee.previousIdle = connection.previousIdle
        }
        connection.pool.pointee.idleCount -= 1
        connection.pool.pointee.removeUser()
        total -= 1
    }
}

extension Worker {
    private var firstConnectionTimer: Int {
        settings.slots + Self.acceptorLimit(settings.listeners.count) + 5
    }

    // MARK: With a session

    /// A new connection for a session, with no operation in the kernel yet. False where there is no slot.
    mutating func addConnection(
        _ descriptor: Int32, _ slot: UInt32, _ session: UnsafeMutablePointer<Session>
    ) -> Bool {
        guard let number = connections.allocate() else { return false }
        connections[number].pointee = BackendConnection(
            state: .attached, pool: session.pointee.pool, backend: session.pointee.backend,
            descriptor: descriptor, session: slot)
        session.pointee.connection = number
        return true
    }

    /// Gives the session the connection to its backend that was used last; false where none is idle.
    mutating func attachIdle(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) -> Bool {
        let number = idleConnections.newest(session.pointee.pool, backend: session.pointee.backend)
        guard number != BackendConnection.none else { return false }
        idleConnections.remove(number, connections)
        attach(number, slot, session)
        return true
    }

    /// Gives the session a connection, with what of it is in the kernel.
    func attach(_ number: UInt32, _ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        let connection = connections[number]
        connection.pointee.state = .attached
        connection.pointee.session = slot
        session.pointee.connection = number
        session.pointee.backendDescriptor = connection.pointee.descriptor
        session.pointee.inKernel.formUnion(connection.pointee.inKernel)
        connection.pointee.inKernel = []
    }

    /// Takes the connection from the session, with what of it is in the kernel or waits to be sent to it.
    mutating func detach(_ session: UnsafeMutablePointer<Session>) -> UInt32 {
        let number = session.pointee.connection
        let connection = connections[number]
        connection.pointee.inKernel = session.pointee.inKernel.intersection(.ofBackend)
        session.pointee.inKernel.subtract(.ofBackend)
        connection.pointee.session = BackendConnection.none
        connection.pointee.queue = session.pointee.toBackend.queue
        session.pointee.toBackend.queue = BufferQueue()
        session.pointee.connection = BackendConnection.none
        session.pointee.backendDescriptor = -1
        return number
    }

    /// The session is done with its connection, which may serve others.
    mutating func parkConnection(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        leaveStarved(slot, session, .toClient)
        let pool = session.pointee.pool.pointee.plan
        let number = detach(session)
        let connection = connections[number]
        connection.pointee.requests += 1
        guard command == .run, !connection.pointee.isTruncated,
            !connection.pointee.pool.pointee.isRetired,
            connection.pointee.pool.pointee.idleCount < pool.pointee.idleConnections,
            idleConnections.total < connections.capacity - settings.slots,
            connection.pointee.requests < pool.pointee.requestsPerConnection,
            !pool.pointee.candidates.isTakenOut(Int(connection.pointee.backend))
                || mutant(.takenOutKeepsConnections),
            connection.pointee.inKernel.isSubset(of: .quietConnection)
        else {
            closeConnection(number)
            return
        }
        connection.pointee.state = .idle
        connection.pointee.idleSince = now
        idleConnections.add(number, connections)
        if !connection.pointee.inKernel.contains(InKernel(.receiveFromBackend)) {
            connection.pointee.inKernel.insert(InKernel(.receiveFromBackend))
            let token = token(.receiveFromBackend, number)
            if expectsBulk(connection.pointee.pool) {
                ring.receive(
                    connection.pointee.descriptor, group: Self.bufferGroup, length: Self.bulkHeadBytes,
                    token: token)
            } else {
                ring.receiveMultishot(connection.pointee.descriptor, group: Self.bufferGroup, token: token)
            }
        }
        let timer = timer(ofConnection: number)
        if !timers.isSet(timer) {
            timers.set(timer, deadline: now + pool.pointee.idleConnectionTimeoutNanoseconds)
        }
    }

    /// The session is done with its connection, and nobody else shall have it.
    mutating func dropConnection(_ slot: UInt32, _ session: UnsafeMutablePointer<Session>) {
        leaveStarved(slot, session, .toClient)
        closeConnection(detach(session))
    }

    // MARK: Without one

    private func timer(ofConnection number: UInt32) -> UInt32 { UInt32(firstConnectionTimer) + number }

    func token(_ operation: Operation, _ number: UInt32) -> Token {
        Token(
            operation: operation.rawValue | Operation.ofConnection,
            generation: connections.generation(number), slot: number)
    }

    mutating func closeConnection(_ number: UInt32) {
        let connection = connections[number]
        sendBehindAgain(number)
        if connection.pointee.state == .idle { idleConnections.remove(number, connections) }
        connection.pointee.state = .closing
        if connection.pointee.inKernel.isEmpty {
            freeConnection(number)
        } else {
            cancelAll(ofConnection: number)
        }
    }

    /// Asks for everything back, and again after a while, as for a session.
    private mutating func cancelAll(ofConnection number: UInt32) {
        let connection = connections[number]
        let inKernel = connection.pointee.inKernel.intersection(.onBackend)
        if !inKernel.isEmpty, !connection.pointee.inKernel.contains(InKernel(.cancelAllOnBackend)) {
            connection.pointee.inKernel.insert(InKernel(.cancelAllOnBackend))
            ring.cancel(
                inKernel.single.map { token($0, number) }, orAllOn: connection.pointee.descriptor,
                token: token(.cancelAllOnBackend, number))
        }
        timers.set(timer(ofConnection: number), deadline: now + Self.cancelRetryNanoseconds)
    }

    private mutating func freeConnection(_ number: UInt32) {
        let connection = connections[number]
        timers.clear(timer(ofConnection: number))
        buffers.drop(&connection.pointee.queue)
        ring.close(connection.pointee.descriptor, token: workerToken(.close))
        connections.release(number)
    }

    /// A completion of a connection that is not attached to a session.
    mutating func connectionCompleted(_ number: UInt32, _ operation: Operation, _ completion: Completion) {
        let connection = connections[number]
        precondition(
            connection.pointee.inKernel.contains(InKernel(operation)), "a completion belongs to a submission")
        if !completion.hasMore { connection.pointee.inKernel.remove(InKernel(operation)) }
        if let buffer = completion.buffer { discard(buffer) }
        switch connection.pointee.state {
        case .closing:
            if connection.pointee.inKernel.isEmpty { freeConnection(number) }
        case .idle:
            // It ended, or said something that nobody asked for (or a watch tells of an end).
            closeConnection(number)
        case .hedging: hedgeProgressed(number, operation, completion)
        case .attached: preconditionFailure("completions of an attached connection are its session's")
        }
    }

    mutating func connectionTimerFired(_ timer: UInt32) {
        let number = timer - UInt32(firstConnectionTimer)
        let connection = connections[number]
        if connection.pointee.state == .closing {
            cancelAll(ofConnection: number)
            return
        }
        // A request came between: the next time that it is parked sets the timer.
        guard connection.pointee.state == .idle else { return }
        let pool = connection.pointee.pool.pointee.plan
        let deadline = connection.pointee.idleSince &+ pool.pointee.idleConnectionTimeoutNanoseconds
        if now >= deadline {
            closeConnection(number)
        } else {
            timers.set(timer, deadline: deadline)
        }
    }

    mutating func closeIdleConnections() {
        if idleConnections.total == 0 { return }
        for number in 0..<UInt32(connections.highWater)
        where connections.isLive(number) && connections[number].pointee.state == .idle {
            closeConnection(number)
        }
    }
}
