// What distinguishes two configurations, thing by thing and by name: `weir plan` prints it, a reload logs it. It
// compares what the files come to, defaults included, so that what only reads differently is no difference.

/// One thing that another configuration adds, removes or changes.
public struct ConfigurationChange: Equatable, Sendable {
    public enum Kind: String, Sendable {
        case added
        case removed
        case changed
    }

    public enum Subject: Equatable, Sendable {
        /// Settings of the process.
        case process
        case listener(String)
        case pool(String)
        case backend(String, pool: String)
    }

    public var kind: Kind
    public var subject: Subject
    /// `key: before -> after`, a line each; of what was added, where it is.
    public var details: [String] = []
    /// Only another process can have it: `details` are keys that a reload leaves as they are.
    public var needsRestart = false
}

extension ConfigurationChange: CustomStringConvertible {
    /// As the event log names it.
    public var description: String {
        switch subject {
        case .process: needsRestart ? "needs a restart" : "settings \(kind.rawValue)"
        case .listener(let name): "listener \(name) \(kind.rawValue)"
        case .pool(let name): "pool \(name) \(kind.rawValue)"
        case .backend(let name, let pool): "backend \(pool)/\(name) \(kind.rawValue)"
        }
    }
}

extension Configuration {
    /// Keys of the whole process that hold until it ends: memory is sized by them, or files are open.
    private static let keptKeys = [
        "workers", "engine", "limits", "admin", "alerts", "logs.access", "logs.events", "logs.format",
    ]

    /// What a running process may take of `next`: everything but what holds until it ends.
    public func reloading(_ next: Configuration) -> Configuration {
        var result = next
        (result.workers, result.engine, result.limits) = (workers, engine, limits)
        (result.admin, result.alerts) = (admin, alerts)
        result.logs = logs
        result.logs.successSampleShare = next.logs.successSampleShare
        return result
    }

    /// What `next` would change: the process, then listeners, then pools with their backends, as the files have them.
    public func changes(to next: Configuration) -> [ConfigurationChange] {
        settingChanges(to: next)
            + Self.compare(
                listeners.map { ($0.name, Keys.listener.render($0)) },
                next.listeners.map { ($0.name, Keys.listener.render($0)) }, { .listener($0) }, place: "bind")
            + poolChanges(to: next)
    }

    private func settingChanges(to next: Configuration) -> [ConfigurationChange] {
        let (before, after) = (Keys.file.render(withoutSecrets), Keys.file.render(next.withoutSecrets))
        let lines = Self.lines(before, after, except: ["listeners", "pools"])
        let kept = lines.filter { line in
            Self.keptKeys.contains { line.hasPrefix($0 + ":") || line.hasPrefix($0 + ".") }
        }
        let rest = lines.filter { !kept.contains($0) }
        return (rest.isEmpty ? [] : [ConfigurationChange(kind: .changed, subject: .process, details: rest)])
            + (kept.isEmpty
                ? []
                : [
                    ConfigurationChange(
                        kind: .changed, subject: .process, details: kept, needsRestart: true)
                ])
    }

    private func poolChanges(to next: Configuration) -> [ConfigurationChange] {
        let own = Self.compare(
            pools.map { ($0.name, Keys.pool.render($0)) },
            next.pools.map { ($0.name, Keys.pool.render($0)) }, { .pool($0) }, place: nil,
            except: ["backends"])
        var changes: [ConfigurationChange] = []
        let names =
            pools.map(\.name) + next.pools.map(\.name).filter { name in !pools.contains { $0.name == name } }
        for name in names {
            changes += own.filter { $0.subject == .pool(name) }
            guard let before = pools.first(where: { $0.name == name }),
                let after = next.pools.first(where: { $0.name == name })
            else { continue }
            changes += Self.compare(
                before.backends.map { ($0.name, Keys.backendSection.render($0)) },
                after.backends.map { ($0.name, Keys.backendSection.render($0)) },
                { .backend($0, pool: name) },
                place: "address")
        }
        return changes
    }

    /// Things that have a name. `place` is the key that says where something new is.
    private static func compare(
        _ before: [(name: String, value: RenderedValue)], _ after: [(name: String, value: RenderedValue)],
        _ subject: (String) -> ConfigurationChange.Subject, place: String?, except: [String] = []
    ) -> [ConfigurationChange] {
        let known = Dictionary(before.map { ($0.name, $0.value) }) { first, _ in first }
        let wanted = Dictionary(after.map { ($0.name, $0.value) }) { first, _ in first }
        var changes: [ConfigurationChange] = []
        for (name, value) in before {
            guard let now = wanted[name] else {
                changes.append(ConfigurationChange(kind: .removed, subject: subject(name)))
                continue
            }
            let lines = lines(value, now, except: except)
            if !lines.isEmpty {
                changes.append(ConfigurationChange(kind: .changed, subject: subject(name), details: lines))
            }
        }
        for (name, value) in after where known[name] == nil {
            let there = place.flatMap { value.entry($0) }.map { YAMLWriter.inline($0) }
            changes.append(
                ConfigurationChange(kind: .added, subject: subject(name), details: there.map { [$0] } ?? []))
        }
        return changes
    }

    // MARK: Lines

    private static func lines(
        _ before: RenderedValue, _ after: RenderedValue, except: [String], path: String = ""
    ) -> [String] {
        guard case .mapping(let old) = before, case .mapping(let new) = after else {
            return different(before, after, path)
        }
        let keys = old.map(\.key) + new.map(\.key).filter { key in !old.contains { $0.key == key } }
        return keys.filter { !except.contains($0) }.flatMap { key in
            let place = path.isEmpty ? key : path + "." + key
            switch (before.entry(key), after.entry(key)) {
            case (let old?, let new?): return lines(old, new, except: [], path: place)
            case (let old?, nil): return ["\(place): \(YAMLWriter.inline(old)) -> none"]
            case (nil, let new?): return ["\(place): none -> \(YAMLWriter.inline(new))"]
            case (nil, nil): return []
            }
        }
    }

    private static func different(_ before: RenderedValue, _ after: RenderedValue, _ path: String) -> [String]
    {
        let (old, new) = (YAMLWriter.inline(before), YAMLWriter.inline(after))
        if old == new { return [] }
        guard case .list(let one) = before, case .list(let other) = after, one.count + other.count > 4 else {
            return ["\(path): \(old) -> \(new)"]
        }
        // Of long lists what left and what came.
        let (olds, news) = (one.map(YAMLWriter.inline), other.map(YAMLWriter.inline))
        let lines =
            olds.filter { !news.contains($0) }.map { "\(path): - \($0)" }
            + news.filter { !olds.contains($0) }.map { "\(path): + \($0)" }
        return lines.isEmpty ? ["\(path): another order"] : lines
    }
}

extension RenderedValue {
    /// Of a mapping; nil where it has none of that key.
    fileprivate func entry(_ key: String) -> RenderedValue? {
        guard case .mapping(let entries) = self else { return nil }
        return entries.first { $0.key == key }?.value
    }
}
