// The table of commands: what `--help` prints, what the man page is made of, and what runs.

import Configuration
import Control

struct Command: Sendable {
    let name: String
    /// What follows the name, as in a usage line.
    let arguments: String
    let summary: String
    /// Options and remarks, a line each.
    let details: [String]
    let example: String
    let run: @Sendable (Arguments) throws(Failure) -> Int32
}

enum Commands {
    static let all = [
        run, check, plan, reload, rollback, history, backend, explain, status, top, tail, demo, schema,
    ]

    private static let run = Command(
        name: "run", arguments: "[-c FILE] [--drain-timeout SECONDS]",
        summary: "serve in the foreground",
        details: [
            "-c, --config FILE         the configuration; default ./weir.yaml, then /etc/weir/weir.yaml",
            "--drain-timeout SECONDS   how long sessions may go on after SIGTERM; default 30",
            "",
            "SIGTERM and SIGINT stop accepting and let sessions finish; a second one stops now.",
            "SIGHUP applies the file anew, all of it or nothing; `weir plan` says before what that changes.",
            "SIGUSR1 opens the log files anew, after they were renamed.",
        ],
        example: "weir run -c /etc/weir/weir.yaml --drain-timeout 60"
    ) { (arguments) throws(Failure) in
        let file = try arguments.value("-c", "--config")
        let timeout = try arguments.number("--drain-timeout", within: 0...86_400)
        try arguments.finish()
        let path = if let file { file } else { try ConfigurationFile.defaultPath() }
        var options = ServerOptions()
        options.configurationName = path
        if let timeout { options.drainTimeoutSeconds = timeout }
        return try Server(ConfigurationFile.read(path), options: options).wait()
    }

    private static let check = Command(
        name: "check", arguments: "FILE",
        summary: "validate a configuration; print what it comes to",
        details: [
            "Prints all errors of the file with line and column and exits with 1, or prints the",
            "configuration with every default filled in, the routes of http listeners in words, the engine",
            "that this host gives it, and the descriptors and memory it will take at most.",
        ],
        example: "weir check weir.yaml"
    ) { (arguments) throws(Failure) in
        let path = try arguments.positional("FILE")
        try arguments.finish()
        let configuration = try ConfigurationFile.read(path)
        configuration.warnings(file: path).forEach { standardError($0) }
        standardOutput(try Check.report(configuration))
        return 0
    }

    private static let plan = Command(
        name: "plan", arguments: "FILE [-c FILE]",
        summary: "say what a reload would change, and whom it would touch",
        details: [
            "FILE                  the configuration to come",
            "-c, --config FILE     the one that runs; default as for `weir run`",
            "",
            "Compares what the two come to, defaults included, and changes nothing. Exits with 0 whether",
            "there is a difference or not, and with 1 where one of the files has errors.",
        ],
        example: "weir plan new.yaml -c /etc/weir/weir.yaml"
    ) { (arguments) throws(Failure) in
        let running = try arguments.value("-c", "--config")
        let path = try arguments.positional("FILE")
        try arguments.finish()
        let runningPath = if let running { running } else { try ConfigurationFile.defaultPath() }
        let before = try ConfigurationFile.read(runningPath)
        let after = try ConfigurationFile.read(path)
        standardOutput(Plan.text(before, after))
        return 0
    }

