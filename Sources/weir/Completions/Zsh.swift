// Completions for zsh(1), by its _arguments.

enum ZshCompletions {
    static func script() -> String {
        """
        #compdef weir
        # Completes the words of weir in zsh. Made by `weir completions zsh`.

        # Names in the configuration; the one that the command line names, if it does.
        _weir_names() {
            local -a names file
            local given=${opt_args[-c]:-${opt_args[--config]}}
            [[ -n $given ]] && file=(-c ${(Q)given})
            names=(${(f)"$($weir_program completions $1 $file 2>/dev/null)"})
            compadd -a names
        }

        _weir() {
            local weir_program=$words[1]
            local -a commands
            if ((CURRENT == 2)); then
                commands=(
        \(entries.map { "            " + Shell.quoted($0) }.joined(separator: "\n"))
                )
                _describe command commands
                return
            fi
            shift words
            ((CURRENT--))
            case $words[1] in
        \(Commands.all.map(branch).joined(separator: "\n"))
            esac
        }

        if [[ $funcstack[1] == _weir ]]; then _weir "$@"; else compdef _weir weir; fi

        """
    }

    private static var entries: [String] {
        Commands.all.map { "\($0.name):\($0.summary)" }
            + Shell.freeStandingOptions.map { "\($0.names[0]):\($0.meaning)" }
    }

    private static func branch(_ command: Command) -> String {
        let specifications =
            (command.options + [Shell.helpOption]).flatMap(specifications) + operands(of: command)
        let lines = specifications.map { "            " + Shell.quoted($0) }
        return """
                \(command.name))
                    _arguments \\
            \(lines.joined(separator: " \\\n"))
                    ;;
            """
    }

    /// One for each name of the option; any may come again.
    private static func specifications(of option: CommandOption) -> [String] {
        let meaning = option.meaning.map { "[]:\\".contains($0) ? "\\\($0)" : String($0) }.joined()
        let value = option.placeholder.map { ":\($0):" + action(option.completion) } ?? ""
        return option.names.map { name in
            // A long option takes its value behind a = too.
            let equals = option.placeholder != nil && name.hasPrefix("--") ? "=" : ""
            return "*\(name)\(equals)[\(meaning)]\(value)"
        }
    }

    private static func operands(of command: Command) -> [String] {
        command.operands.enumerated().map { index, operand in
            let place = index == command.operands.count - 1 ? "*" : String(index + 1)
            return "\(place):\(operand.placeholder):" + action(operand.completion)
        }
    }

    private static func action(_ completion: Completion) -> String {
        switch completion {
        case .nothing: " "
        case .files: "_files"
        case .words(let words): "(\(words.joined(separator: " ")))"
        // The space keeps _arguments from putting words of its own before the kind.
        case .names(let kind): " _weir_names \(kind.rawValue)"
        }
    }
}
