// The table of commands: what `--help` prints, what manual pages and completions are made of, and what runs.

import Configuration
import Control

enum Commands {
    static let all = [
        run, check, plan, reload, rollback, history, backend, upgrade, explain, status, sessions, top, tail,
        demo, schema, completions,
    ]

    /// Of commands that read a configuration.
    private static let configurationFile = CommandOption(
        "-c, --config", "FILE", "the configuration; default as for `weir run`", .files)

    /// Of commands that ask a running Weir.
    static let runningConfiguration = CommandOption(
        "-c, --config", "FILE",
        "the configuration that it runs with; default as for `weir run`", .files)
    static let adminAddress = CommandOption(
        "--admin", "ADDRESS",
        "unix:/path or 127.0.0.1:9900 instead of the `admin.bind` of the file")

    private static let run = Command(
        name: "run", arguments: "[-c FILE] [--drain-timeout SECONDS] [--upgrade-drain-timeout SECONDS]",
        summary: "serve in the foreground",
        options: [
            CommandOption(
                "-c, --config", "FILE",
                "the configuration; default ./weir.yaml, then /etc/weir/weir.yaml", .files),
            CommandOption(
                "--drain-timeout", "SECONDS",
                "how long sessions may go on after SIGTERM; default 30"),
            CommandOption(
                "--upgrade-drain-timeout", "SECONDS",
                "the same after an upgrade; default 86400"),
        ],
        details: [
            "SIGTERM and SIGINT stop accepting and let sessions finish; a second one stops now.",
            "SIGHUP applies the file anew, all of it or nothing; `weir plan` says before what that changes.",
            "SIGUSR1 opens the log files anew, after they were renamed. SIGUSR2 starts the program anew and",
            "hands the sockets over: `weir upgrade`.",
        ],
        example: "weir run -c /etc/weir/weir.yaml --drain-timeout 60"
    ) { (arguments) throws(Failure) in
        let file = try arguments.value("-c", "--config")
        let timeout = try arguments.number("--drain-timeout", within: 0...86_400)
        let upgradeTimeout = try arguments.number("--upgrade-drain-timeout", within: 0...31_536_000)
        try arguments.finish()
        let path = try ConfigurationFile.path(file)
        var options = ServerOptions()
        options.configurationName = path
        if let timeout { options.drainTimeoutSeconds = timeout }
        if let upgradeTimeout { options.upgradeDrainTimeoutSeconds = upgradeTimeout }
        return try Server(ConfigurationFile.read(path), options: options).wait()
    }

    private static let check = Command(
        name: "check", arguments: "FILE", operands: [Operand("FILE", .files)],
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
        operands: [Operand("FILE", .files, "the configuration to come")],
        summary: "say what a reload would change, and whom it would touch",
        options: [
            CommandOption(
                "-c, --config", "FILE", "the one that runs; default as for `weir run`", .files)
        ],
        details: [
            "Compares what the two come to, defaults included, and changes nothing. Exits with 0 whether",
            "there is a difference or not, and with 1 where one of the files has errors.",
        ],
        example: "weir plan new.yaml -c /etc/weir/weir.yaml"
    ) { (arguments) throws(Failure) in
        let running = try arguments.value("-c", "--config")
        let path = try arguments.positional("FILE")
        try arguments.finish()
        let runningPath = try ConfigurationFile.path(running)
        let before = try ConfigurationFile.read(runningPath)
        let after = try ConfigurationFile.read(path)
        standardOutput(Plan.text(before, after))
        return 0
    }