    private static let explain = Command(
        name: "explain", arguments: "[-c FILE] [--listener NAME] [METHOD] URL [-H 'NAME: VALUE']...",
        summary: "say what a configuration would do with an http request, and why",
        details: [
            "-c, --config FILE     the configuration; default as for `weir run`",
            "--listener NAME       whose routes; may be left out where one listener has `mode: http`",
            "-H, --header LINE     a header of the request, any number of times",
            "--client IP           whom the request comes from; default 127.0.0.1",
            "--draw NUMBER         another draw of what is left to chance; default 1",
            "--json                for programs",
            "",
            "METHOD is GET unless given. The request goes through the code that serves: the strict reading",
            "of its head, the routes, the split, the rewrite, the pool's policy. Nothing is sent. Where the",
            "rotation of a running Weir stands, and who is full there, is not known here.",
        ],
        example: "weir explain -c weir.yaml --listener web GET http://a.example/v1/x -H 'x-beta: 1'"
    ) { (arguments) throws(Failure) in
        let file = try arguments.value("-c", "--config")
        let listener = try arguments.value("--listener")
        let headers = try arguments.values("-H") + arguments.values("--header")
        let client = try arguments.value("--client")
        let draw = try arguments.number("--draw", within: 0...Int.max)
        let isJSON = arguments.flag("--json")
        let words = try arguments.positionals("URL", least: 1, most: 2)
        try arguments.finish()
        var request = MadeUpRequest(url: words.last!)
        if words.count == 2 { request.method = words[0] }
        request.headers = headers
        if let client { request.client = client }
        let path = if let file { file } else { try ConfigurationFile.defaultPath() }
        let configuration = try ConfigurationFile.read(path)
        let explanation = try Explanation(
            request, configuration, listenerName: listener, draw: UInt64(draw ?? 1))
        standardOutput(isJSON ? explanation.json(configuration) : explanation.text(configuration))
        return 0
    }

    private static let status = Command(
        name: "status", arguments: "[-c FILE] [--admin ADDRESS] [--json]",
        summary: "look at a running Weir: listeners, backends, rates",
        details: Live.details + [
            "--json                everything that is counted, for programs (docs/openapi.json)",
            "",
            "Rates, failures, percentiles and bytes are those of one second, which it waits for. The token,",
            "where one is wanted, is that of the file or of the environment variable WEIR_ADMIN_TOKEN.",
        ],
        example: "weir status --admin unix:/run/weir/admin.sock"
    ) { (arguments) throws(Failure) in
        let isJSON = arguments.flag("--json")
        let live = try Live(arguments)
        try arguments.finish()
        return try Status.run(live.client(), isJSON: isJSON)
    }

    private static let top = Command(
        name: "top", arguments: "[-c FILE] [--admin ADDRESS]",
        summary: "the same live in the terminal",
        details: Live.details + [
            "",
            "s sorts backends by the next column, p pauses, q ends. Arrow keys select a backend: d drains it, e",
            "enables it. Each line of bars is the last 20 seconds.",
        ],
        example: "weir top --admin 127.0.0.1:9900"
    ) { (arguments) throws(Failure) in
        let live = try Live(arguments)
        try arguments.finish()
        return try Top.run(live.client())
    }

    private static let tail = Command(
        name: "tail", arguments: "[FILE or -] [-n LINES] [--no-follow] [FILTERS] [--json or --stats]",
        summary: "follow logs: columns, filters, running figures",
        details: [
            "FILE                  a log of format json; - or nothing for standard input",
            "-n, --lines LINES     begin LINES before the end, or with `all`; default 10, but all with",
            "                      --no-follow or --stats",
            "--no-follow           end at the file's end; else follow it through rotations, q ends",
            "--json                print matching lines as they are",
            "--stats               rate, outcomes, errors, percentiles and backends instead of lines",
            "",
            "--status CODES        5xx, 503 or 400-499",
            "--reason NAME         the record's reason or cause",
            "--client ADDRESS      or a block: 10.0.0.0/8, 2001:db8::/32",
            "--slow DURATION       took at least so long: 200ms, 2s",
            "--listener, --pool, --backend NAME",
            "",
            "A filter given again adds a value; different filters must all match.",
        ],
        example: "weir tail --status 5xx --slow 200ms /var/log/weir/access.log"
    ) { (arguments) throws(Failure) in
        try Tail.run(TailOptions(arguments))
    }

    private static let demo = Command(
        name: "demo", arguments: "",
        summary: "see it work: sample backends, a tcp and an http listener",
        details: [
            "Prints the curl lines to try and the file that it runs on, then the log. Ctrl-C stops it."
        ],
        example: "weir demo"
    ) { (arguments) throws(Failure) in
        try arguments.finish()
        return try Demo.run()
    }

    private static let schema = Command(
        name: "schema", arguments: "",
        summary: "print the JSON Schema of the configuration, for editors",
        details: ["The same text is configs/weir.schema.json in the source tree."],
        example: "weir schema > weir.schema.json"
    ) { (arguments) throws(Failure) in
        try arguments.finish()
        standardOutput(JSONSchema.text())
        return 0
    }
}
