// Everything around one worker: the clients and backends with their scripts, the moments at which it is asked
// to drain or to stop, and the logs that it writes. The model (Model.swift, Records.swift) is laid over it.

import Base
import Dataplane
import SimulatedKernel

final class World: PeerWorld {
    enum Timer: UInt64 {
        case drain = 1
        case stop = 2
        case giveUp = 3
    }

    let plan: WorldPlan
    let kernel: SimulatedKernel
    private var scripts: ScriptSource
    /// By connection; nil where the peer has not begun.
    private var peers: [AnyPeer?] = []
    /// In http worlds: every message, and what became of it.
    let ledger: HTTPLedger?
    var httpFacts: [HTTPFacts] = []
    private(set) var clients: [Int32] = []
    private(set) var unfinishedClients = 0
    private var isFinished: [Bool] = []
    /// What the worker was asked for.
    private(set) var askedToDrain = false
    private(set) var askedToStop = false
    var ask: ((SharedState.Command) -> Void)?
    var records = RecordReader()
    /// For each client connection: what the model knows of its session.
    var facts: [SessionFacts] = []
    var pools: [PoolFacts]
    var pendingFacts = PendingFacts()
    /// When each listener had no room for sessions last.
    var fullAt = [UInt64](repeating: 0, count: 4)
    var recordedBytesIn: UInt64 = 0
    var recordedBytesOut: UInt64 = 0
    var recordedReasons = [UInt64](repeating: 0, count: Reason.allCases.count)
    var causes: Set<UInt8> = []
    /// Records of clients that were gone before their address was asked for.
    var unknownRecords = 0
    /// As the kernel counted them after the last turn.
    var socketsRefused: UInt64 = 0
    var failure: String?
    private var begunAt: UInt64 = 0

    /// After this time the worker is drained whatever goes on, and somewhat later stopped.
    private static let giveUpNanoseconds: UInt64 = 200_000_000_000

    init(seed: UInt64, plan: WorldPlan, kernel: SimulatedKernel) {
        self.plan = plan
        self.kernel = kernel
        pools = plan.configuration.pools.map { _ in PoolFacts() }
        ledger = plan.isHTTP ? HTTPLedger(seed: seed, plan: plan, kernel: kernel) : nil
        scripts = ScriptSource(
            random: RandomSource(seed: seed ^ 0x5EED_0F5C_21B7_0001), bulkBytes: plan.bulkBytes,
            patienceNanoseconds: plan.patienceNanoseconds)
    }

    /// Clients set out; commands are scheduled.
    func begin(listeners: Int) {
        let start = kernel.now
        begunAt = start
        for _ in 0..<plan.clients {
            let listener = Int32(scripts.below(UInt64(listeners)))
            let time = start + scripts.below(plan.clientSpreadNanoseconds)
            clients.append(kernel.connectClient(listener: listener, at: time))
        }
        unfinishedClients = clients.count
        if plan.drainAtNanoseconds > 0 {
            kernel.scheduleWorldTimer(
                at: start + plan.drainAtNanoseconds, value: Timer.drain.rawValue)
        }
        if plan.stopAtNanoseconds > 0 {
            kernel.scheduleWorldTimer(at: start + plan.stopAtNanoseconds, value: Timer.stop.rawValue)
        }
        kernel.scheduleWorldTimer(at: start + Self.giveUpNanoseconds, value: Timer.giveUp.rawValue)
    }

    func fail(_ what: @autoclosure () -> String) {
        if failure == nil { failure = what() }
    }

    func drain() {
        guard !askedToDrain else { return }
        askedToDrain = true
        ask?(.drain)
        kernel.addToEventCounter()
    }

    private func stop() {
        guard !askedToStop else { return }
        askedToDrain = true
        askedToStop = true
        ask?(.stop)
        kernel.addToEventCounter()
    }

    // MARK: PeerWorld

    func worldTimerFired(_ value: UInt64) {
        switch Timer(rawValue: value) {
        case .drain: drain()
        case .stop: stop()
        case .giveUp where !askedToDrain:
            drain()
            kernel.scheduleWorldTimer(at: kernel.now + 60_000_000_000, value: Timer.stop.rawValue)
        case .giveUp, nil: break
        }
    }

    func peerIsWoken(_ connection: Int32) {
        let place = Int(connection)
        while peers.count <= place {
            peers.append(nil)
            isFinished.append(false)
        }
        if peers[place] == nil {
            guard kernel.connection(connection).pointee.role == .client else { return }
            peers[place] = client(connection)
        }
        peers[place]!.advance(kernel, ledger)
        if peers[place]!.isDone { finished(connection) }
    }

    private func finished(_ connection: Int32) {
        let place = Int(connection)
        guard !isFinished[place], kernel.connection(connection).pointee.role == .client else { return }
        isFinished[place] = true
        unfinishedClients -= 1
    }

    func clientWasRefused(_ connection: Int32) {
        while peers.count <= Int(connection) {
            peers.append(nil)
            isFinished.append(false)
        }
        finished(connection)
    }

    func answerToConnect(_ connection: Int32, port: UInt16) -> ConnectAnswer {
        let backend = Int(port) - 1000
        guard plan.manners.indices.contains(backend) else {
            fail("a connect to port \(port), where nobody is")
            return .refuses
        }
        if let outage = plan.outages[backend], outage.holds(at: kernel.now - begunAt) {
            return outage.isSilent ? .silent : .refuses
        }
        switch plan.manners[backend] {
        case .accepts: return .accepts
        case .refuses: return .refuses
        case .unreachable: return .unreachable
        case .silent: return .silent
        case .isFull: return .queueIsFull
        case .flaps: return scripts.oneIn(2) ? .refuses : .accepts
        }
    }

    func backendAccepted(_ connection: Int32) {
        while peers.count <= Int(connection) {
            peers.append(nil)
            isFinished.append(false)
        }
        peers[Int(connection)] = backend(connection)
        peers[Int(connection)]!.advance(kernel, ledger)
    }

    private func client(_ connection: Int32) -> AnyPeer {
        if let ledger { return .httpClient(ledger.makeClient(connection)) }
        return .tcp(Peer(connection: connection, script: scripts.client(friendly: plan.friendly)))
    }

    private func backend(_ connection: Int32) -> AnyPeer {
        if let ledger { return .httpBackend(ledger.makeBackend(connection)) }
        return .tcp(Peer(connection: connection, script: scripts.backend(friendly: plan.friendly)))
    }

    func workerSent(_ connection: Int32) {
        guard let ledger else { return }
        ledger.workerSent(connection)
        if let failure = ledger.failure { fail(failure) }
    }

    func logReceived(_ log: Int32, _ bytes: UnsafeRawBufferPointer) {
        records.take(log: Int(log), bytes) { line in
            if log == 0 { check(record: line) }
        }
    }

    /// A line that a failed write leaves torn is made whole later: `RecordReader` need not know.
    func logLost(_ log: Int32) {}
}
