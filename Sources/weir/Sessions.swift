// `weir sessions`: the sessions of a running Weir, one by one. Part of the table in `Commands.swift`.

import Control

extension Commands {
    static let sessions = Command(
        name: "sessions", arguments: "[FILTERS] [--limit N] [-c FILE] [--admin ADDRESS] [--json]",
        summary: "list the sessions of a running Weir, the oldest first",
        options: [
            CommandOption("--listener", "NAME", "came to this listener", .names(.listeners)),
            CommandOption("--pool", "NAME", "are for this pool", .names(.pools)),
            CommandOption("--backend", "NAME", "are at this backend", .names(.backends)),
            CommandOption("--client", "ADDRESS", "or a block: 10.0.0.0/8, 2001:db8::/32"),
            CommandOption("--limit", "N", "at most so many, up to 1000; default 100"),
            runningConfiguration, adminAddress, CommandOption("--json", "as the admin API answers it"),
        ],
        details: [
            "AGE is since it was accepted, IDLE since a byte came or went; IN is from the client, OUT to it. An",
            "http session is for a pool while it has a request: that is shown, without its query.",
        ],
        example: "weir sessions --backend b --client 10.0.0.0/8"
    ) { (arguments) throws(Failure) in
        var query: [String] = []
        if let limit = try arguments.number("--limit", within: 1...1000) { query.append("limit=\(limit)") }
        for name in ["listener", "pool", "backend", "client"] {
            guard let value = try arguments.value("--\(name)") else { continue }
            query.append("\(name)=\(RunningLog.encoded(value))")
        }
        let isJSON = arguments.flag("--json")
        let live = try Live(arguments)
        try arguments.finish()
        let client = try live.client()
        let body = try Live.answer(client, "/lb/sessions?" + query.joined(separator: "&"))
        try Live.show(body, asJSON: isJSON) {
            SessionTable($0, style: Screen().style).lines.joined(separator: "\n") + "\n"
        }
        return 0
    }
}
