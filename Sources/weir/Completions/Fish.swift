// Completions for fish(1), a line for each thing that can be completed.

enum FishCompletions {
    static func script() -> String {
        var lines = ["complete -c weir -f"]
        for command in Commands.all {
            lines.append(
                "complete -c weir -n __weir_wants_command -a \(command.name) -d \(Shell.quoted(command.summary))"
            )
        }
        for option in Shell.freeStandingOptions {
            lines.append(
                "complete -c weir -n __weir_wants_command -l \(option.names[0].dropFirst(2)) -d "
                    + Shell.quoted(option.meaning))
        }
        lines += Commands.all.flatMap(lines(of:))
        return """
            # Completes the words of weir in fish. Made by `weir completions fish`.

            function __weir_wants_command
                test (count (commandline -opc)) -eq 1
            end

            # Whether the command is $argv[1]; with $argv[2] also whether the cursor is at that operand (from 0),
            # with a third argument at that one or behind it.
            function __weir_is_at
                set -l words (commandline -opc)
                test "$words[2]" = $argv[1]; or return 1
                set -q argv[2]; or return 0
                set -l position 0
                set -l is_value 0
                for word in $words[3..]
                    if test $is_value = 1
                        set is_value 0
                    else if contains -- $word \(Shell.optionsWithValue.joined(separator: " "))
                        set is_value 1
                    else if not string match -q -- '-?*' $word
                        set position (math $position + 1)
                    end
                end
                test $position -eq $argv[2]; or begin; set -q argv[3]; and test $position -gt $argv[2]; end
            end

            # Names in the configuration; the one that the command line names, if it does.
            function __weir_names
                set -l words (commandline -opc)
                set -l file
                for index in (seq 3 (math (count $words) - 1))
                    contains -- $words[$index] -c --config; and set file -c $words[(math $index + 1)]
                end
                $words[1] completions $argv[1] $file 2>/dev/null
            end

            \(lines.joined(separator: "\n"))

            """
    }

    private static func lines(of command: Command) -> [String] {
        let options = (command.options + [Shell.helpOption]).map { option in
            let names = option.names.map { name in
                name.hasPrefix("--") ? "-l \(name.dropFirst(2))" : "-s \(name.dropFirst())"
            }
            let value = option.placeholder == nil ? "" : " -r" + action(option.completion)
            return
                "complete -c weir -n '__weir_is_at \(command.name)' \(names.joined(separator: " "))\(value) -d "
                + Shell.quoted(option.meaning)
        }
        let operands = command.operands.enumerated().compactMap { index, operand -> String? in
            if operand.completion == .nothing { return nil }
            let isLast = index == command.operands.count - 1
            return "complete -c weir -n '__weir_is_at \(command.name) \(index)\(isLast ? " +" : "")'"
                + action(operand.completion)
        }
        return options + operands
    }

    private static func action(_ completion: Completion) -> String {
        switch completion {
        case .nothing: " -f"
        case .files: " -F"
        case .words(let words): " -f -a '\(words.joined(separator: " "))'"
        case .names(let kind): " -f -a '(__weir_names \(kind.rawValue))'"
        }
    }
}
