// Completions for bash(1): one function that looks at the words before the cursor.

enum BashCompletions {
    static func script() -> String {
        let commands = Commands.all.map(\.name) + Shell.freeStandingOptions.flatMap(\.names)
        return """
            # Completes the words of weir in bash. Made by `weir completions bash`.

            # Names in the configuration; the one that the command line names, if it does.
            _weir_names() {
                local index
                local -a file=()
                for ((index = 2; index < ${#words[@]} - 1; index++)); do
                    case ${words[index]} in
                    -c | --config) file=(-c "${words[index + 1]}") ;;
                    esac
                done
                "${words[0]}" completions "$1" "${file[@]}" 2>/dev/null
            }

            _weir() {
                # Bash ends words at : and =, which stand in addresses: these are words as the shell takes them.
                local -a words
                local line=${COMP_LINE:0:COMP_POINT}
                read -a words <<<"$line"
                [[ $line == *[[:space:]] ]] && words+=('')
                local last=$((${#words[@]} - 1))
                local word=${words[last]} previous=${words[last - 1]}
                [[ $word == --*=* ]] && previous=${word%%=*} word=${word#*=}

                local index position=0
                for ((index = 2; index < last; index++)); do
                    case ${words[index]} in
                    \(Shell.optionsWithValue.joined(separator: " | "))) ((index++)) ;;
                    -?*) ;;
                    *) ((position++)) ;;
                    esac
                done

                local choices= wants_file=
                if ((last == 1)); then
                    choices='\(commands.joined(separator: " "))'
                else
                    case ${words[1]} in
            \(Commands.all.map(branch).joined(separator: "\n"))
                    esac
                fi

                COMPREPLY=()
                if [[ $wants_file ]]; then
                    compopt -o filenames 2>/dev/null
                    mapfile -t COMPREPLY < <(compgen -f -- "$word")
                else
                    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
                fi
                # What bash replaces begins behind the last : or =.
                local kept=${word%"${word##*[:=]}"}
                [[ $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"$kept"}")
            }

            complete -F _weir weir

            """
    }

    private static func branch(_ command: Command) -> String {
        let options = command.options + [Shell.helpOption]
        let values = command.options.filter { $0.placeholder != nil }.map { option in
            "            \(option.names.joined(separator: " | "))) \(action(option.completion)) ;;"
        }
        let operands = command.operands.enumerated().map { index, operand in
            let isLast = index == command.operands.count - 1
            return "                \(isLast ? "*" : String(index))) \(action(operand.completion)) ;;"
        }
        return """
                    \(command.name))
                        case $previous in
            \((values + ["            *)"]).joined(separator: "\n"))
                            if [[ $word == -* ]]; then
                                choices='\(options.flatMap(\.names).joined(separator: " "))'
                            else
                                case $position in
            \(operands.joined(separator: "\n"))
                                esac
                            fi
                            ;;
                        esac
                        ;;
            """
    }

    private static func action(_ completion: Completion) -> String {
        switch completion {
        case .nothing: ":"
        case .files: "wants_file=1"
        case .words(let words): "choices='\(words.joined(separator: " "))'"
        case .names(let kind): "choices=$(_weir_names \(kind.rawValue))"
        }
    }
}
