// The command line of the load generator: reads the words, runs the command, turns a failure into a message.

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
    let wantsJSON = arguments.flag("--json")
    try arguments.finish()
    let report = try LoadRun.run(options)
    print(wantsJSON ? report.json() : report.text(), terminator: "")
    return report.hasAnswers ? 0 : 1
}

func mode(_ arguments: inout Arguments) throws(BenchError) -> Mode? {
    guard let text = try arguments.value("--mode") else { return nil }
    guard let mode = Mode(rawValue: text) else { throw BenchError("--mode is http or tcp, not `\(text)`") }
    return mode
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
        case nil: throw BenchError("origin, load or limiter? See weir-bench --help.")
        case let word?: throw BenchError("there is no command `\(word)`; see weir-bench --help.")
        }
    } catch {
        standardError("weir-bench: \(error.message)")
        return 2
    }
}

exit(main())
