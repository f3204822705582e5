// The manual pages, in man(7) macros: weir(1) and a page for each command out of the table of commands,
// weir.yaml(5) out of the configuration's table of keys.

import Configuration
import Control

/// One manual page.
struct ManualPage: Sendable {
    let name: String
    let section: Int
    /// The line of NAME, behind the dash.
    let purpose: String
    let body: @Sendable () -> [String]

    var fileName: String { "\(name).\(section)" }

    func text() -> String {
        let header = [
            ".TH \(Roff.argument(name.uppercased())) \(section) \"\" \(Roff.argument("weir \(Version.text)")) "
                + Roff.argument(section == 1 ? "User Commands" : "File Formats"),
            ".SH NAME", "\(Roff.text(name)) \\- \(Roff.text(purpose))",
        ]
        return (header + body()).joined(separator: "\n") + "\n"
    }
}

enum Manual {
    static let pages = [overview] + Commands.all.map(page) + [configuration]

    /// By the name of the page, its file or the command: `weir-run`, `weir-run.1`, `run`.
    static func page(named name: String) -> ManualPage? {
        pages.first { [$0.name, $0.fileName].contains(name) || $0.name == "weir-" + name }
    }

    private static let overview = ManualPage(
        name: "weir", section: 1, purpose: "an L4 TCP load balancer with an HTTP mode, on io_uring"
    ) {
        var lines = [
            ".SH SYNOPSIS", ".B weir", Roff.text("COMMAND [ARGUMENTS]"), ".SH DESCRIPTION",
            "Weir balances TCP connections, or HTTP requests, over backends, as its configuration says.",
            ".SH COMMANDS",
        ]
        for command in Commands.all {
            lines += [".TP", ".BR \(Roff.argument("weir-\(command.name)")) (1)", Roff.text(command.summary)]
        }
        lines += [
            ".SH OPTIONS",
            ".TP", ".B \\-\\-help", "What commands there are; behind a command, what that one takes.",
            ".TP", ".B \\-\\-version", "The version.",
            ".TP", ".BR \\-\\-man \" [\\fIPAGE\\fR]\"",
            "A page of this manual, as roff: of a command, or weir.yaml. \\fB\\-\\-list\\fR names them all.",
            ".SH FILES", ".TP", ".I /etc/weir/weir.yaml",
            "The configuration, where no other is named and there is no weir.yaml in the current folder.",
            ".SH ENVIRONMENT", ".TP", ".B WEIR_ADMIN_TOKEN",
            "The token of the admin API, for commands that ask a running Weir.",
        ]
        lines += exitStatus
        return lines + seeAlso([("weir.yaml", 5)])
    }

    private static func page(of command: Command) -> ManualPage {
        ManualPage(name: "weir-" + command.name, section: 1, purpose: command.summary) {
            var lines = [".SH SYNOPSIS", ".B weir \(command.name)", Roff.text(command.arguments)]
            lines.removeAll(where: \.isEmpty)
            if !command.rows.isEmpty { lines.append(".SH OPTIONS") }
            for row in command.rows {
                lines += [".TP", ".B \(Roff.argument(row.label))", Roff.text(row.meaning)]
            }
            if !command.details.isEmpty { lines.append(".SH DESCRIPTION") }
            for paragraph in command.details.split(separator: "") {
                // Columns stay as they are; all else is filled.
                let isTable = paragraph.contains { $0.contains("  ") }
                let text = paragraph.map(Roff.text)
                lines += [".PP"] + (isTable ? [".nf"] + text + [".fi"] : text)
            }
            lines += [".SH EXAMPLE", ".nf", Roff.text(command.example), ".fi"]
            return lines + exitStatus + seeAlso([("weir", 1), ("weir.yaml", 5)])
        }
    }

    private static let configuration = ManualPage(
        name: "weir.yaml", section: 5, purpose: "the configuration of weir"
    ) {
        var lines = [
            ".SH DESCRIPTION",
            Roff.text(
                "YAML, of which JSON is a part. Durations are `500ms`, `10s`, `5m`; sizes `16KiB`, `1MiB`;"),
            Roff.text("shares `5%`. `${NAME}` and `${NAME:-default}` take an environment variable."),
            Roff.text("`weir check` says all that is wrong with a file, or what it comes to."),
        ]
        for chapter in ConfigurationReference.chapters() {
            lines.append(".SH \(Roff.argument(chapter.title.filter { $0 != "`" }.uppercased()))")
            for row in chapter.rows {
                lines += [".TP", ".B \(Roff.argument(row.key))", Roff.text(row.meaning)]
                lines += [".br", "Value: " + Roff.text(row.value) + "."]
                if row.isRequired {
                    lines += [".br", "Required."]
                } else if !row.absence.isEmpty {
                    lines += [".br", "Default: " + Roff.text(row.absence) + "."]
                }
            }
        }
        lines += [
            ".SH EXAMPLE", ".nf", "listeners:", "  cache:", "    bind: 127.0.0.1:6380", "    pool: redis",
            "pools:", "  redis:", "    backends: [10.0.0.1:6379, 10.0.0.2:6379]", ".fi",
            ".SH FILES", ".I ./weir.yaml", ".br", ".I /etc/weir/weir.yaml",
        ]
        return lines + seeAlso([("weir", 1), ("weir-check", 1), ("weir-plan", 1)])
    }

    private static let exitStatus = [
        ".SH EXIT STATUS", "0 after a clean stop; 1 where something failed; 2 for an unknown command.",
    ]

    private static func seeAlso(_ pages: [(name: String, section: Int)]) -> [String] {
        [".SH SEE ALSO"]
            + pages.enumerated().map { index, page in
                let comma = index == pages.count - 1 ? "" : ","
                return ".BR \(Roff.argument(page.name)) (\(page.section))\(comma)"
            }
    }
}
