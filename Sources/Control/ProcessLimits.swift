// What the operating system grants this process: cores and descriptors.

import CLinux
import Configuration
import Dataplane
import Glibc

enum Granted {
    /// Room for 8,192 cores, the most that Linux is built for.
    private static let maskBytes = 1024

    /// The cores that this process may run on, ascending.
    static func cores() -> [Int] {
        var mask = [UInt8](repeating: 0, count: maskBytes)
        guard weir_get_affinity(&mask, mask.count) > 0 else { return [0] }
        let found = (0..<mask.count * 8).filter { mask[$0 / 8] & (1 << UInt8($0 % 8)) != 0 }
        return found.isEmpty ? [0] : found
    }

    /// Binds the calling thread to one core; it goes on unbound where that is not allowed.
    static func pin(toCore core: Int) {
        var mask = [UInt8](repeating: 0, count: maskBytes)
        mask[core / 8] = 1 << UInt8(core % 8)
        _ = weir_set_affinity(mask, mask.count)
    }

    /// Raises the limit of open descriptors as far as this process may. Answers it.
    static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }
}

/// How many sessions, slots and buffers a configuration comes to on this host.
struct Sizing {
    let workers: Int
    /// Sessions of the process: as configured, or what the descriptors allow.
    let sessions: Int
    /// True where descriptors allow fewer sessions than configured.
    let isShortOfDescriptors: Bool
    let descriptorLimit: Int
    /// Descriptors that are neither a session's nor a pipe's.
    let ownDescriptors: Int
    /// Any listener is one of http mode.
    let servesHTTP: Bool
    /// Of each worker.
    let slots: Int
    let buffers: Int
    let pipes: Int
    /// Where accepting stops: what is left is for the backends of those who were accepted.
    let descriptorWatermark: Int
    /// Connections to backends that may wait for a request, of each worker.
    let idleConnections: Int

    /// Standard streams, logs, signals, and some for what libraries open.
    private static let descriptorsOfProcess = 24
    /// The ring (the emulated one has two), and the eventfd that wakes it.
    private static let descriptorsOfWorker = 3
    /// However few descriptors there are.
    private static let leastSessions = 16
    private static let leastPipes = 2
    /// Buffers of a worker where the configuration leaves it to us: one for each direction of each session, so
    /// that no receiver that stands still can stop another; the most that the kernel takes is 32,768. Few of
    /// them circulate until more are needed.
    private static func automaticBuffers(sessions: Int) -> Int { min(max(2 * sessions, 512), 32_768) }

    init(_ configuration: Configuration, backlog: Int) {
        workers =
            switch configuration.workers {
            case .automatic: Granted.cores().count
            case .count(let count): count
            }
        descriptorLimit = Granted.raiseDescriptorLimit()
        let binds = configuration.listeners.reduce(0) { $0 + $1.bind.count }
        var ownDescriptors = Self.descriptorsOfProcess + workers * (Self.descriptorsOfWorker + binds)
        if configuration.pools.contains(where: { $0.balance == .prequal }) {
            ownDescriptors += LoadProbing.descriptorLimit
        }
        ownDescriptors += Checks.descriptors(of: configuration)
        if configuration.alerts != nil { ownDescriptors += AlertSender.descriptorLimit }
        if let admin = configuration.admin { ownDescriptors += AdminServer.descriptorLimit(admin) }
        self.ownDescriptors = ownDescriptors
        let http = configuration.listeners.filter { $0.mode == .http }
        servesHTTP = !http.isEmpty
        let httpPools = Set(http.flatMap(\.usedPools))
        idleConnections = configuration.pools.reduce(0) { sum, pool in
            sum + (httpPools.contains(pool.name) ? pool.keepAlive.idle : 0)
        }
        let left = max(descriptorLimit - ownDescriptors - workers * idleConnections, 0)
        // A session is two sockets. However many are asked for, an eighth of the descriptors is for pipes.
        let affordable = max((left - left / 8) / 2, Self.leastSessions)
        isShortOfDescriptors = affordable < configuration.limits.sessions
        sessions = min(configuration.limits.sessions, affordable)
        pipes = min(max((left - 2 * sessions) / 2 / workers, Self.leastPipes), Worker.mostPipes)
        descriptorWatermark = descriptorLimit - max(descriptorLimit / 64, 2 * workers)
        // Any worker may get all sessions; a burst of accepts may overshoot by the queue.
        slots = sessions + backlog
        buffers = configuration.limits.buffers ?? Self.automaticBuffers(sessions: sessions)
    }
}
