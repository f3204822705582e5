// `weir upgrade`: asks the running Weir to start its program anew, and follows the old process until it has ended.
// Part of the table in `Commands.swift`.

import Configuration
import Control
import Glibc
import LogReading

extension Commands {
    static let upgrade = Command(
        name: "upgrade", arguments: "[-c FILE] [--admin ADDRESS] [--no-wait]",
        summary: "start the program of a running Weir anew; no connection is lost",
        options: [
            runningConfiguration, adminAddress,
            CommandOption("--no-wait", "return when the new process serves, not when the old one has ended"),
        ],
        details: [
            "The program at the path that Weir was started as is started with the same arguments, reads the",
            "file as it is now and takes over the sockets. Once it accepts, the old process accepts nobody any",
            "more, and ends when its sessions have. Where the new one fails, the old one goes on, and the cause",
            "is printed; exit status 1.",
        ],
        example: "weir upgrade -c /etc/weir/weir.yaml"
    ) { (arguments) throws(Failure) in
        let live = try Live(arguments)
        let waits = !arguments.flag("--no-wait")
        try arguments.finish()
        let client = try live.client()
        let (status, body) = try client.command("POST", "/lb/upgrade")
        guard let members = JSONObject.members(of: body) else { throw client.unexpected(status, body) }
        let fields = JSONFields(members)
        switch status {
        case 200: break
        case 422: throw Failure("the new process failed, the old one goes on: \(fields.text("error"))")
        case 202, 503: throw Failure("\(fields.text("error")); the event log tells how it ends")
        default: throw client.unexpected(status, body)
        }
        let old = OldProcess(
            number: pid_t(fields.number("predecessor")), admin: fields.text("predecessor_admin"))
        tell("process \(fields.number("pid")) serves in the place of \(old.number)")
        if waits { try old.follow() }
        return 0
    }

    fileprivate static func tell(_ line: String) { standardOutput(line + "\n") }
}

/// The process whose place another one has taken.
private struct OldProcess {
    let number: pid_t
    /// Where it is reached until it ends; empty where nowhere.
    let admin: String

    private static let lookMicroseconds: UInt32 = 200_000

    /// Whoever started it may not have noticed: it is a zombie then (proc_pid_stat(5)).
    private var hasEnded: Bool {
        if kill(number, 0) != 0, errno == ESRCH { return true }
        guard let file = fopen("/proc/\(number)/stat", "r") else { return false }
        defer { fclose(file) }
        var octets = [UInt8](repeating: 0, count: 512)
        let count = fread(&octets, 1, octets.count, file)
        // The state follows the name, which is in parentheses and may have some itself.
        guard let end = octets[..<count].lastIndex(of: UInt8(ascii: ")")), end + 2 < count else {
            return false
        }
        return octets[end + 2] == UInt8(ascii: "Z")
    }

    /// Tells how many sessions it has left each time that this is another number, until it has ended.
    func follow() throws(Failure) {
        let client = admin.isEmpty ? nil : try AdminClient(address: admin, configurationFile: nil)
        if client == nil {
            Commands.tell("\(number) drains; the event log says how many sessions it has left")
        }
        var told: UInt64?
        while !hasEnded {
            if let sessions = sessions(client), sessions != told {
                Commands.tell("\(number) drains: \(sessions) \(sessions == 1 ? "session" : "sessions") left")
                told = sessions
            }
            usleep(Self.lookMicroseconds)
        }
        Commands.tell("\(number) has ended")
    }

    /// nil where it does not answer: mostly because it is about to end.
    private func sessions(_ client: AdminClient?) -> UInt64? {
        guard let body = try? client?.get("/lb/sessions"), let members = JSONObject.members(of: body) else {
            return nil
        }
        return JSONFields(members).number("sessions")
    }
}
