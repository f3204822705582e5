// `weir explain --request ID`: the record of a request or session that happened, in words. It comes out of the memory of
// the running Weir, or out of a log.

import Control
import Glibc
import LogReading

enum PastRequest {
    /// Answers the exit code.
    static func run(_ identifier: String, in log: RunningLog, isJSON: Bool) throws(Failure) -> Int32 {
        let answer = try log.ask(text: identifier)
        if show(records(in: answer.lines, identifier), isJSON) { return 0 }
        guard answer.isOn else {
            throw Failure("the running Weir has `logs.access: off`: it makes no records of requests")
        }
        let whole = try log.ask(limit: 1)
        let sampled =
            answer.sample == "100%"
            ? "" : " Of what goes well only \(answer.sample) is recorded (logs.sample)."
        throw Failure(
            "no record of `\(identifier)`: the running Weir has the last \(UnitText.count(whole.kept)) in memory"
                + (whole.oldest.map { ", since \($0)" } ?? "") + ".\(sampled)"
                + " Older ones: `--log FILE`; one that goes on has none yet.")
    }

    /// As above; `path` is a log, or `-` for standard input.
    static func run(_ identifier: String, inLogAt path: String, isJSON: Bool) throws(Failure) -> Int32 {
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure("cannot open \(path): \(String(cString: strerror(errno)))")
        }
        var splitter = LineSplitter()
        var found: [[UInt8]] = []
        var count: UInt64 = 0
        let wanted = Array(identifier.utf8)
        func take(_ line: LineSplitter.Line) {
            count += 1
            // Most lines need not be read.
            guard !line.wasCut, contains(line.bytes, wanted) else { return }
            found += records(in: [line.bytes], identifier)
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let octets = read(descriptor, &chunk, chunk.count)
            if octets < 0, errno == EINTR { continue }
            guard octets >= 0 else {
                throw Failure("cannot read \(path): \(String(cString: strerror(errno)))")
            }
            if octets == 0 { break }
            splitter.append(chunk[..<octets], each: take)
        }
        if let line = splitter.finish() { take(line) }
        if show(found, isJSON) { return 0 }
        throw Failure("no record of `\(identifier)` among the \(UnitText.count(count)) lines of \(path)")
    }

    private static func contains(_ line: [UInt8], _ wanted: [UInt8]) -> Bool {
        guard let first = wanted.first, line.count >= wanted.count else { return false }
        for start in 0...(line.count - wanted.count)
        where line[start] == first && line[start...].starts(with: wanted) {
            return true
        }
        return false
    }

    /// Those whose `id` or `request_id` it is: clients may send one request id several times.
    private static func records(in lines: [[UInt8]], _ identifier: String) -> [[UInt8]] {
        lines.filter { line in
            guard let record = LogRecord(line), record.kind == .access else { return false }
            return record.members.contains {
                ($0.name == "id" || $0.name == "request_id") && $0.value.string == identifier
            }
        }
    }

    /// False where there is none.
    private static func show(_ lines: [[UInt8]], _ isJSON: Bool) -> Bool {
        let texts = lines.compactMap { line -> String? in
            if isJSON { return DisplayText.escaped(String(decoding: line, as: UTF8.self)) + "\n" }
            return LogRecord(line).map { RecordInWords($0).text }
        }
        standardOutput(texts.joined(separator: isJSON ? "" : "\n"))
        return !texts.isEmpty
    }
}
