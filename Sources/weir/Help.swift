// What `--help` prints, made of the table of commands.

import Control

enum Help {
    static let purpose = "An L4 TCP load balancer with an HTTP mode, on io_uring."
    /// Lines are no longer.
    private static let width = 100

    static func overview() -> String {
        let commands = table(Commands.all.map { ($0.name, $0.summary) })
        return """
            weir \(Version.text): \(purpose)

            Usage: weir COMMAND [ARGUMENTS]

            \(commands.joined(separator: "\n"))

            weir COMMAND --help says more about one, weir --man COMMAND as a manual page. See weir --version.

            Example: weir run -c weir.yaml

            """
    }

    static func text(of command: Command) -> String {
        let details = command.details.map { $0.isEmpty ? "" : "  " + $0 }
        let parts = [table(command.rows), details].filter { !$0.isEmpty }
        return """
            weir \(command.name): \(command.summary)

            Usage: weir \(command.name)\(command.arguments.isEmpty ? "" : " " + command.arguments)

            \(parts.map { $0.joined(separator: "\n") }.joined(separator: "\n\n"))

            Example: \(command.example)

            """
    }

    /// Two columns, the second one wrapped.
    private static func table(_ rows: [(label: String, meaning: String)]) -> [String] {
        let indent = 2 + (rows.map(\.label.count).max() ?? 0) + 2
        return rows.flatMap { row in
            wrapped(row.meaning, width: width - indent).enumerated().map { index, line in
                let start = index == 0 ? "  " + row.label : ""
                return start + String(repeating: " ", count: indent - start.count) + line
            }
        }
    }

    private static func wrapped(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] = last + " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
