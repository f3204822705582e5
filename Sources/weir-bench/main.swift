// The command line of the load generator: reads the words, runs the command, turns a failure into a message.

import Balancing
import Bench
import Glibc

func origin(_ words: [String]) throws(BenchError) -> Int32 {
    var arguments = Arguments(words)
    guard let listen = try arguments.value("--listen") else { throw BenchError("--listen is missing") }
    var options = OriginOptions(listen: try Target(listen))
    if let mode = try mode(&arguments) { options.mode = mode }
    if let size = try arguments.value("--size") { options.sizeBytes = try Quantities.size(size) }
    if let size = try arguments.value("--message") { options.messageBytes = try Quantities.size(size) }
    if let delay = try arguments.value("--delay") {
        let parts = delay.split(separator: ":", maxSplits: 1).map(String.init)
        options.delayNanoseconds = try Quantities.duration(parts.first ?? "")
        if parts.count == 2 { options.delayedShare = try Quantities.share(parts[1]) }
    }
    if let name = try arguments.value("--name") { options.name = name }
    try arguments.finish()
    let counts = try Origin.run(options) { address in
        standardError("\(options.mode.rawValue) origin listens on \(address)")
    }
    print(counts, terminator: "")
    return 0
}

func load(_ words: [String]) throws(BenchError) -> Int32 {
    var arguments = Arguments(words)
    guard let target = try arguments.value("--target") else { throw BenchError("--target is missing") }
    var options = LoadOptions(target: try Target(target))
    if let mode = try mode(&arguments) { options.mode = mode }
    if let count = try arguments.number("--connections", within: 1...100_000) { options.connections = count }
    if let count = try arguments.number("--slow-readers", within: 0...100_000) { options.slowReaders = count }
    if let count = try arguments.number("--threads", within: 1...256) { options.threads = count }
    if let time = try arguments.value("--duration") {
        options.durationNanoseconds = try Quantities.duration(time)
    }
    options.requests = try arguments.number("--requests", within: 1...1_000_000_000_000)
    if let text = try arguments.value("--rate") {
        guard let rate = Double(text), rate > 0, rate <= 1e8 else {
            throw BenchError("--rate wants a number of requests a second above 0, not `\(text)`")
        }
        options.rate = rate
    }
    options.isFresh = arguments.flag("--fresh")
    if let size = try arguments.value("--size") { options.sizeBytes = try Quantities.size(size) }
    if let size = try arguments.value("--response") { options.responseBytes = try Quantities.size(size) }
    if let mix = try arguments.value("--mix") { options.mix = try SizeMix(mix) }
    if let path = try arguments.value("--path") { options.path = path }
    options.headers = try arguments.values("--header")
    options.holds = arguments.flag("--hold")
    let wantsJSON = arguments.flag("--json")
    try arguments.finish()
    let report = try LoadRun.run(options)
    print(wantsJSON ? report.json() : report.text(), terminator: "")
    if options.holds {
        fflush(nil)
        waitForEndOfInput()
    }
    return report.hasAnswers ? 0 : 1
}

/// Exiting is what closes the connections of a load.
func waitForEndOfInput() {
    var octet: UInt8 = 0
    while true {
        let count = read(STDIN_FILENO, &octet, 1)
        if count == 0 || count < 0 && errno != EINTR { return }
    }
}

func choices(_ words: [String]) throws(BenchError) -> Int32 {
    var arguments = Arguments(words)
    var options = ChoicesOptions()
    let names = try arguments.values("--policy")
    if !names.isEmpty { options.policies = try names.map(policy) }
    let counts = try arguments.numbers("--backends", within: 1...65_535)
    if !counts.isEmpty { options.backendCounts = counts }
    if let time = try arguments.value("--duration") { options.nanoseconds = try Quantities.duration(time) }
    let wantsJSON = arguments.flag("--json")
    let folder = try arguments.value("--svg")
    try arguments.finish()
    if let folder {
        for policy in options.policies {
            try writeFile("\(folder)/\(policy.benchName).svg", PolicyPicture(policy).svg())
        }
        return 0
    }
    let report = Choices.run(options)
    print(wantsJSON ? report.json() : report.text(), terminator: "")
    return 0
}

func policy(_ name: String) throws(BenchError) -> Policy {
    if let policy = Policy.allCases.first(where: { $0.benchName == name }) { return policy }
    let names = Policy.allCases.map(\.benchName).joined(separator: ", ")
    throw BenchError("--policy is one of \(names), not `\(name)`")
}

func mode(_ arguments: inout Arguments) throws(BenchError) -> Mode? {
    guard let text = try arguments.value("--mode") else { return nil }
    guard let mode = Mode(rawValue: text) else { throw BenchError("--mode is http or tcp, not `\(text)`") }
    return mode
}

func writeFile(_ path: String, _ text: String) throws(BenchError) {
    guard let file = fopen(path, "w") else {
        throw BenchError("cannot write \(path): \(String(cString: strerror(errno)))")
    }
    let isWritten = fputs(text, file) >= 0
    guard fclose(file) == 0, isWritten else { throw BenchError("cannot write \(path)") }
}

func standardError(_ text: String) {
    let line = text + "\n"
    _ = write(STDERR_FILENO, line, line.utf8.count)
}

func main() -> Int32 {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.contains(where: { $0 == "--help" || $0 == "-h" || $0 == "help" }) {
        print(Help.text, terminator: "")
        return 0
    }
    do throws(BenchError) {
        switch words.first {
        case "origin": return try origin(Array(words.dropFirst()))
        case "load": return try load(Array(words.dropFirst()))
        case "limiter": return try limiter(Array(words.dropFirst()))
        case "choices": return try choices(Array(words.dropFirst()))
        case nil: throw BenchError("origin, load, choices or limiter? See weir-bench --help.")
        case let word?: throw BenchError("there is no command `\(word)`; see weir-bench --help.")
        }
    } catch {
        standardError("weir-bench: \(error.message)")
        return 2
    }
}

exit(main())
