// What one seed decides before anything happens: configuration, limits, network, faults, how many clients and
// when, what the backends are like, and when the worker is told to drain or to stop.

import Base
import Configuration
import SimulatedKernel

/// How a backend answers connects.
enum BackendManner {
    case accepts
    case refuses
    case unreachable
    case silent
    /// Refuses one in two.
    case flaps
    /// A unix socket whose queue stays full.
    case isFull
}

struct WorldPlan {
    let isHTTP: Bool
    /// Everybody keeps to the rules and nothing lacks: every request gets a whole answer.
    var isStrict = false
    /// Uploads about as long as a buffer, and backends that leave: requests are sent again.
    var isAboutRetries = false
    var configuration = Configuration()
    var faults = FaultPlan()
    var slots = 0
    var buffers = 0
    var bufferSizeBytes = 0
    var clients = 0
    /// Clients begin within this time.
    var clientSpreadNanoseconds: UInt64 = 0
    var friendly = true
    var manners: [BackendManner] = []
    /// Of a backend, by its place in `manners`.
    var outages: [Int: Outage] = [:]
    /// Health is kept, by rules that bite in a small world.
    var keepsHealth = false
    /// The configuration is replaced now and then, by one that means the same. Not where health is watched: what
    /// watches it knows one version of a pool.
    var reloads = false
    /// Then operators take backends out, and give them back.
    var operates = false
    var logsAccess = true
    /// Where accepting stops, as a number of a descriptor.
    var descriptorWatermark = Int32.max
    /// As many as Weir wants, or fewer.
    var answersBeforeHedges: UInt32 = 20
    /// When to drain and to stop whatever happens; 0 for not.
    var drainAtNanoseconds: UInt64 = 0
    var stopAtNanoseconds: UInt64 = 0
    var bulkBytes: UInt64 = 0
    var patienceNanoseconds: UInt64 = 0

    private static let faultsThatDelayCancels: [Fault] = [
        .cancelFindsBusy, .cancelMisses, .completionDelayed, .submitBusy,
    ]

    /// Nothing keeps a cancel of an accept from being in time.
    var holdsLimits: Bool {
        faults.submissionEntries == 1024
            && Self.faultsThatDelayCancels.allSatisfy { faults.odds[$0.rawValue] == 0 }
    }

    init(_ name: WorldName) {
        isHTTP = name.isHTTP
        var source = PlanSource(random: RandomSource(seed: name.seed))
        drawNetwork(&source)
        drawFaults(&source)
        drawConfiguration(&source)
        drawClients(&source)
        // From a source of its own, so that the worlds of older seeds stay what they are.
        var later = PlanSource(random: RandomSource(seed: name.seed ^ 0xED6E_5EED))
        for fault in Fault.later where later.oneIn(4) {
            faults.odds[fault.rawValue] = UInt16(later.logarithmic(16, 16_000))
        }
        if later.oneIn(16) { drawBurst(&later) }
        if later.oneIn(4) { drawUnixBackends(&later) }
        if isHTTP { drawHTTP(&source) }
        // This number leaves the pinned seeds as they are.
        var latest = PlanSource(random: RandomSource(seed: name.seed ^ 0xBA1A_0143))
        if latest.oneIn(4) { drawPolicies(&latest) }
        // So does this one.
        var sticky = PlanSource(random: RandomSource(seed: name.seed ^ 0x571C_00BB))
        if sticky.oneIn(6) { drawAffinity(&sticky) }
        var health = PlanSource(random: RandomSource(seed: name.seed ^ 0x4EA1_70FF))
        drawHealth(&health)
        // And so does this.
        var last = PlanSource(random: RandomSource(seed: name.seed ^ 0x11A1_7257))
        if last.oneIn(5) { drawLimits(&last) }
        var pending = PlanSource(random: RandomSource(seed: name.seed ^ 0x9E4D_1A57))
        if pending.oneIn(4) { drawPending(&pending) }
        var retries = PlanSource(random: RandomSource(seed: name.seed ^ 0x2E72_0149))
        if isHTTP, retries.oneIn(4) { drawRetries(&retries) }
        var hedges = PlanSource(random: RandomSource(seed: name.seed ^ 0x4ED6_E2D5))
        if isHTTP, hedges.oneIn(5) { drawHedges(&hedges) }
        // This number too leaves the pinned seeds as they are.
        var batches = PlanSource(random: RandomSource(seed: name.seed ^ 0xBA7C_0000_00C7))
        if isHTTP, !isAboutHedges, batches.oneIn(4) { drawBatches(&batches) }
        var reloading = PlanSource(random: RandomSource(seed: name.seed ^ 0x4E10_AD52))
        reloads = !keepsHealth && reloading.oneIn(6)
        var operating = PlanSource(random: RandomSource(seed: name.seed ^ 0x09E2_A702))
        operates = !keepsHealth && !isStrict && !reloads && operating.oneIn(6)
        if operates { reloads = true }
    }

