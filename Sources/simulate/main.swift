// The seed runner: which seeds, in which order, what is said about them on the way and at the end, and the
// command that replays a failure.

import Base
import Glibc
import Simulation

/// Runs what the arguments ask for. Answers the exit code.
struct Runner {
    let arguments: Arguments
    let shared = SharedMemory()
    private let began = secondsNow()
    private var lastProgress = secondsNow()

    private static let batch: UInt64 = 500

    init(_ arguments: Arguments) { self.arguments = arguments }

    mutating func run() -> Int32 {
        if arguments.listsMutants {
            for defect in Mutant.allCases { print(defect.rawValue) }
            return 0
        }
        if let name = arguments.mutant, !plant(name) { return 2 }
        if case .seed(let seed) = arguments.work, arguments.pinned == nil, arguments.fresh == nil {
            return runOne(seed)
        }
        if let path = arguments.pinned, !runAll(readPinned(path)) { return 1 }
        if let fresh = arguments.fresh {
            var random = RandomSource(
                seed: fresh.text.utf8.reduce(14_695_981_039_346_656_037) {
                    ($0 ^ UInt64($1)) &* 1_099_511_628_211
                })
            if !runAll((0..<fresh.count).map { _ in world(random.next() >> 16) }) { return 1 }
        }
        let isDone = arguments.pinned != nil || arguments.fresh != nil
        switch arguments.work {
        case .seed(let seed): if !isDone, !runAll([world(seed)]) { return 1 }
        case .range(let first, let last): if !isDone, !runRange(first, last) { return 1 }
        case .minutes(let minutes): if !runFor(minutes) { return 1 }
        }
        summarise()
        return 0
    }

    private func plant(_ name: String) -> Bool {
        guard let defect = Mutant(rawValue: name) else {
            print("no planted defect is called \(name)")
            return false
        }
        #if MUTANTS
            Mutant.active = defect
            return true
        #else
            print("\(defect.rawValue) is not in this program: build it with -Xswiftc -DMUTANTS")
            return false
        #endif
    }

    private func runOne(_ seed: UInt64) -> Int32 {
        let result = runBatch([world(seed)], shared, traces: true)
        printTrace()
        guard case .failed(let words) = result else {
            print("seed \(seed): clean")
            return 0
        }
        print("seed \(seed): \(words)")
        return 1
    }

    private mutating func runAll(_ worlds: [WorldName]) -> Bool { judge(runBatch(worlds, shared)) }

    private func world(_ seed: UInt64) -> WorldName { WorldName(seed: seed, isHTTP: arguments.isHTTP) }

    private mutating func runRange(_ first: UInt64, _ last: UInt64) -> Bool {
        var next = first
        while next <= last {
            let end = min(last, next + Self.batch - 1)
            if !judge(runBatch((next...end).map(world), shared)) { return false }
            next = end + 1
        }
        return true
    }

    private mutating func runFor(_ minutes: Double) -> Bool {
        var next = UInt64(time(nil)) << 20
        while secondsNow() < began + minutes * 60 {
            if !judge(runBatch((next..<(next + Self.batch)).map(world), shared)) { return false }
            next += Self.batch
        }
        return true
    }

    /// Reports a failure with all that is needed to see it again.
    private mutating func judge(_ result: BatchResult) -> Bool {
        guard case .failed(let words) = result else {
            if secondsNow() - lastProgress > 5 {
                lastProgress = secondsNow()
                print("\(shared.doneCount.pointee) seeds clean, \(rate()) a second")
                fflush(nil)
            }
            return true
        }
        let failed = shared.current
        if arguments.showsCoverage {
            _ = runBatch([failed], shared, traces: true, mayPrint: false)
            printTrace()
        }
        print("seed \(failed.seed) failed after \(shared.doneCount.pointee) clean ones: \(words)")
        let mutant = arguments.mutant.map { " --mutant \($0)" } ?? ""
        print("replay: swift run -c release simulate \(failed.arguments)\(mutant)")
        return false
    }

    private func rate() -> Int { Int(Double(shared.doneCount.pointee) / max(secondsNow() - began, 0.001)) }

    private func printTrace() {
        shared.trace.forEach(last: arguments.traceLength) { entry in
            let microseconds = entry.time / 1000
            print("  \(microseconds) us  \(entry.label)  \(entry.a) \(entry.b) \(entry.c)")
        }
    }

    private func summarise() {
        print("\(shared.doneCount.pointee) seeds clean, \(rate()) a second")
        guard arguments.showsCoverage else { return }
        for group in Coverage(shared.counts).groups() {
            let reached = group.entries.filter { $0.count > 0 }.map { "\($0.name) \($0.count)" }
            let missed = group.entries.filter { $0.count == 0 }.map(\.name)
            print("\(group.title): \(reached.joined(separator: ", "))")
            if !missed.isEmpty { print("  never reached: \(missed.joined(separator: ", "))") }
        }
    }

    private func readPinned(_ path: String) -> [WorldName] {
        guard let file = fopen(path, "r") else {
            print("cannot read \(path)")
            exit(2)
        }
        defer { fclose(file) }
        var worlds: [WorldName] = []
        var line = [CChar](repeating: 0, count: 1024)
        while fgets(&line, Int32(line.count), file) != nil {
            let isHTTP = strncmp(line, "http ", 5) == 0
            let digits = line.dropFirst(isHTTP ? 5 : 0).prefix { $0 >= 48 && $0 <= 57 }
            let seed = digits.reduce(0) { $0 * 10 + UInt64($1 - 48) }
            if !digits.isEmpty { worlds.append(WorldName(seed: seed, isHTTP: isHTTP)) }
        }
        return worlds
    }
}

func secondsNow() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

do throws(ArgumentError) {
    let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
    var runner = Runner(arguments)
    exit(runner.run())
} catch {
    print(error.text)
    exit(2)
}
