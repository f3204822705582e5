// One seed from beginning to end: builds the world that it stands for, lets a real worker serve it, and says
// what went wrong, if anything did.

import Base
import Configuration
import Dataplane
import Ring
import SimulatedKernel
import Telemetry

/// Which world: a seed is another one in each mode.
public struct WorldName: Equatable, Sendable {
    public var seed: UInt64
    public var isHTTP: Bool

    public init(seed: UInt64, isHTTP: Bool) {
        self.seed = seed
        self.isHTTP = isHTTP
    }

    /// As the command line says it.
    public var arguments: String { (isHTTP ? "--http " : "") + "--seed \(seed)" }
}

public enum Simulation {
    /// More turns than any world needs.
    private static let turnLimit = 400_000

    /// Answers what went wrong; nil where nothing did. A broken precondition ends the process instead.
    public static func run(_ name: WorldName, coverage: Coverage, trace: TraceRing? = nil) -> String? {
        let seed = name.seed
        let plan = WorldPlan(name)
        let kernel = SimulatedKernel(seed: seed ^ 0xFA17_0000_5EED_0002, plan: plan.faults)
        kernel.traceRing = trace
        let world = World(seed: seed, plan: plan, kernel: kernel)
        kernel.world = world
        let listeners = listeners(plan, kernel)
        let generation = Generation(
            plan.configuration, sockets: [listeners], seed: seed, resolve: address)
        let shared = UnsafeMutablePointer<SharedState>.allocate(capacity: 1)
        shared.initialize(to: SharedState(sessionLimit: plan.configuration.limits.sessions))
        let counters = UnsafeMutablePointer<CounterTable>.allocate(capacity: 1)
        counters.initialize(to: CounterTable(reasons: Reason.allCases.count))
        let logMemory = WorkerLogMemory()
        defer {
            counters.deinitialize(count: 1)
            counters.deallocate()
            logMemory.deallocate()
        }
        world.ask = { shared.pointee.ask($0) }
        serve(seed, plan, world, kernel, generation, listeners, shared, counters, logMemory, coverage)
        if kernel.failure == nil, world.failure == nil {
            kernel.runOut(until: kernel.now + 3_600_000_000_000)
            world.checkAtEnd(counters.pointee)
            if shared.pointee.countedClientSessions != 0 {
                world.fail("sessions are counted for clients that have none")
            }
            if shared.pointee.sessionCount != 0 { world.fail("the process counts sessions that are over") }
        }
        count(world, kernel, counters, coverage)
        withExtendedLifetime(world) {}
        return world.failure ?? kernel.failure
    }

    private static func address(_ backend: Backend) -> SocketAddress {
        switch backend.address {
        case .ipv4(let address, let port): return SocketAddress(ipv4: address, port: port)
        case .unix(let path): return SocketAddress(unixPath: path)!
        default: fatalError("a world has no such backends")
        }
    }

    private static func listeners(_ plan: WorldPlan, _ kernel: SimulatedKernel) -> [ListeningSocket] {
        plan.configuration.listeners.indices.map { index in
            ListeningSocket(descriptor: kernel.openListener(), listener: index, isShared: false)
        }
    }

    private static func settings(
        _ seed: UInt64, _ plan: WorldPlan, _ kernel: SimulatedKernel, _ listeners: [ListeningSocket],
        _ logMemory: WorkerLogMemory, _ sessionList: SessionList
    ) -> WorkerSettings {
        let access = kernel.openLog()
        let events = kernel.openLog()
        let wake = kernel.openEventCounter()
        var settings = WorkerSettings(
            index: 0, port: kernel.port, seed: seed, slots: plan.slots, buffers: plan.buffers,
            bufferSizeBytes: plan.bufferSizeBytes, wakeDescriptor: wake, listeners: listeners,
            accessLog: LogSink(
                descriptor: plan.logsAccess ? access : -1, format: .json, writeLimitBytes: 1 << 20),
            eventLog: LogSink(descriptor: events, format: .json, writeLimitBytes: 4096), logMemory: logMemory)
        settings.sessionList = sessionList
        settings.isAlone = true
        settings.backlog = plan.faults.listenerBacklog
        settings.descriptorWatermark = plan.descriptorWatermark
        settings.answersBeforeHedges = plan.answersBeforeHedges
        return settings
    }

