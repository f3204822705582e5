// Finds the command, runs it, and turns a failure into a message and an exit code.

import Configuration
import Control
import Glibc

func standardOutput(_ text: String) {
    print(text, terminator: "")
    fflush(nil)
}

func standardError(_ text: String) {
    let line = text + "\n"
    _ = write(STDERR_FILENO, line, line.utf8.count)
}

/// ` (did you mean `x`?)`, or nothing.
func didYouMean(_ word: String, among known: [String]) -> String {
    guard let nearest = nearestSpelling(of: word, among: known) else { return "" }
    return "; did you mean `\(nearest)`?"
}

/// `weir --man [PAGE]`; with `--list` the names of the pages, for who installs them.
func manual(_ words: ArraySlice<String>) -> Int32 {
    if words.first == "--list" {
        standardOutput(Manual.pages.map { $0.fileName + "\n" }.joined())
        return 0
    }
    let name = words.first ?? "weir"
    guard words.count <= 1, let page = Manual.page(named: name) else {
        let guess = didYouMean(name, among: Manual.pages.map(\.name))
        standardError("weir: no manual page `\(words.joined(separator: " "))`\(guess)")
        return 2
    }
    standardOutput(page.text())
    return 0
}

func main() -> Int32 {
    let words = Array(CommandLine.arguments.dropFirst())
    guard let first = words.first else {
        standardError(Help.overview())
        return 2
    }
    switch first {
    case "--help", "-h", "help":
        standardOutput(Help.overview())
        return 0
    case "--version", "-V":
        standardOutput("weir \(Version.text)\n")
        return 0
    case "--man": return manual(words.dropFirst())
    default: break
    }
    guard let command = Commands.all.first(where: { $0.name == first }) else {
        let guess = didYouMean(first, among: Commands.all.map(\.name))
        standardError("weir: unknown command `\(first)`\(guess)\nSee `weir --help`.")
        return 2
    }
    if words.dropFirst().contains(where: { $0 == "--help" || $0 == "-h" }) {
        standardOutput(Help.text(of: command))
        return 0
    }
    do throws(Failure) {
        return try command.run(Arguments(Array(words.dropFirst()), command: command.name))
    } catch {
        standardError(error.namesItsPlace ? error.message : "weir: \(error.message)")
        return 1
    }
}

exit(main())
