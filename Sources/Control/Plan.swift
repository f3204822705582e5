// `weir plan`: what another file would change, and what that means for those who are connected.

import Configuration

public enum Plan {
    /// What `weir plan` prints.
    public static func text(_ before: Configuration, _ after: Configuration) -> String {
        let changes = before.changes(to: after)
        if changes.isEmpty { return "no difference\n" }
        return changes.map { text($0, before, after) }.joined()
    }

    private static func text(
        _ change: ConfigurationChange, _ before: Configuration, _ after: Configuration
    ) -> String {
        var lines = ["\(sign(change.kind)) \(name(change.subject))"]
        if change.kind == .added {
            lines[0] += change.details.first.map { " at \($0)" } ?? ""
        } else {
            lines += change.details.map { "    \($0)" }
        }
        if let effect = effect(change, before, after) { lines.append("    # \(effect)") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func sign(_ kind: ConfigurationChange.Kind) -> String {
        switch kind {
        case .added: "+"
        case .removed: "-"
        case .changed: "~"
        }
    }

    private static func name(_ subject: ConfigurationChange.Subject) -> String {
        switch subject {
        case .process: "the process"
        case .listener(let name): "listener \(name)"
        case .pool(let name): "pool \(name)"
        case .backend(let name, let pool): "backend \(name) of pool \(pool)"
        }
    }

    private static func effect(
        _ change: ConfigurationChange, _ before: Configuration, _ after: Configuration
    ) -> String? {
        if change.needsRestart { return "a reload leaves these as they are; restart to apply them" }
        switch (change.kind, change.subject) {
        case (.removed, .listener):
            return "its sockets close; tcp sessions run on, http connections end after the request under way"
        case (.changed, .listener):
            return "sessions run on; http connections go by it from their next request on"
        case (.removed, .pool(let name)): return removal(name, before)
        case (.changed, .pool): return "running sessions stay where they are"
        case (.removed, .backend(_, let pool)):
            return "\(removal(pool, after)), idle connections to it close"
        case (.changed, .backend(let name, let pool)):
            if change.details.contains(where: { $0.hasPrefix("address:") }) {
                return "\(removal(pool, after)), new ones go to the new address"
            }
            let identity = BackendIdentity(pool: pool, name: name)
            return after.backend(identity)?.state == .enabled
                ? "its sessions stay, idle connections are kept"
                : "its sessions run on, idle connections to it close"
        case (.added, _), (_, .process): return nil
        }
    }

    /// What becomes of sessions at a backend that is removed from this pool, or with it.
    private static func removal(_ name: String, _ configuration: Configuration) -> String {
        let pool = configuration.pools.first { $0.name == name }
        switch pool?.onRemove {
        case .close: return "its sessions end at once"
        case .drain:
            let time = Quantities.durationText(nanoseconds: pool?.drainNanoseconds ?? 0)
            return "its sessions run on for \(time) at most"
        case .keep, nil: return "its sessions run on"
        }
    }
}
