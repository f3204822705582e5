// Opens the log destinations, tells the workers how to write to them, and opens them anew when asked
// (SIGUSR1), so that a file can be rotated by renaming it.

import CLinux
import Configuration
import Dataplane
import Glibc
import Telemetry

/// The two open logs of the process.
struct LogFiles {
    private(set) var access: LogSink
    private(set) var events: LogSink
    private let settings: LogSettings

    init(_ settings: LogSettings) throws(Failure) {
        self.settings = settings
        access = try Self.open(settings.access, "logs.access", settings.format)
        events = try Self.open(settings.events, "logs.events", settings.format)
    }

    /// Opens the files at their paths anew. Workers go on writing to the same descriptor numbers: the new
    /// file takes the old one's place at once.
    func reopen() throws(Failure) {
        try Self.replace(settings.access, access.descriptor, "logs.access")
        try Self.replace(settings.events, events.descriptor, "logs.events")
    }

    private static func replace(
        _ destination: LogDestination, _ descriptor: Int32, _ key: String
    ) throws(Failure) {
        guard case .file(let path) = destination else { return }
        let fresh = try openFile(path, key)
        _ = weir_replace_descriptor(fresh, descriptor)
        close(fresh)
    }

    private static func open(
        _ destination: LogDestination, _ key: String, _ format: LogFormat
    ) throws(Failure) -> LogSink {
        let descriptor: Int32
        switch destination {
        case .off: return .off
        case .standardOutput: descriptor = STDOUT_FILENO
        case .standardError: descriptor = STDERR_FILENO
        case .file(let path): descriptor = try openFile(path, key)
        }
        var status = stat()
        let isFile = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        return LogSink(
            descriptor: descriptor, format: format == .json ? .json : .text,
            writeLimitBytes: isFile ? Int(Int32.max) : 4096)
    }

    private static func openFile(_ path: String, _ key: String) throws(Failure) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        if descriptor >= 0 { return descriptor }
        throw Failure(
            "\(key): cannot open \(path): \(errorText(errno)); "
                + "check that the directory exists and that this user may write there")
    }
}
