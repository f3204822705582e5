// The words after a command, taken one by one; what is left at the end is an error that names the nearest
// word that would have been right.

import Control

/// The arguments of one command.
final class Arguments {
    private var rest: [String]
    private var asked: [String] = []
    private let command: String

    init(_ words: [String], command: String) {
        rest = words
        self.command = command
    }

    /// The value after an option, `--option VALUE` or `--option=VALUE`.
    func value(_ names: String...) throws(Failure) -> String? {
        asked += names
        for name in names {
            if let index = rest.firstIndex(where: { $0.hasPrefix(name + "=") }) {
                return String(rest.remove(at: index).dropFirst(name.count + 1))
            }
            guard let index = rest.firstIndex(of: name) else { continue }
            rest.remove(at: index)
            guard index < rest.count else { throw usage("\(name) wants a value") }
            return rest.remove(at: index)
        }
        return nil
    }

    /// The values of an option that may come several times.
    func values(_ name: String) throws(Failure) -> [String] {
        var values: [String] = []
        while let next = try value(name) { values.append(next) }
        return values
    }

    /// True where an option without a value is there.
    func flag(_ names: String...) -> Bool {
        asked += names
        let count = rest.count
        rest.removeAll(where: names.contains)
        return rest.count < count
    }

    /// The words that are no options, all of them; at least `least`, at most `most`.
    func positionals(_ names: String, least: Int, most: Int) throws(Failure) -> [String] {
        let words = rest.filter { !$0.hasPrefix("-") }
        guard words.count >= least else { throw usage("\(names) is missing") }
        for word in words.prefix(most) { rest.remove(at: rest.firstIndex(of: word)!) }
        return Array(words.prefix(most))
    }

    /// As `value`, a whole number in `range`.
    func number(_ name: String, within range: ClosedRange<Int>) throws(Failure) -> Int? {
        guard let text = try value(name) else { return nil }
        if let number = Int(text), range.contains(number) { return number }
        throw usage("\(name) wants a number from \(range.lowerBound) to \(range.upperBound), not `\(text)`")
    }

    /// The next word that is no option.
    func positional(_ name: String) throws(Failure) -> String {
        guard let index = rest.firstIndex(where: { !$0.hasPrefix("-") }) else {
            throw usage("\(name) is missing")
        }
        return rest.remove(at: index)
    }

    /// The next word that is no option, where there is one; `-`, standard input, is one.
    func optionalPositional() -> String? {
        rest.firstIndex { !$0.hasPrefix("-") || $0 == "-" }.map { rest.remove(at: $0) }
    }

    /// Nothing may be left.
    func finish() throws(Failure) {
        guard let first = rest.first else { return }
        throw usage(
            first.hasPrefix("-")
                ? "unknown option `\(first)`\(didYouMean(first, among: asked))"
                : "unexpected argument `\(first)`")
    }

    private func usage(_ text: String) -> Failure {
        Failure("\(text)\nSee `weir \(command) --help`.")
    }
}