    private mutating func drawPolicies(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            let policy = BalancePolicy.allCases[Int(source.below(UInt64(BalancePolicy.allCases.count)))]
            configuration.pools[pool].balance = policy
            if policy == .consistentHash {
                var hash = HashSettings(key: .clientAddress)
                hash.algorithm = source.oneIn(2) ? .ketama : .maglev
                if source.oneIn(2) { hash.boundedLoadPercent = Int(100 + source.below(100)) }
                configuration.pools[pool].hash = hash
            }
            let count = configuration.pools[pool].backends.count
            for backend in 0..<count - 1 where source.oneIn(4) {
                configuration.pools[pool].backends[backend].isBackup = true
            }
        }
    }

    private mutating func drawUnixBackends(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            for place in configuration.pools[pool].backends.indices where source.oneIn(2) {
                guard case .ipv4(_, let port) = configuration.pools[pool].backends[place].address else {
                    continue
                }
                configuration.pools[pool].backends[place].address = .unix(path: "/\(port)")
                if source.oneIn(6) { manners[Int(port) - 1000] = .isFull }
            }
        }
    }

    /// All clients at once, at listeners whose queues hold about as many as there may be sessions.
    private mutating func drawBurst(_ source: inout PlanSource) {
        faults.listenerBacklog = Int(3 + source.below(6))
        configuration.limits.sessions = faults.listenerBacklog + Int(1 + source.below(3))
        slots = configuration.limits.sessions + 1024
        clientSpreadNanoseconds = 1 + faults.turnNanoseconds / 2
        faults.submissionEntries = 1024
        for fault in Self.faultsThatDelayCancels { faults.odds[fault.rawValue] = 0 }
    }

    private mutating func drawNetwork(_ source: inout PlanSource) {
        faults.latencyNanoseconds = source.logarithmic(5000, 5_000_000)
        faults.jitterNanoseconds = source.below(faults.latencyNanoseconds)
        faults.turnNanoseconds = source.logarithmic(1000, 2_000_000)
        faults.delayNanoseconds = source.logarithmic(1000, 5_000_000)
        faults.windowBytes = source.logarithmic(256, 256 * 1024)
        faults.pipeBytes = Int32(source.logarithmic(512, 1 << 20))
        faults.listenerBacklog = source.oneIn(4) ? Int(1 + source.below(8)) : 128
        if source.oneIn(4) {
            faults.submissionEntries = 1 << UInt32(1 + source.below(5))
            faults.completionEntries = faults.submissionEntries << UInt32(source.below(2))
        }
        if source.oneIn(6) { faults.descriptorLimit = Int(8 + source.below(40)) }
    }

    private mutating func drawFaults(_ source: inout PlanSource) {
        faults.odds[Fault.completionBeforeSubmission.rawValue] = 20_000
        if source.oneIn(8) { return }
        for fault in Fault.allCases where !Fault.later.contains(fault) && source.oneIn(3) {
            // From hardly ever to often.
            faults.odds[fault.rawValue] = UInt16(source.logarithmic(16, fault.isHarsh ? 1500 : 16_000))
        }
    }

    private mutating func drawConfiguration(_ source: inout PlanSource) {
        let position = SourcePosition(line: 1, column: 1)
        bufferSizeBytes = Int(source.logarithmic(64, 16 * 1024))
        buffers = source.oneIn(3) ? Int(1 + source.below(12)) : Int(64 + source.below(200))
        let poolCount = 1 + Int(source.below(2))
        var port: UInt16 = 1000
        for number in 0..<poolCount {
            var backends: [Backend] = []
            for _ in 0...source.below(4) {
                var backend = Backend(
                    name: "b\(port)", address: .ipv4(0x7F00_0001, port: port), position: position)
                if source.oneIn(6) { backend.weight = Int(source.below(4)) }
                if source.oneIn(6) { backend.maxSessions = Int(1 + source.below(8)) }
                backends.append(backend)
                manners.append(source.manner())
                port += 1
            }
            var pool = Pool(name: "p\(number)", backends: backends, position: position)
            pool.breaker.maxPending = 0
            pool.balance = source.oneIn(2) ? .roundRobin : .random
            configuration.pools.append(pool)
        }
        for number in 0...Int(source.below(2)) {
            var listener = Listener(
                name: "l\(number)", bind: [], pool: "p\(Int(source.below(UInt64(poolCount))))",
                position: position)
            listener.relay = [.automatic, .copy, .splice][Int(source.below(3))]
            listener.timeouts.connectNanoseconds = source.logarithmic(30_000_000, 3_000_000_000)
            listener.timeouts.idleNanoseconds = source.logarithmic(700_000_000, 40_000_000_000)
            if source.oneIn(5) { listener.limits.sessions = Int(1 + source.below(12)) }
            if source.oneIn(5) { listener.limits.sessionsPerClient = Int(1 + source.below(4)) }
            configuration.listeners.append(listener)
        }
        configuration.limits.sessions = source.oneIn(3) ? Int(1 + source.below(15)) : 5000
        slots = configuration.limits.sessions + 1024
        if source.oneIn(8) { slots = Int(1 + source.below(12)) }
        if source.oneIn(8) { slots = 1025 + Int(source.below(12)) }
        if source.oneIn(8) { configuration.logs.successSampleShare = 0.5 }
        logsAccess = !source.oneIn(10)
    }

    private mutating func drawClients(_ source: inout PlanSource) {
        clients = Int(6 + source.below(29))
        clientSpreadNanoseconds = source.logarithmic(10_000, 5_000_000_000)
        friendly = source.oneIn(3)
        bulkBytes = min(UInt64(bufferSizeBytes) * (6 + source.below(100)), 256 * 1024)
        patienceNanoseconds = source.logarithmic(10_000_000, 1_000_000_000)
        if source.oneIn(4) { drainAtNanoseconds = 1 + source.below(clientSpreadNanoseconds * 2) }
        if source.oneIn(6) { stopAtNanoseconds = 1 + source.below(clientSpreadNanoseconds * 3) }
    }
}

extension Fault {
    /// Ends a session or loses records: rarer, so that others live to see something else.
    var isHarsh: Bool {
        switch self {
        case .networkReset, .receiveOutOfMemory, .sendOutOfMemory, .socketOutOfDescriptors,
            .acceptAborted, .socketFamilyUnknown, .waitInterrupted, .submitBusy:
            true
        default: false
        }
    }
}

/// Draws numbers for a plan.
struct PlanSource {
    var random: RandomSource

    mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }
    mutating func oneIn(_ count: UInt64) -> Bool { below(count) == 0 }

    /// Each order of magnitude as likely as the next.
    mutating func logarithmic(_ low: UInt64, _ high: UInt64) -> UInt64 {
        var top = low
        var doublings: UInt64 = 0
        while top * 2 <= high {
            top *= 2
            doublings += 1
        }
        let base = low << below(doublings + 1)
        return min(high, base + below(base))
    }

    mutating func manner() -> BackendManner {
        switch below(12) {
        case 0: .refuses
        case 1: .unreachable
        case 2: .silent
        case 3: .flaps
        default: .accepts
        }
    }
}
