// `weir-bench limiter`: its options, and its report.

import Bench

func limiter(_ words: [String]) throws(BenchError) -> Int32 {
    var arguments = Arguments(words)
    var options = LimiterOptions()
    if let count = try arguments.number("--keys", within: 1...100_000_000) { options.offeredKeys = count }
    if let count = try arguments.number("--table", within: 1...10_000_000) { options.tableKeys = count }
    if let count = try arguments.number("--busy", within: 1...100_000) { options.busyKeys = count }
    try arguments.finish()
    print(LimiterRun.run(options).text, terminator: "")
    return 0
}
