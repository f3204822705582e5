// One end of a connection that is not the worker's, going through its script. It is stepped whenever the
// kernel says that something changed, and by its own timers.

import SimulatedKernel

struct Peer {
    let connection: Int32
    let script: Script
    private(set) var isDone = false
    private var step = 0
    private var sentInStep: UInt64 = 0
    private var received: UInt64 = 0
    private var echoed: UInt64 = 0
    /// When the present step began; nil before it did.
    private var stepBeganAt: UInt64?
    private var nextReadAt: UInt64 = 0
    private var nextWriteAt: UInt64 = 0
    /// The timers that are set for reading and for writing, so that each is set once.
    private var readTimer: UInt64 = 0
    private var writeTimer: UInt64 = 0

    init(connection: Int32, script: Script) {
        self.connection = connection
        self.script = script
    }

    /// Does all that can be done now.
    mutating func advance(_ kernel: SimulatedKernel) {
        if isDone { return }
        if kernel.connection(connection).pointee.resetReachedPeer {
            kernel.peerClose(connection)
            isDone = true
            return
        }
        read(kernel)
        while !isDone, step < script.steps.count, perform(kernel) {
            step += 1
            sentInStep = 0
            stepBeganAt = nil
            read(kernel)
        }
        if !isDone, step == script.steps.count {
            kernel.peerClose(connection)
            isDone = true
        }
    }

    private mutating func read(_ kernel: SimulatedKernel) {
        if script.never || isDone { return }
        while kernel.connection(connection).pointee.toPeer.unread > 0 {
            if kernel.now < nextReadAt {
                if readTimer != nextReadAt { kernel.schedulePeerTimer(connection, at: nextReadAt) }
                readTimer = nextReadAt
                return
            }
            received += kernel.peerRead(connection, limit: script.readChunkBytes)
            if script.readPauseNanoseconds > 0 { nextReadAt = kernel.now + script.readPauseNanoseconds }
        }
    }

    private func hasEnded(_ kernel: SimulatedKernel) -> Bool {
        let channel = kernel.connection(connection).pointee.toPeer
        return channel.hasEndArrived && (script.never || channel.unread == 0)
    }

    /// True where the step is over.
    private mutating func perform(_ kernel: SimulatedKernel) -> Bool {
        let begun = stepBeganAt ?? kernel.now
        let isFirst = stepBeganAt == nil
        stepBeganAt = begun
        func isOver(after nanoseconds: UInt64) -> Bool {
            if kernel.now >= begun + nanoseconds { return true }
            if isFirst { kernel.schedulePeerTimer(connection, at: begun + nanoseconds) }
            return false
        }
        switch script.steps[step] {
        case .send(let total):
            sentInStep += write(total - sentInStep, kernel)
            return sentInStep == total
        case .echo:
            echoed += write(received - echoed, kernel)
            return echoed == received && hasEnded(kernel)
        case .awaitReceived(let total, let patience):
            return received >= total || hasEnded(kernel) || isOver(after: patience)
        case .awaitEnd(let patience): return hasEnded(kernel) || isOver(after: patience)
        case .pause(let length): return isOver(after: length)
        case .hang: return hasEnded(kernel)
        case .end: kernel.peerEnd(connection)
        case .close:
            kernel.peerClose(connection)
            isDone = true
        case .reset:
            kernel.peerReset(connection)
            isDone = true
        }
        return true
    }

    private mutating func write(_ wanted: UInt64, _ kernel: SimulatedKernel) -> UInt64 {
        var done: UInt64 = 0
        while done < wanted {
            if kernel.now < nextWriteAt {
                if writeTimer != nextWriteAt { kernel.schedulePeerTimer(connection, at: nextWriteAt) }
                writeTimer = nextWriteAt
                break
            }
            let count = kernel.peerWrite(connection, limit: min(wanted - done, script.writeChunkBytes))
            if count == 0 { break }
            done += count
            if script.writePauseNanoseconds > 0 { nextWriteAt = kernel.now + script.writePauseNanoseconds }
        }
        return done
    }
}

/// A peer of either mode.
enum AnyPeer {
    case tcp(Peer)
    case httpClient(HTTPClient)
    case httpBackend(HTTPBackend)

    var isDone: Bool {
        switch self {
        case .tcp(let peer): peer.isDone
        case .httpClient(let peer): peer.isDone
        case .httpBackend(let peer): peer.isDone
        }
    }

    mutating func advance(_ kernel: SimulatedKernel, _ ledger: HTTPLedger?) {
        switch self {
        case .tcp(var peer):
            peer.advance(kernel)
            self = .tcp(peer)
        case .httpClient(var peer):
            peer.advance(kernel, ledger!)
            self = .httpClient(peer)
        case .httpBackend(var peer):
            peer.advance(kernel, ledger!)
            self = .httpBackend(peer)
        }
    }
}
