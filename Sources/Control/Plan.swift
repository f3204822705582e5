// `weir plan`: what another file would change, and what that means for those who are connected.

import Configuration

public enum Plan {
    /// What `weir plan` prints.
    public static func text(_ before: Configuration, _ after: Configuration) -> String {
        let changes = before.changes(to: after)
        if changes.isEmpty { return "no difference\n" }
        return changes.map(text).joined()
    }

    private static func text(_ change: ConfigurationChange) -> String {
        var lines = ["\(sign(change.kind)) \(name(change.subject))"]
        if change.kind == .added {
            lines[0] += change.details.first.map { " at \($0)" } ?? ""
        } else {
            lines += change.details.map { "    \($0)" }
        }
        if let effect = effect(change) { lines.append("    # \(effect)") }
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

    private static func effect(_ change: ConfigurationChange) -> String? {
        if change.needsRestart { return "a reload leaves these as they are; restart to apply them" }
        switch (change.kind, change.subject) {
        case (.removed, .listener):
            return "its sockets close; tcp sessions run on, http connections end after the request under way"
        case (.changed, .listener):
            return "sessions run on; http connections go by it from their next request on"
        case (.removed, .pool): return "requests and sessions of it run on"
        case (.changed, .pool): return "running sessions stay where they are"
        case (.removed, .backend): return "drains: its sessions run on, idle connections to it close"
        case (.changed, .backend(_, _)):
            return change.details.contains { $0.hasPrefix("address:") }
                ? "drains: its sessions run on, new ones go to the new address"
                : "its sessions stay, idle connections are kept"
        case (.added, _), (_, .process): return nil
        }
    }
}
