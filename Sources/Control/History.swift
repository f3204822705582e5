// What was applied, one numbered configuration after the other, and what could not be: for people to look at, and for
// `weir rollback` to take a configuration from. Bounded; the oldest are forgotten first.

import Configuration
import Telemetry

/// Who asked for a configuration.
enum ChangeSource: Sendable {
    case start
    case signal
    case watch
    /// A command, for the file at that path.
    case reload(file: String)
    /// To the configuration with that number.
    case rollback(to: Int)
    case automaticRollback(to: Int)
    /// A command that changes a backend.
    case backends

    var isOfBackends: Bool { if case .backends = self { true } else { false } }

    /// As the log and the admin API have it.
    var name: StaticString {
        switch self {
        case .start: "start"
        case .signal: "sighup"
        case .watch: "watch"
        case .reload: "reload"
        case .rollback: "rollback"
        case .automaticRollback: "automatic_rollback"
        case .backends: "backends"
        }
    }

    /// The number of the configuration that it takes anew.
    var restored: Int? {
        switch self {
        case .rollback(let number), .automaticRollback(let number): number
        default: nil
        }
    }
}

/// One attempt.
struct HistoryEntry: Sendable {
    /// nil where it was not applied.
    let number: Int?
    let at: CalendarDate
    let source: ChangeSource
    /// The first of what changed, in words, and of how many.
    let changed: [String]
    let changes: Int
    /// The first line of why it was not applied.
    let cause: String?
    /// What a file said, or would have; nil where it was not applied.
    let configuration: Configuration?
    /// What operators had changed of its backends.
    let operated: RuntimeChanges
}

struct History: Sendable {
    /// Of each kind: applied, and failed.
    static let limit = 16
    private static let changedLimit = 16
    private static let causeLimit = 300

    /// The oldest first.
    private(set) var entries: [HistoryEntry] = []
    /// The file's name, and whether what is in force is something else than it said when it was read last.
    let file: String
    var differsFromFile = false

    /// `first` is what the process began with.
    init(_ first: Configuration, _ operated: RuntimeChanges, file: String) {
        self.file = file
        entries = [
            HistoryEntry(
                number: 1, at: Self.now, source: .start, changed: [], changes: 0, cause: nil,
                configuration: first, operated: operated)
        ]
    }

    /// What is in force. There always is one.
    var current: HistoryEntry { entries.last { $0.number != nil }! }

    /// nil where it is not known any more, or was not applied.
    func configuration(_ number: Int) -> (file: Configuration, operated: RuntimeChanges)? {
        guard let entry = entries.first(where: { $0.number == number }), let file = entry.configuration else {
            return nil
        }
        return (file, entry.operated)
    }

    /// What `weir rollback` goes back to unless told otherwise: the one before what is in force. Where that was taken
    /// from an older one, the one before that, so that going back twice does not lead forth again.
    var before: Int? {
        var top = current.number!
        while let older = entries.first(where: { $0.number == top })?.source.restored { top = older }
        return entries.compactMap(\.number).last { $0 < top }
    }

    mutating func applied(
        _ number: Int, _ configuration: Configuration, _ operated: RuntimeChanges, _ source: ChangeSource,
        _ changes: [ConfigurationChange]
    ) {
        let words = changes.filter { !$0.needsRestart }.map(\.description)
        add(
            HistoryEntry(
                number: number, at: Self.now, source: source,
                changed: Array(words.prefix(Self.changedLimit)), changes: words.count, cause: nil,
                configuration: configuration, operated: operated))
    }

    mutating func failed(_ cause: String, _ source: ChangeSource) {
        let line = cause.prefix { !$0.isNewline }.prefix(Self.causeLimit)
        add(
            HistoryEntry(
                number: nil, at: Self.now, source: source, changed: [], changes: 0,
                cause: String(line), configuration: nil, operated: RuntimeChanges()))
    }

    private mutating func add(_ entry: HistoryEntry) {
        entries.append(entry)
        let isApplied = entry.number != nil
        guard entries.count(where: { ($0.number != nil) == isApplied }) > Self.limit else { return }
        // Backends may be drained and enabled all day: files are kept for longer.
        let oldest =
            entries.dropLast().firstIndex { isApplied && $0.source.isOfBackends }
            ?? entries.firstIndex { ($0.number != nil) == isApplied }!
        entries.remove(at: oldest)
    }

    private static var now: CalendarDate { CalendarDate(secondsSince1970: UInt64(secondsSince1970())) }
}
