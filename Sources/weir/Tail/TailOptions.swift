// The arguments of `weir tail`.

import Configuration
import Control
import Glibc
import LogReading

struct TailOptions {
    enum Output {
        case columns
        case json
        case summary
    }

    enum Origin {
        case file(String)
        case standardInput
        /// The one at the address, or that of the configuration; `isImplied` where nothing was named at all.
        case running(address: String?, configurationFile: String?, RunningLog.Kind, isImplied: Bool)
    }

    let origin: Origin
    let follows: Bool
    /// How many lines of what is there already; nil for all.
    let firstLines: Int?
    let filter: LogFilter
    let output: Output

    init(_ arguments: Arguments) throws(Failure) {
        _ = arguments.flag("-f", "--follow")
        follows = !arguments.flag("--no-follow")
        let json = arguments.flag("--json")
        let summary = arguments.flag("--stats")
        if json, summary { throw Failure("--json and --stats exclude each other") }
        output = json ? .json : summary ? .summary : .columns
        let lines = try arguments.value("-n", "--lines")
        filter = try Self.filter(arguments)
        let address = try arguments.value("--admin")
        let file = try arguments.value("-c", "--config")
        let kind = arguments.flag("--events") ? RunningLog.Kind.events : .access
        let name = arguments.optionalPositional()
        try arguments.finish()
        if let name {
            guard address == nil, file == nil, kind == .access else {
                throw Failure("--admin, --config and --events are for a running Weir, \(name) is a log")
            }
            origin = name == "-" ? .standardInput : .file(name)
        } else if address != nil || file != nil || kind == .events || isatty(STDIN_FILENO) == 1 {
            let isImplied = address == nil && file == nil && kind == .access
            origin = .running(address: address, configurationFile: file, kind, isImplied: isImplied)
        } else {
            origin = .standardInput
        }
        if lines != nil, case .standardInput = origin {
            throw Failure("-n is for files and a running Weir; standard input is read from where it is")
        }
        firstLines =
            try lines.map { (text) throws(Failure) in try Self.lineCount(text) }
            ?? (follows && !summary ? 10 : nil)
    }

    private static func lineCount(_ text: String) throws(Failure) -> Int? {
        if text == "all" { return nil }
        if let count = Int(text), count >= 0 { return count }
        throw Failure("-n wants a number of lines or `all`, not `\(text)`")
    }

    private static func filter(_ arguments: Arguments) throws(Failure) -> LogFilter {
        var filter = LogFilter()
        filter.listeners = try arguments.values("--listener")
        filter.pools = try arguments.values("--pool")
        filter.backends = try arguments.values("--backend")
        filter.reasons = try arguments.values("--reason")
        for text in try arguments.values("--status") {
            guard let range = StatusRange(text) else {
                throw Failure("--status wants 5xx, 503 or 400-499, not `\(text)`")
            }
            filter.statuses.append(range)
        }
        for text in try arguments.values("--client") {
            guard let range = ClientRange(text) else {
                throw Failure(
                    "--client wants an address or a block as 10.0.0.0/8 or 2001:db8::/32, not `\(text)`")
            }
            filter.clients.append(range)
        }
        for text in try arguments.values("--slow") {
            guard let nanoseconds = durationNanoseconds(text) else {
                throw Failure("--slow wants a duration as 200ms or 2s, not `\(text)`")
            }
            filter.leastMicroseconds = min(filter.leastMicroseconds ?? .max, nanoseconds / 1000)
        }
        return filter
    }
}
