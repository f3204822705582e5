// `weir check`: the resolved configuration, the engine that this host gives it, and the memory it will
// take at most.

import Base
import Configuration
import Dataplane

public enum Check {
    /// What `weir check` prints for a valid configuration.
    public static func report(_ configuration: Configuration) throws(Failure) -> String {
        let engine = try Engine.choose(configuration.engine)
        let sizing = Sizing(configuration, backlog: Worker.backlog)
        var lines = [configuration.withoutSecrets.rendered()]
        for listener in configuration.listeners where listener.mode == .http {
            lines += listener.summary.map { "# " + $0 }
        }
        lines.append("# engine: \(engine.name) (\(engine.why))")
        lines.append("# workers: \(sizing.workers), sessions: \(sizing.sessions) at most")
        if sizing.isShortOfDescriptors {
            lines.append(
                "# warning: limits.sessions is \(configuration.limits.sessions), but this process may open "
                    + "\(sizing.descriptorLimit) descriptors; raise LimitNOFILE (ulimit -n)")
        }
        lines.append("# descriptors: \(descriptors(sizing))")
        lines.append("# memory: \(memory(configuration, sizing))")
        lines.append("# accepting pauses: \(watermarks(configuration, sizing))")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func descriptors(_ sizing: Sizing) -> String {
        let idle = sizing.workers * sizing.idleConnections
        return "\(sizing.descriptorLimit) allowed; at most \(2 * sizing.sessions) for sessions, "
            + (idle > 0 ? "\(idle) for idle connections to backends (keep_alive.idle of each worker), " : "")
            + "\(2 * sizing.workers * sizing.pipes) for pipes that splice bulk, "
            + "\(sizing.ownDescriptors) for the rest"
    }

    private static func memory(_ configuration: Configuration, _ sizing: Sizing) -> String {
        let limits = configuration.limits
        let memory = Worker.memory(
            slots: sizing.slots, buffers: sizing.buffers, bufferSizeBytes: limits.bufferSizeBytes)
        let http = Worker.httpMemory(headerLimit: limits.headers)
        let buffers = sizing.workers * memory.buffersBytes
        let fixed = sizing.workers * (memory.fixedBytes + (sizing.servesHTTP ? http.fixedBytes : 0))
        let request = sizing.servesHTTP ? http.requestBytes + http.connectionBytes : 0
        let idle = sizing.workers * sizing.idleConnections * http.connectionBytes
        let clients = Worker.affinityMemory(configuration.pools)
        let rates = configuration.rateTableBytes
        let most =
            buffers + fixed + idle + clients + rates + sizing.sessions * (memory.sessionBytes + request)
        let pipes = sizing.workers * sizing.pipes * Worker.pipeBytes
        return "at most \(mebibytes(most)) (\(mebibytes(buffers)) receive buffers, "
            + "\(memory.sessionBytes) bytes a session, "
            + (sizing.servesHTTP
                ? "\(request) more while it has a request, \(http.connectionBytes) an idle backend connection, "
                : "")
            + (clients > 0 ? "\(mebibytes(clients)) remembered clients (affinity), " : "")
            + (rates > 0 ? "\(mebibytes(rates)) keys of rate limits, " : "")
            + "\(mebibytes(fixed)) rings and logs); only what was used is resident. "
            + "The kernel holds up to \(mebibytes(pipes)) more in full pipes"
    }

    private static func watermarks(_ configuration: Configuration, _ sizing: Sizing) -> String {
        let watch = MemoryWatch(configuration.limits)
        let memory = watch.map { ", when \(mebibytes(Int(clamping: $0.stopsAtBytes))) of memory are used" }
        return "at \(sizing.sessions) sessions, at \(sizing.descriptorWatermark) descriptors"
            + (sizing.servesHTTP ? ", in http mode when 7/8 of a worker's receive buffers are held" : "")
            + (memory ?? "; no limit of memory is known (limits.memory, cgroup)")
    }

    private static func mebibytes(_ bytes: Int) -> String {
        let tenths = (bytes * 10 + (1 << 19)) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }
}

extension Listener {
    /// Of these the rest is counted only.
    private static let routesShown = 100

    /// What an http listener does, in lines of words.
    fileprivate var summary: [String] {
        let text = Quantities.durationText(nanoseconds:)
        var lines = ["listener \(name): \(routes.count) \(routes.count == 1 ? "route" : "routes")"]
        for (index, route) in routes.prefix(Self.routesShown).enumerated() {
            lines.append("  \(index + 1). \(route.match.summary) -> \(route.action.summary)")
        }
        if routes.count > Self.routesShown {
            lines.append("  ... and \(routes.count - Self.routesShown) more")
        }
        lines.append("  else -> \(pool.map { "pool \($0)" } ?? "404")")
        lines.append(
            "  408 after \(text(timeouts.http.requestHeadNanoseconds)) without a whole head, or "
                + "\(text(timeouts.http.requestBodyIdleNanoseconds)) without a byte of a body; 504 after "
                + "\(text(timeouts.http.responseHeadNanoseconds)) without a response; broken off after "
                + "\(text(timeouts.idleNanoseconds)) without a byte either way")
        lines.append(
            "  connecting to a backend: \(text(timeouts.connectNanoseconds)); closed after "
                + "\(text(timeouts.http.keepAliveNanoseconds)) without a request, tunnels after "
                + "\(text(timeouts.http.tunnelNanoseconds)) without a byte")
        return lines
    }
}
