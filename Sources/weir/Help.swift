// What `--help` prints, and the man page, both out of the table of commands.

import Control

enum Help {
    static let purpose = "An L4 TCP load balancer with an HTTP mode, on io_uring."

    static func overview() -> String {
        let width = Commands.all.map(\.name.count).max()! + 2
        let lines = Commands.all.map { command in
            "  " + command.name + String(repeating: " ", count: width - command.name.count) + command.summary
        }
        return """
            weir \(Version.text): \(purpose)

            Usage: weir COMMAND [ARGUMENTS]

            \(lines.joined(separator: "\n"))

            weir COMMAND --help says more about one; weir --version prints the version.

            Example: weir run -c weir.yaml

            """
    }

    static func text(of command: Command) -> String {
        let details = command.details.map { $0.isEmpty ? "" : "  " + $0 }.joined(separator: "\n")
        return """
            weir \(command.name): \(command.summary)

            Usage: weir \(command.name)\(command.arguments.isEmpty ? "" : " " + command.arguments)

            \(details)

            Example: \(command.example)

            """
    }

    /// weir(1) in roff, man(7) macros.
    static func manual() -> String {
        var lines = [
            ".TH WEIR 1 \"\" \"weir \(Version.text)\" \"User Commands\"", ".SH NAME",
            "weir \\- an L4 TCP load balancer with an HTTP mode, on io_uring", ".SH SYNOPSIS",
        ]
        for command in Commands.all {
            lines += [".B weir \(command.name)", escape(command.arguments), ".br"]
        }
        lines += [".SH COMMANDS"]
        for command in Commands.all {
            lines += [".SS weir \(command.name) \(escape(command.arguments))", escape(command.summary + ".")]
            lines += [".PP", ".nf"] + command.details.map(escape) + [".fi", ".PP"]
            lines += ["Example:", ".B \(escape(command.example))"]
        }
        lines += [
            ".SH FILES", ".I /etc/weir/weir.yaml", ".br", "The configuration, where no other is named.",
            ".SH EXIT STATUS", "0 after a clean stop; 1 where something failed; 2 for a wrong command line.",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private static func escape(_ text: String) -> String {
        var escaped = ""
        for character in text {
            switch character {
            case "\\": escaped += "\\e"
            case "-": escaped += "\\-"
            default: escaped.append(character)
            }
        }
        // A dot or quote at the beginning of a line would be a request.
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }
}
