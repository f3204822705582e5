// The words after a command, taken one by one; what is left at the end is an error.

import Bench

struct Arguments {
    private var rest: [String]

    init(_ words: [String]) { rest = words }

    /// The value after an option, `--option VALUE` or `--option=VALUE`; nil where it is not there.
    mutating func value(_ name: String) throws(BenchError) -> String? {
        if let index = rest.firstIndex(where: { $0.hasPrefix(name + "=") }) {
            return String(rest.remove(at: index).dropFirst(name.count + 1))
        }
        guard let index = rest.firstIndex(of: name) else { return nil }
        rest.remove(at: index)
        guard index < rest.count else { throw BenchError("\(name) wants a value") }
        return rest.remove(at: index)
    }

    /// The values of an option that may be given several times.
    mutating func values(_ name: String) throws(BenchError) -> [String] {
        var found: [String] = []
        while let value = try value(name) { found.append(value) }
        return found
    }

    mutating func number(_ name: String, within range: ClosedRange<Int>) throws(BenchError) -> Int? {
        guard let text = try value(name) else { return nil }
        return try number(name, text, within: range)
    }

    /// Those of an option that may be given several times.
    mutating func numbers(_ name: String, within range: ClosedRange<Int>) throws(BenchError) -> [Int] {
        var found: [Int] = []
        for text in try values(name) { found.append(try number(name, text, within: range)) }
        return found
    }

    private func number(
        _ name: String, _ text: String, within range: ClosedRange<Int>
    ) throws(BenchError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw BenchError(
                "\(name) wants a number from \(range.lowerBound) to \(range.upperBound), not `\(text)`")
        }
        return number
    }

    mutating func flag(_ name: String) -> Bool {
        guard let index = rest.firstIndex(of: name) else { return false }
        rest.remove(at: index)
        return true
    }

    /// Nothing may be left.
    func finish() throws(BenchError) {
        guard let first = rest.first else { return }
        throw BenchError(
            first.hasPrefix("-")
                ? "there is no option `\(first)`, or it is given twice" : "what is `\(first)` for?")
    }
}
