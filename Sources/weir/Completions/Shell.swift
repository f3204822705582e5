// Which shells complete Weir's words, and what their scripts are made of. Names of listeners, pools and
// backends are not in the scripts: these ask `weir completions` for them.

import Configuration

enum Shell: String, CaseIterable, Sendable {
    case bash
    case zsh
    case fish

    /// The script, to be sourced or put where the shell looks for it.
    var completions: String {
        switch self {
        case .bash: BashCompletions.script()
        case .zsh: ZshCompletions.script()
        case .fish: FishCompletions.script()
        }
    }

    /// `text` as one word of any of the three.
    static func quoted(_ text: String) -> String {
        "'" + text.map { $0 == "'" ? "'\\''" : String($0) }.joined() + "'"
    }

    /// What may stand in place of a command.
    static let freeStandingOptions = [
        CommandOption("--help", "what commands there are"), CommandOption("--version", "the version"),
        CommandOption("--man", "[PAGE]", "a page of the manual"),
    ]

    /// What every command takes.
    static let helpOption = CommandOption("-h, --help", "what this command takes")

    /// Options, of whatever command, that a value follows.
    static var optionsWithValue: [String] {
        let names = Commands.all.flatMap(\.options).filter { $0.placeholder != nil }.flatMap(\.names)
        return Set(names).sorted()
    }
}

extension ConfiguredName {
    /// Each once, in the order of the file.
    func names(in configuration: Configuration) -> [String] {
        let all =
            switch self {
            case .listeners: configuration.listeners.map(\.name)
            case .pools: configuration.pools.map(\.name)
            case .backends: configuration.pools.flatMap { $0.backends.map(\.name) }
            }
        var seen: Set<String> = []
        return all.filter { seen.insert($0).inserted }
    }
}
