// What a command is to those who read of it: its name, what follows it, and how a shell completes that.
// Help, manual pages and completions are made of nothing else.

import Control

struct Command: Sendable {
    let name: String
    /// What follows the name, as in a usage line.
    let arguments: String
    /// The words that are no options, in their order; the last stands for all that follow it.
    var operands: [Operand] = []
    let summary: String
    var options: [CommandOption] = []
    /// Remarks, a line each; an empty line begins a paragraph.
    var details: [String] = []
    let example: String
    let run: @Sendable (Arguments) throws(Failure) -> Int32

    /// Operands that need a word, then the options: what is written, and what it means.
    var rows: [(label: String, meaning: String)] {
        operands.compactMap { operand in operand.meaning.map { (operand.placeholder, $0) } }
            + options.map { ($0.label, $0.meaning) }
    }
}

/// A word that is no option.
struct Operand: Sendable {
    let placeholder: String
    let completion: Completion
    /// Nil where the summary says it all.
    let meaning: String?

    init(_ placeholder: String, _ completion: Completion, _ meaning: String? = nil) {
        self.placeholder = placeholder
        self.completion = completion
        self.meaning = meaning
    }
}

struct CommandOption: Sendable {
    /// As written in help: `-c, --config`.
    private let spellings: String
    /// What stands for the value; nil for an option without.
    let placeholder: String?
    let meaning: String
    let completion: Completion

    init(_ spellings: String, _ placeholder: String, _ meaning: String, _ completion: Completion = .nothing) {
        self.spellings = spellings
        self.placeholder = placeholder
        self.completion = completion
        self.meaning = meaning
    }

    /// An option without a value.
    init(_ spellings: String, _ meaning: String) {
        self.spellings = spellings
        placeholder = nil
        completion = .nothing
        self.meaning = meaning
    }

    /// `-c` and `--config`.
    var names: [String] {
        spellings.split(separator: ",").map { name in String(name.drop { $0 == " " }) }
    }

    /// As in `-c, --config FILE`.
    var label: String { spellings + (placeholder.map { " " + $0 } ?? "") }
}

/// How a shell completes a word.
enum Completion: Sendable, Equatable {
    /// Not at all: a number, an address, what is yet unknown.
    case nothing
    case files
    case words([String])
    /// Names that stand in the configuration.
    case names(ConfiguredName)
}

/// Kinds of names in a configuration, as `weir completions` is asked for them.
enum ConfiguredName: String, CaseIterable, Sendable {
    case listeners
    case pools
    case backends
}
