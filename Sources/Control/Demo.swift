// `weir demo`: three sample backends within this process, and a tcp and an http listener in front of them, so
// that somebody new sees Weir work with nothing else at hand.

import Configuration
import Glibc

public enum Demo {
    private static let backendNames = ["ash", "birch", "cedar"]

    /// Serves until a signal; answers the exit code.
    public static func run() throws(Failure) -> Int32 {
        // Before the backends' threads start: a signal that one of them took would end the process.
        Server.holdSignals()
        var backends: [UInt16] = []
        for name in backendNames { backends.append(try SampleBackend.start(name: name)) }
        let tcp = try freePort(after: 8079)
        let web = try freePort(after: tcp)
        let admin = try freePort(after: web)
        let file = file(tcp: tcp, web: web, admin: admin, backends: backends)
        var configuration: Configuration
        do throws(ConfigurationErrors) {
            configuration = try Configuration.read(Array(file.utf8), file: "demo", environment: { _ in nil })
        } catch {
            throw Failure(error.rendered(), namesItsPlace: true)
        }
        let log = try DemoLog()
        configuration.logs.access = log.destination
        configuration.logs.events = log.destination
        configuration.logs.format = .text
        var options = ServerOptions()
        options.configurationName = "demo"
        options.drainTimeoutSeconds = 2
        let server = try Server(configuration, options: options)
        print(guide(tcp: tcp, web: web, admin: admin, file: file))
        fflush(nil)
        try log.start()
        let code = server.wait()
        log.finish()
        return code
    }

    /// The first of a few well-known ports that nobody has.
    private static func freePort(after last: UInt16) throws(Failure) -> UInt16 {
        for port in stride(from: last + 1, through: 8099, by: 1) {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            defer { close(descriptor) }
            guard let address = Address.ipv4(0x7F00_0001, port: port).socketAddress else { continue }
            if address.with({ bind(descriptor, $0, $1) }) == 0 { return port }
        }
        throw Failure("the demo wants three ports from 8080 to 8099, and they are taken")
    }

    /// What the demo runs on, and shows.
    private static func file(tcp: UInt16, web: UInt16, admin: UInt16, backends: [UInt16]) -> String {
        let addresses = zip(backendNames, backends).map { name, port in
            "{ name: \(name), address: \"127.0.0.1:\(port)\" }"
        }
        return """
            admin: { bind: "127.0.0.1:\(admin)" }
            listeners:
              tcp: { bind: "127.0.0.1:\(tcp)", mode: tcp, pool: trees }
              web:
                bind: "127.0.0.1:\(web)"
                mode: http
                routes:
                  - { match: { path: /ping }, respond: { body: "pong\\n" } }
                  - { match: { path: /old }, redirect: { to: /new, status: 308 } }
                  - { match: { headers: { x-canary: any } }, pool: canary }
                  - match: { path: /forest/* }
                    pool: trees
                    rewrite: { strip_prefix: /forest }
                    request_headers: { set: { x-env: demo } }
                pool: trees
            pools:
              trees:
                backends:
            \(addresses.map { "      - \($0)" }.joined(separator: "\n"))
              canary:
                backends: [\(addresses[2])]

            """
    }

    private static func guide(tcp: UInt16, web: UInt16, admin: UInt16, file: String) -> String {
        let url = "http://127.0.0.1:\(web)"
        return """

            Weir is in front of three sample backends (\(backendNames.joined(separator: ", "))) that answer what they got.
            In another terminal, to the http listener, which decides for each request:

                curl \(url)/                    # again and again: the backends take turns
                curl \(url)/forest/path?a=1     # the path rewritten, a header set
                curl -H 'x-canary: 1' \(url)/   # always cedar
                curl -L \(url)/old              # redirected
                curl \(url)/ping                # answered by Weir itself
                curl -d hello -H 'Content-Length : 5' \(url)/   # refused: a space before the colon

            and to the tcp listener, which decides for each connection and looks at nothing:

                curl http://127.0.0.1:\(tcp)/

            The dashboard, for a browser: http://127.0.0.1:\(admin)/
            The same in the terminal: weir status --admin 127.0.0.1:\(admin)

            All this is the file

            \(file.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))

            Put it in weir.yaml with servers of your own, then `weir run`. `weir explain` tells what becomes of a
            request. Below is the log, a line for each request and each tcp connection; `weir run` writes
            it as JSON with all its fields. Ctrl-C drains and stops.

            """
    }
}
