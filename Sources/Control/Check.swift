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
        let memory = Worker.memory(
            slots: sizing.slots, buffers: sizing.buffers,
            bufferSizeBytes: configuration.limits.bufferSizeBytes)
        let most =
            sizing.workers * memory.buffersBytes + sizing.workers * memory.fixedBytes
            + sizing.sessions * memory.sessionBytes
        var lines = [configuration.rendered(), "# engine: \(engine.name) (\(engine.why))"]
        lines.append("# workers: \(sizing.workers), sessions: \(sizing.sessions) at most")
        if sizing.isShortOfDescriptors {
            lines.append(
                "# warning: limits.sessions is \(configuration.limits.sessions), but this process may open "
                    + "\(sizing.descriptorLimit) descriptors; raise LimitNOFILE (ulimit -n)")
        }
        let pipes = sizing.workers * sizing.pipes
        lines.append(
            "# descriptors: \(sizing.descriptorLimit) allowed; at most \(2 * sizing.sessions) for sessions, "
                + "\(2 * pipes) for pipes that splice bulk, \(sizing.ownDescriptors) for the rest")
        lines.append(
            "# memory: at most \(mebibytes(most)) "
                + "(\(mebibytes(sizing.workers * memory.buffersBytes)) receive buffers, "
                + "\(memory.sessionBytes) bytes a session, \(mebibytes(sizing.workers * memory.fixedBytes)) "
                + "rings and logs); only what was used is resident. "
                + "The kernel holds up to \(mebibytes(pipes * Worker.pipeBytes)) more in full pipes")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func mebibytes(_ bytes: Int) -> String {
        let tenths = (bytes * 10 + (1 << 19)) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }
}
