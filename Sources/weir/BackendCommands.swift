// `weir backend`: takes backends of a running Weir out of rotation, gives them back, adds and removes them. Part of the table
// in `Commands.swift`.

import Configuration
import Control
import LogReading

extension Commands {
    static let backend = Command(
        name: "backend", arguments: "VERB POOL NAME [ADDRESS or N] [OPTIONS]",
        operands: [
            Operand("VERB", .words(BackendChange.verbs)), Operand("POOL", .names(.pools)),
            Operand("NAME", .names(.backends)),
            Operand("ADDRESS", .nothing),
        ],
        summary: "drain, enable, add and remove backends of a running Weir",
        options: [
            CommandOption("--wait", "drain: return when nothing is left there, and show how much is"),
            CommandOption("--timeout", "SECONDS", "of --wait: then exit with 1"),
            CommandOption("--weight", "N", "add: its share of new sessions"),
            CommandOption("--max-sessions", "N", "add: sessions at once"),
            CommandOption("--backup", "add: takes sessions only where no other can"),
            runningConfiguration, adminAddress,
        ],
        details: [
            "drain     no new sessions but of clients that stick to it; running ones go on",
            "disable   no new sessions at all, and no checks; running ones go on",
            "enable    takes sessions again",
            "weight    N is another share of new sessions; 0 takes none",
            "add       at ADDRESS;  remove: its sessions do as `on_remove` of the pool says",
            "",
            "Returns when every worker goes by it. The file is not touched: `weir status` names what differs.",
        ],
        example: "weir backend drain api b --wait"
    ) { (arguments) throws(Failure) in
        let live = try Live(arguments)
        let waits = arguments.flag("--wait")
        let timeout = try arguments.number("--timeout", within: 0...1_000_000)
        let weight = try arguments.number("--weight", within: 0...65_535)
        let mostSessions = try arguments.number("--max-sessions", within: 1...1_000_000)
        let isBackup = arguments.flag("--backup")
        let verb = try arguments.positional("VERB")
        let change = BackendChange(
            verb: verb, pool: try arguments.positional("POOL"), name: try arguments.positional("NAME"))
        var parameters: [(name: String, value: JSON)] = []
        if verb == "add" {
            parameters.append(("address", .string(try arguments.positional("ADDRESS"))))
            if let weight { parameters.append(("weight", .integer(weight))) }
            if let mostSessions { parameters.append(("max_sessions", .integer(mostSessions))) }
            if isBackup { parameters.append(("backup", .boolean(true))) }
        } else if verb == "weight" {
            let word = try arguments.positional("N")
            guard let weight = Int(word) else { throw Failure("`\(word)` is no weight") }
            parameters.append(("weight", .integer(weight)))
        }
        try arguments.finish()
        guard verb == "add" || weight == nil && mostSessions == nil && !isBackup else {
            throw Failure("--weight, --max-sessions and --backup belong to `weir backend add`")
        }
        guard verb == "drain" || !waits, waits || timeout == nil else {
            throw Failure("--wait belongs to `weir backend drain`, and --timeout to --wait")
        }
        let client = try live.client()
        standardOutput(try change.order(client, parameters).text)
        return waits ? try DrainWatch(client, change).run(seconds: timeout) : 0
    }
}

/// One order about one backend.
struct BackendChange {
    static let verbs = ["drain", "disable", "enable", "weight", "add", "remove"]

    let verb: String
    let pool: String
    let name: String

    /// Returns when it is in force.
    func order(
        _ client: AdminClient, _ parameters: [(name: String, value: JSON)] = []
    ) throws(Failure) -> ChangedBackend {
        guard Self.verbs.contains(verb) else {
            throw Failure(
                "unknown verb `\(verb)`\(didYouMean(verb, among: Self.verbs))\nSee `weir backend --help`.")
        }
        var parameters = parameters
        parameters.append(("pool", .string(pool)))
        var path = "/lb/backends/add"
        if verb == "add" {
            parameters.append(("name", .string(name)))
        } else {
            path = "/lb/backends/\(Self.encoded(name))/\(verb)"
        }
        return ChangedBackend(
            try Live.order(client, verb == "remove" ? "DELETE" : "POST", path, parameters))
    }

    /// Percent-encoded, so that it is one part of a path (RFC 3986, section 2.1).
    private static func encoded(_ name: String) -> String {
        var result = ""
        for octet in name.utf8 {
            switch octet {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: ":"):
                result.unicodeScalars.append(Unicode.Scalar(octet))
            default:
                let digits = String(octet, radix: 16, uppercase: true)
                result += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        return result
    }
}

/// What an order came to, as Weir answers it.
struct ChangedBackend {
    private let fields: JSONFields

    init(_ fields: JSONFields) { self.fields = fields }

    /// A line.
    var text: String {
        let backend = fields.object("backend")
        var words = ["removed"]
        if backend.value("state") != nil {
            words = [
                backend.text("state"), "weight \(backend.number("weight"))", "at \(backend.text("address"))",
            ]
        }
        let isOld = fields.objects("changes").isEmpty
        let text =
            "backend \(fields.text("name")) of pool \(fields.text("pool")): \(words.joined(separator: ", "))"
            + (isOld ? " (as it was)" : "")
        return DisplayText.escaped(text) + "\n"
    }
}
