// The command line of `simulate`.

import Glibc

struct Arguments {
    enum Work {
        case seed(UInt64)
        case range(UInt64, UInt64)
        case minutes(Double)
    }

    var work = Work.range(1, 1000)
    /// Seeds to run before: a file with one a line, words behind it.
    var pinned: String?
    /// Seeds derived from this text, and how many.
    var fresh: (count: UInt64, text: String)?
    /// Worlds of http mode; the numbers of those of tcp mode mean others.
    var isHTTP = false
    var mutant: String?
    var listsMutants = false
    var traceLength = 60
    var showsCoverage = true

    static let help = """
        simulate: serve worlds that follow from a number, and check everything.

        usage: simulate [--seed N | --seeds A..B | --minutes M] [options]

          --seed N            one world, with the end of its trace
          --seeds A..B        all from A to B (default 1..1000)
          --minutes M         seeds from the clock on, for M minutes
          --http              worlds of http mode (a number means another world there)
          --pinned FILE       first the worlds in FILE (one a line: 17 words, or http 17 words)
          --fresh COUNT:TEXT  COUNT seeds derived from TEXT, such as a commit's hash
          --trace N           show the last N events of a failure (default 60)
          --quiet             no coverage counts
          --mutant NAME       with a planted defect (builds with -DMUTANTS only)
          --list-mutants      the names of the planted defects

        Exit code: 0 when every world was clean, 1 when one failed, 2 for a wrong command line.

        """

    init(_ words: [String]) throws(ArgumentError) {
        var rest = words[...]
        func value(_ name: String) throws(ArgumentError) -> String {
            guard let text = rest.popFirst() else { throw ArgumentError(text: "\(name) needs a value") }
            return text
        }
        while let word = rest.popFirst() {
            switch word {
            case "--seed": work = .seed(try Self.number(try value(word)))
            case "--seeds":
                let text = try value(word)
                guard let dots = text.firstRange(of: "..") else { throw ArgumentError(text: "--seeds A..B") }
                work = .range(
                    try Self.number(String(text[..<dots.lowerBound])),
                    try Self.number(String(text[dots.upperBound...])))
            case "--minutes":
                guard let minutes = Double(try value(word)) else { throw ArgumentError(text: "--minutes M") }
                work = .minutes(minutes)
            case "--pinned": pinned = try value(word)
            case "--fresh":
                let parts = try value(word).split(separator: ":", maxSplits: 1)
                guard parts.count == 2 else { throw ArgumentError(text: "--fresh COUNT:TEXT") }
                fresh = (try Self.number(String(parts[0])), String(parts[1]))
            case "--trace": traceLength = Int(try Self.number(try value(word)))
            case "--http": isHTTP = true
            case "--quiet": showsCoverage = false
            case "--mutant": mutant = try value(word)
            case "--list-mutants": listsMutants = true
            case "--help", "-h":
                print(Self.help, terminator: "")
                exit(0)
            default: throw ArgumentError(text: "what is \(word)? see --help")
            }
        }
    }

    private static func number(_ text: String) throws(ArgumentError) -> UInt64 {
        guard let number = UInt64(text) else { throw ArgumentError(text: "\(text) is no number") }
        return number
    }
}

struct ArgumentError: Error {
    let text: String
}
