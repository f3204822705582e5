// The keys of `alerts`: who is told when a pool is in trouble. Part of the table in `Keys.swift`.

/// Who is told when a pool is in trouble, beside the event log.
public struct AlertSettings: Equatable, Sendable {
    /// A program and its arguments; empty for none.
    public var command: [String] = []
    public var webhook: Webhook?
    /// Of tries at a pool's backends.
    public var errorRatePercent = 5

    public init() {}
}

/// Where alerts are posted to, over plain http.
public struct Webhook: Equatable, Sendable, CustomStringConvertible {
    public var address: Address
    /// With a query; begins with `/`.
    public var target: String

    public init(address: Address, target: String) {
        self.address = address
        self.target = target
    }

    public var description: String { "http://\(address)\(target)" }
}

extension Keys {
    static let commandLimit = 64

    static var alerts: Section<AlertSettings> {
        Section(
            title: "`alerts`",
            documentation: "Alerts on pools in trouble (docs/alerts.md). `{}` only logs them.",
            prototype: AlertSettings(),
            fields: [
                Field(
                    "command", \.command,
                    commandWord.list(limit: commandLimit, of: "words, a program's path first")
                        .omittedWhenEmpty, absent: "none",
                    "A program, `[/usr/local/bin/page, --team, web]`, that gets the alert on its standard input."
                ),
                Field(
                    "webhook", \.webhook, webhook.optional, absent: "none",
                    "Where the alert is posted to; no https: `http://127.0.0.1:9000/alerts`."),
                Field(
                    "error_rate", \.errorRatePercent, percentage(1...100),
                    "So many of the tries at a pool's backends fail, of those of the last 10 seconds."),
            ],
            judge: { node, alerts, _, context in
                guard let path = alerts.command.first, !path.hasPrefix("/"),
                    let value = node.value(at: "command")
                else { return }
                context.report(
                    "\(path.quotedForMessage) is no absolute path", at: value.span,
                    expected: "a program such as `/usr/local/bin/page` first; there is no shell")
            })
    }

    private static var commandWord: ValueType<String> {
        .scalar(
            expectation: "a text", shape: .anyText,
            parse: { scalar throws(TextProblem) in
                if !scalar.text.utf8.contains(0) { return scalar.text }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) has a zero in it")
            },
            write: { $0 })
    }

    private static var webhook: ValueType<Webhook> {
        .scalar(
            expectation: "a URL of plain http such as `http://127.0.0.1:9000/alerts`",
            shape: .text(pattern: "^http://[!-~]+$"),
            parse: { scalar throws(TextProblem) in try parseWebhook(scalar.text) }, write: { $0.description })
    }

    private static func parseWebhook(_ text: String) throws(TextProblem) -> Webhook {
        if text.hasPrefix("https://") {
            throw TextProblem(message: "\(text.quotedForMessage): there is no TLS for webhooks")
        }
        guard text.hasPrefix("http://"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !text.contains("#")
        else { throw TextProblem(message: "\(text.quotedForMessage) is no URL of http") }
        let rest = text.dropFirst("http://".count)
        let host = String(rest.prefix { $0 != "/" && $0 != "?" })
        let target = String(rest.dropFirst(host.count))
        if host.contains("@") {
            throw TextProblem(message: "\(text.quotedForMessage) has a user in it")
        }
        // Port 80 goes without saying in a URL.
        let hasPort = host.drop { $0 != "]" }.contains(":") || (!host.contains("]") && host.contains(":"))
        let address = try Address.parse(hasPort ? host : "\(host):80", for: .backend)
        return Webhook(address: address, target: target.hasPrefix("/") ? target : "/\(target)")
    }
}
