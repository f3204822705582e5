// The commands that change which configuration a running Weir has: reload, rollback, history. Part of the table in
// `Commands.swift`.

import Configuration
import Control
import Glibc

extension Commands {
    static let reload = Command(
        name: "reload", arguments: "[FILE] [--discard] [-c FILE] [--admin ADDRESS]",
        operands: [Operand("FILE", .files, "instead of the file that it was started with")],
        summary: "apply the file anew, or another one, to a running Weir",
        options: [
            CommandOption("--discard", "without what `weir backend` changed beside the file"),
            runningConfiguration, adminAddress,
        ],
        details: [
            "All of it or nothing. Returns when every worker goes by it, and prints what has changed; or prints",
            "why it was refused and exits with 1. `weir plan` says before what would change. Another FILE is",
            "applied once: SIGHUP, `weir reload` and `watch: true` go by the file that it was started with.",
        ],
        example: "weir reload -c /etc/weir/weir.yaml"
    ) { (arguments) throws(Failure) in
        let live = try Live(arguments)
        let discards = arguments.flag("--discard")
        let file = arguments.optionalPositional()
        try arguments.finish()
        var parameters: [(name: String, value: JSON)] = []
        if let file { parameters.append(("file", .string(try absolute(file)))) }
        if discards { parameters.append(("discard", .boolean(true))) }
        standardOutput(Applied(try Live.order(live.client(), "POST", "/lb/reload", parameters)).text)
        return 0
    }

    static let rollback = Command(
        name: "rollback", arguments: "[N] [-c FILE] [--admin ADDRESS]",
        operands: [Operand("N", .nothing, "its number; default the one before that in force")],
        summary: "go back to the configuration before, or to a numbered one",
        options: [runningConfiguration, adminAddress],
        details: [
            "It becomes a new one with a number of its own, and stays until the file changes (`watch: true`) or",
            "somebody applies one. The file is not touched: correct it, else the next reload brings it back.",
        ],
        example: "weir rollback 3"
    ) { (arguments) throws(Failure) in
        let live = try Live(arguments)
        let word = arguments.optionalPositional()
        try arguments.finish()
        var parameters: [(name: String, value: JSON)] = []
        if let word {
            guard let number = Int(word), number > 0 else {
                throw Failure("`\(word)` is no number of a configuration; `weir history` lists them")
            }
            parameters.append(("to", .integer(number)))
        }
        standardOutput(Applied(try Live.order(live.client(), "POST", "/lb/rollback", parameters)).text)
        return 0
    }

    static let history = Command(
        name: "history", arguments: "[-c FILE] [--admin ADDRESS] [--json]",
        summary: "list the configurations that a running Weir has had",
        options: [
            runningConfiguration, adminAddress, CommandOption("--json", "as the admin API answers it"),
        ],
        details: [
            "The last 16 that were applied, which is in force, where each came from and what it changed;",
            "and the last 16 attempts that failed.",
        ],
        example: "weir history --admin unix:/run/weir/admin.sock"
    ) { (arguments) throws(Failure) in
        let isJSON = arguments.flag("--json")
        let live = try Live(arguments)
        try arguments.finish()
        let body = try live.client().get("/lb/history")
        try Live.show(body, asJSON: isJSON) { HistoryTable($0).text }
        return 0
    }

    /// As Weir, which may be in another folder, has to be told.
    private static func absolute(_ path: String) throws(Failure) -> String {
        guard let resolved = realpath(path, nil) else {
            throw Failure("cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
