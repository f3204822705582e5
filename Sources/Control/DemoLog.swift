// The log of `weir demo`: both logs come through a pipe as `key=value` text, and what matters of each record
// goes to the terminal as a line of columns.

import Configuration
import Glibc

final class DemoLog: @unchecked Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32
    private var thread = pthread_t()
    /// A line that no record looks like.
    private static let end = "end of log"

    init() throws(Failure) {
        var ends: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { pipe($0) }
        }
        guard made == 0 else { throw Failure("no pipe for the log: \(errorText(errno))") }
        (readEnd, writeEnd) = ends
    }

    /// What `logs.access` and `logs.events` are to be.
    var destination: LogDestination { .file(path: "/proc/self/fd/\(writeEnd)") }

    /// Prints what has come and what will.
    func start() throws(Failure) {
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<DemoLog>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
    }

    /// Returns when all that was written before is printed.
    func finish() {
        let line = Self.end + "\n"
        _ = write(writeEnd, line, line.utf8.count)
        pthread_join(thread, nil)
    }

    private func run() {
        var pending: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(readEnd, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            pending += chunk[..<count]
            while let lineEnd = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<lineEnd], as: UTF8.self)
                pending.removeSubrange(...lineEnd)
                if line == Self.end { return }
                let text = DemoLine(line).text + "\n"
                _ = write(STDOUT_FILENO, text, text.utf8.count)
            }
        }
    }
}

/// One record in columns.
struct DemoLine {
    /// In the order of the record.
    private var fields: [(key: String, value: String)] = []

    /// Reads a record of the log's text format.
    init(_ line: String) {
        var rest = Substring(line)
        while let equals = rest.firstIndex(of: "=") {
            let key = String(rest[..<equals])
            rest = rest[rest.index(after: equals)...]
            fields.append((key, Self.value(&rest)))
            if rest.first == " " { rest.removeFirst() }
        }
    }

    /// Up to the next space; in quotes as in JSON.
    private static func value(_ rest: inout Substring) -> String {
        guard rest.first == "\"" else {
            let word = rest.prefix { $0 != " " }
            rest.removeFirst(word.count)
            return String(word)
        }
        rest.removeFirst()
        var text = ""
        while let character = rest.popFirst(), character != "\"" {
            // Other escapes than `\"` and `\\` stay as they are: they must not reach a terminal.
            if character == "\\", let next = rest.first, next == "\"" || next == "\\" {
                text.append(rest.removeFirst())
            } else {
                text.append(character)
            }
        }
        return text
    }

    private subscript(key: String) -> String? { fields.first { $0.key == key }?.value }

    /// For the terminal, without a line end.
    var text: String {
        // Of `2026-01-31T12:00:00.123456Z`.
        let time = (self["time"] ?? "").dropFirst(11).prefix(12)
        if let event = self["event"] {
            let others = fields.filter { !["time", "level", "event", "engine_why", "pid"].contains($0.key) }
            return "\(time)  \(event)  " + others.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        }
        var columns = ["\(time)", Self.padded(self["listener"] ?? "", 4)]
        if self["mode"] == "http" {
            columns.append(Self.padded(self["status"] ?? "-", 3))
            columns.append(Self.padded(request, 28))
        } else {
            columns.append("   ")
            columns.append(
                Self.padded("\(self["bytes_in"] ?? "0") bytes in, \(self["bytes_out"] ?? "0") out", 28))
        }
        columns.append(Self.padded(self["backend"] ?? "-", 6))
        columns.append(milliseconds)
        if self["upgraded"] != nil { columns.append("upgraded") }
        if let reason = self["reason"], reason != "ok" {
            columns.append(reason + (self["cause"].map { ": \($0)" } ?? ""))
        }
        return columns.joined(separator: "  ")
    }

    private var request: String {
        guard let method = self["method"], let path = self["path"] else { return "-" }
        return "\(method) \(path)"
    }

    private var milliseconds: String {
        let microseconds = self["total_us"].flatMap { Int($0) } ?? 0
        let tenths = (microseconds + 50) / 100
        return "\(tenths / 10).\(tenths % 10) ms"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }
}
