// What an http world has beyond a tcp one: its listeners' timeouts, buffers that heads fit in, and whether it is
// strict.

import Base
import Configuration
import SimulatedKernel

extension WorldPlan {
    mutating func drawHTTP(_ source: inout PlanSource) {
        faults.carriesBytes = true
        isStrict = source.oneIn(3)
        bufferSizeBytes = Int(source.logarithmic(isStrict ? 2048 : 512, 16 * 1024))
        buffers = Int(1200 + source.below(1200))
        if !isStrict, source.oneIn(3) { buffers = Int(2 + source.below(60)) }
        configuration.limits.headerSizeBytes = bufferSizeBytes
        clients = Int(3 + source.below(16))
        clientSpreadNanoseconds = source.logarithmic(10_000, 3_000_000_000)
        // Enough to be spliced, where the network is fit for it.
        bulkBytes = min(220_000, faults.windowBytes * 24)
        for index in configuration.listeners.indices {
            configuration.listeners[index].mode = .http
            configuration.listeners[index].timeouts.http = timeouts(&source)
            if source.oneIn(4) { configuration.listeners[index].forwarded.via = "weir" }
        }
        for index in configuration.pools.indices {
            configuration.pools[index].keepAlive.idle = source.oneIn(6) ? 0 : Int(1 + source.below(8))
            configuration.pools[index].keepAlive.idleTimeoutNanoseconds = source.logarithmic(
                20_000_000, 20_000_000_000)
            if source.oneIn(4) { configuration.pools[index].keepAlive.maxRequests = Int(1 + source.below(5)) }
        }
        if isStrict { makeStrict() }
        // From a source of its own, so that the worlds of older seeds stay what they are.
        var later = PlanSource(random: RandomSource(seed: source.random.next()))
        isAboutRetries = !isStrict && later.oneIn(6)
    }

    private func timeouts(_ source: inout PlanSource) -> HTTPTimeouts {
        var times = HTTPTimeouts()
        let least: UInt64 = isStrict ? 20_000_000_000 : 300_000_000
        times.requestHeadNanoseconds = source.logarithmic(least, 40_000_000_000)
        times.requestBodyIdleNanoseconds = source.logarithmic(least, 40_000_000_000)
        times.responseHeadNanoseconds = source.logarithmic(least, 40_000_000_000)
        times.keepAliveNanoseconds = source.logarithmic(least, 40_000_000_000)
        return times
    }

    private mutating func makeStrict() {
        for fault in Fault.allCases where fault.endsRequests { faults.odds[fault.rawValue] = 0 }
        faults.descriptorLimit = 4096
        faults.listenerBacklog = 128
        manners = manners.map { _ in .accepts }
        for pool in configuration.pools.indices {
            for backend in configuration.pools[pool].backends.indices {
                configuration.pools[pool].backends[backend].weight = 1
                configuration.pools[pool].backends[backend].maxSessions = nil
            }
        }
        for listener in configuration.listeners.indices {
            configuration.listeners[listener].limits = ListenerLimits()
            configuration.listeners[listener].timeouts.idleNanoseconds = 40_000_000_000
            configuration.listeners[listener].timeouts.connectNanoseconds = 3_000_000_000
        }
        configuration.limits.sessions = 5000
        slots = 6024
        (drainAtNanoseconds, stopAtNanoseconds) = (0, 0)
    }

    /// A receive or an answer may find no buffer.
    var mayLackBuffers: Bool { buffers < 1200 }

    /// A request may find no backend that takes it.
    var mayLackBackends: Bool {
        // The queue of a unix socket may be full until the time to connect is over.
        let faulty = Fault.allCases.contains {
            ($0.endsConnects || $0 == .connectQueueFull) && faults.odds[$0.rawValue] > 0
        }
        let isLimited = configuration.pools.contains { pool in
            pool.breaker.maxSessions != nil
                || pool.backends.contains { $0.weight == 0 || $0.maxSessions != nil }
        }
        // To connect may take longer than a try may.
        let slowest = 2 * (faults.latencyNanoseconds + faults.jitterNanoseconds) + newsNanoseconds
        let isImpatient = configuration.listeners.contains { $0.retry?.perTryNanoseconds ?? .max <= slowest }
        return faulty || isImpatient || faults.lacksUnixSockets || isLimited || keepsHealth
            || faults.descriptorLimit < 4096
            || slots < 1000 || operates
            || manners.contains { $0 != .accepts }
    }

    /// What happened this long ago the worker knows, unless the queue overflowed.
    var newsNanoseconds: UInt64 { 4 * faults.delayNanoseconds + 4 * faults.turnNanoseconds + 5_000_000 }
}

extension Fault {
    var endsConnects: Bool {
        switch self {
        case .connectRefused, .connectTimedOut, .connectReset, .connectUnreachable, .socketOutOfDescriptors,
            .socketFamilyUnknown:
            true
        default: false
        }
    }

    var endsRequests: Bool { endsConnects || isHarsh }
}
