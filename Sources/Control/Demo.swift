// `weir demo`: three sample backends within this process and a listener in front of them, so that somebody
// new sees Weir work with nothing else at hand.

import Configuration
import Glibc

public enum Demo {
    private static let backendNames = ["ash", "birch", "cedar"]

    /// Serves until a signal; answers the exit code.
    public static func run() throws(Failure) -> Int32 {
        // Before the backends' threads start: a signal that one of them took would end the process.
        Server.holdSignals()
        var backends: [Backend] = []
        for name in backendNames {
            let port = try SampleBackend.start(name: name)
            backends.append(
                Backend(name: name, address: .ipv4(0x7F00_0001, port: port), position: Self.nowhere))
        }
        let port = try freePort()
        var configuration = Configuration()
        configuration.logs.format = .text
        configuration.pools = [Pool(name: "trees", backends: backends, position: Self.nowhere)]
        configuration.listeners = [
            Listener(
                name: "demo", bind: [.ipv4(0x7F00_0001, port: port)], pool: "trees", position: Self.nowhere)
        ]
        var options = ServerOptions()
        options.configurationName = "demo"
        options.drainTimeoutSeconds = 2
        let server = try Server(configuration, options: options)
        printGuide(port: port)
        return server.wait()
    }

    private static let nowhere = SourcePosition(line: 0, column: 0)

    /// The first of a few well-known ports that nobody has.
    private static func freePort() throws(Failure) -> UInt16 {
        for port in UInt16(8080)...8099 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            defer { close(descriptor) }
            guard let address = Address.ipv4(0x7F00_0001, port: port).socketAddress else { continue }
            if address.with({ bind(descriptor, $0, $1) }) == 0 { return port }
        }
        throw Failure("the demo wants a port from 8080 to 8099, and all are taken")
    }

    private static func printGuide(port: UInt16) {
        print(
            """

            Weir balances three sample backends (\(backendNames.joined(separator: ", "))) on 127.0.0.1:\(port).
            In another terminal:

                curl http://127.0.0.1:\(port)/            # again and again: the backends take turns
                for i in 1 2 3 4 5 6; do curl -s http://127.0.0.1:\(port)/; done

            The same in a file (\u{201C}weir run -c FILE\u{201D}):

                listeners:
                  demo: { bind: "127.0.0.1:\(port)", mode: tcp, pool: trees }
                pools:
                  trees: { balance: round_robin, backends: ["127.0.0.1:9001", "127.0.0.1:9002"] }

            Below is the log: a line for each connection that ended. Ctrl-C drains and stops.

            """)
        fflush(nil)
    }
}