    private static let explain = Command(
        name: "explain",
        arguments: "[-c FILE] [--listener NAME] [METHOD] URL [-H 'NAME: VALUE']... | --request ID",
        operands: [
            Operand("METHOD", .words(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])),
            Operand("URL", .nothing),
        ],
        summary: "say what becomes of an http request, and why; or what became of one",
        options: [
            configurationFile,
            CommandOption(
                "--listener", "NAME",
                "whose routes; may be left out where one listener has `mode: http`", .names(.listeners)),
            CommandOption("-H, --header", "LINE", "a header of the request, any number of times"),
            CommandOption("--client", "IP", "whom the request comes from; default 127.0.0.1"),
            CommandOption(
                "--draw", "NUMBER", "another draw of what is left to chance; default 1"),
            CommandOption("--json", "for programs"),
            CommandOption("--request", "ID", "of one that happened: its `id` or `request_id` in the log"),
            CommandOption(
                "--admin", "ADDRESS", "the running Weir that is asked for its record, as for `weir status`"),
            CommandOption("--log", "FILE", "a log to look for its record in; - for standard input", .files),
        ],
        details: [
            "METHOD is GET unless given. The request goes through the code that serves: the strict reading",
            "of its head, the routes, the split, the rewrite, the pool's policy. Nothing is sent. Where the",
            "rotation of a running Weir stands, and who is full there, is not known here.",
            "With --request it says in words what the record of a request that happened has, out of the memory",
            "of the running Weir (-c FILE or --admin), or out of a log.",
        ],
        example: "weir explain -c weir.yaml --listener web GET http://a.example/v1/x -H 'x-beta: 1'"
    ) { (arguments) throws(Failure) in
        let file = try arguments.value("-c", "--config")
        let listener = try arguments.value("--listener")
        let headers = try arguments.values("-H") + arguments.values("--header")
        let client = try arguments.value("--client")
        let draw = try arguments.number("--draw", within: 0...Int.max)
        let isJSON = arguments.flag("--json")
        if let identifier = try arguments.value("--request") {
            let address = try arguments.value("--admin")
            let log = try arguments.value("--log")
            try arguments.finish()
            guard listener == nil, headers.isEmpty, client == nil, draw == nil else {
                throw Failure(
                    "--request is for a request that happened: it goes with -c, --admin, --log, --json")
            }
            if let log {
                guard file == nil, address == nil else {
                    throw Failure("--log excludes -c and --admin: it reads a file, and asks no running Weir")
                }
                return try PastRequest.run(identifier, inLogAt: log, isJSON: isJSON)
            }
            let running = RunningLog(try AdminClient(address: address, configurationFile: file), .access)
            return try PastRequest.run(identifier, in: running, isJSON: isJSON)
        }
        let words = try arguments.positionals("URL", least: 1, most: 2)
        try arguments.finish()
        var request = MadeUpRequest(url: words.last!)
        if words.count == 2 { request.method = words[0] }
        request.headers = headers
        if let client { request.client = client }
        let path = try ConfigurationFile.path(file)
        let configuration = try ConfigurationFile.read(path)
        let explanation = try Explanation(
            request, configuration, listenerName: listener, draw: UInt64(draw ?? 1))
        standardOutput(isJSON ? explanation.json(configuration) : explanation.text(configuration))
        return 0
    }

    private static let status = Command(
        name: "status", arguments: "[-c FILE] [--admin ADDRESS] [--json]",
        summary: "look at a running Weir: listeners, backends, rates",
        options: [
            runningConfiguration, adminAddress,
            CommandOption("--json", "everything that is counted, for programs (docs/openapi.json)"),
        ],
        details: [
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
        options: [runningConfiguration, adminAddress],
        details: [
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
        name: "tail", arguments: "[FILE or - or --admin ADDRESS] [-n LINES] [FILTERS] [--json or --stats]",
        operands: [
            Operand(
                "FILE", .files,
                "a log; - for standard input; default: that, or at a terminal the running Weir")
        ],
        summary: "follow logs: columns, filters, running figures",
        options: [
            CommandOption("--admin", "ADDRESS", "a running Weir: unix:/path or 127.0.0.1:9900"),
            CommandOption("-c, --config", "FILE", "the running Weir of that configuration", .files),
            CommandOption("--events", "of a running Weir the events instead of the access records"),
            CommandOption(
                "-n, --lines", "LINES",
                "begin LINES before the end, or `all`; default 10, all with --no-follow or --stats"),
            CommandOption("--no-follow", "end at the file's end; else follow it through rotations, q ends"),
            CommandOption("--json", "print matching lines as they are"),
            CommandOption("--stats", "rate, outcomes, errors, percentiles and backends instead of lines"),
            CommandOption("--status", "CODES", "5xx, 503 or 400-499"),
            CommandOption("--reason", "NAME", "the record's reason or cause"),
            CommandOption("--client", "ADDRESS", "or a block: 10.0.0.0/8, 2001:db8::/32"),
            CommandOption("--slow", "DURATION", "took at least so long: 200ms, 2s"),
            CommandOption("--listener", "NAME", "came to this listener", .names(.listeners)),
            CommandOption("--pool", "NAME", "was for this pool", .names(.pools)),
            CommandOption("--backend", "NAME", "went to this backend", .names(.backends)),
        ],
        details: [
            "Filters: a second --status adds a value, different ones must all match."
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

    private static let completions = Command(
        name: "completions", arguments: "SHELL or KIND [-c FILE]",
        operands: [
            Operand(
                "SHELL", .words(Shell.allCases.map(\.rawValue) + ConfiguredName.allCases.map(\.rawValue)),
                "bash, zsh or fish")
        ],
        summary: "print what a shell needs to complete weir's words",
        options: [configurationFile],
        details: [
            "KIND is `listeners`, `pools` or `backends`: their names in the configuration, a line each,",
            "which is what the shells ask for. `make install` puts the three where shells look for them.",
        ],
        example: "source <(weir completions bash)"
    ) { (arguments) throws(Failure) in
        let file = try arguments.value("-c", "--config")
        let word = try arguments.positional("SHELL")
        try arguments.finish()
        if let shell = Shell(rawValue: word) {
            standardOutput(shell.completions)
        } else if let kind = ConfiguredName(rawValue: word) {
            let path = try ConfigurationFile.path(file)
            standardOutput(kind.names(in: try ConfigurationFile.read(path)).map { $0 + "\n" }.joined())
        } else {
            let known = Shell.allCases.map(\.rawValue) + ConfiguredName.allCases.map(\.rawValue)
            throw Failure("no completions for `\(word)`\(didYouMean(word, among: known))")
        }
        return 0
    }
}