    private static func serve(
        _ seed: UInt64, _ plan: WorldPlan, _ world: World, _ kernel: SimulatedKernel,
        _ generation: Generation, _ listeners: [ListeningSocket], _ shared: UnsafePointer<SharedState>,
        _ counters: UnsafePointer<CounterTable>, _ logMemory: WorkerLogMemory, _ coverage: Coverage
    ) {
        let lists = SessionListWatch(world)
        // The worker writes into its memory.
        defer { withExtendedLifetime(lists) {} }
        do throws(RingSetUpError) {
            var worker = try Worker(
                settings(seed, plan, kernel, listeners, logMemory, lists.list),
                epoch: generation.epoch(ofWorker: 0), shared: shared, counters: counters)
            world.begin(listeners: plan.configuration.listeners.count)
            worker.arm()
            let health = plan.keepsHealth ? HealthWatch(plan, generation.snapshot, world) : nil
            let operators = plan.operates ? OperatorWatch(plan, world) : nil
            let reloads =
                plan.reloads
                ? Reloads(generation, listeners, kernel, shared, operators, seed: seed, resolve: address)
                : nil
            var turns = 0
            while kernel.failure == nil, world.failure == nil {
                health?.turnBegins()
                reloads?.turnBegins()
                let code = worker.turn()
                if code != 0 { world.fail("a turn ends with errno \(code)") }
                worker.checkInvariants()
                world.checkAfterTurn(worker, coverage)
                lists.turnEnds(worker)
                health?.turnEnds(worker, replays: counters.pointee[.requestsReplayed])
                operators?.turnEnds(worker, replays: counters.pointee[.requestsReplayed])
                if worker.isDone { break }
                if world.unfinishedClients == 0 { world.drain() }
                turns += 1
                if turns > turnLimit { world.fail("the world does not come to an end") }
            }
            if kernel.failure == nil, world.failure == nil { worker.end() }
            health?.checkAtEnd()
            if let health { health.count(coverage) }
            if let reloads, kernel.failure == nil, world.failure == nil { reloads.checkAtEnd(world) }
            coverage.add(.reloads, reloads?.count ?? 0)
            // What is left behind by a worker that is cut short is no failure of its own.
            if let failure = kernel.failure { world.fail(failure) }
        } catch {
            world.fail("\(error.step) failed")
        }
    }

    private static func count(
        _ world: World, _ kernel: SimulatedKernel, _ counters: UnsafePointer<CounterTable>,
        _ coverage: Coverage
    ) {
        for fault in Fault.allCases { coverage.add(fault: fault, kernel.faultCounts[fault.rawValue]) }
        for reason in Reason.allCases {
            for _ in 0..<counters.pointee[reason: Int(reason.rawValue)] { coverage.add(reason: reason) }
            // In http mode the records are those of requests.
            if world.ledger != nil {
                for _ in 0..<world.recordedReasons[Int(reason.rawValue)] { coverage.add(reason: reason) }
            }
            if world.causes.contains(reason.rawValue) { coverage.add(cause: reason) }
        }
        for (happening, counter) in [
            (Coverage.Happening.sessions, Counter.accepted), (.turns, .turns), (.completions, .completions),
            (.refused, .refused), (.acceptPaused, .acceptPauses), (.buffersExhausted, .buffersExhausted),
            (.splicedUp, .spliceUpgrades), (.splicedDown, .spliceDowngrades),
            (.logRecordsDropped, .logDropped), (.staleCompletions, .staleCompletions),
            (.bytesIn, .bytesIn), (.bytesOut, .bytesOut), (.waits, .pended), (.retries, .retries),
            (.retriesOverBudget, .retriesOverBudget), (.hedgesWon, .hedgesWon), (.hedgesLost, .hedgesLost),
        ] {
            coverage.add(happening, counters.pointee[counter])
        }
        coverage.add(.shared, world.ledger?.sharedRequests ?? 0)
        coverage.add(.overflowedCompletions, kernel.overflowCount)
        coverage.add(.logRecords, UInt64(world.records.lineCounts[0]))
        coverage.add(.unknownClients, UInt64(world.unknownRecords))
        if world.askedToStop { coverage.add(.stopped) } else { coverage.add(.drained) }
    }
}
