// Standard output, which may be a terminal, and the keyboard, which may be there: size, colours, single
// keys without Enter, and drawing a block of lines over the last one.

import Glibc
import LogReading

/// Standard output, and whether it shows things to a person.
struct Screen {
    /// False for a pipe, a file, and terminals that cannot move their cursor.
    let isTerminal: Bool
    private let hasColours: Bool
    private var linesDrawn = 0
    private var sizeDrawn: (columns: Int, rows: Int) = (0, 0)

    init() {
        isTerminal = isatty(STDOUT_FILENO) == 1 && Self.variable("TERM") != "dumb"
        hasColours = isTerminal && Self.variable("NO_COLOR").isEmpty
    }

    /// Asked for anew each time, because windows change.
    var style: DisplayStyle { DisplayStyle(hasColours: hasColours, width: isTerminal ? size.columns : nil) }

    private var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// What replaces the block that was drawn last. Lines that the screen has no room for are left out: the
    /// cursor could not come back over them.
    mutating func drawing(of lines: [String]) -> String {
        let size = size
        var text = ""
        if linesDrawn > 0 {
            // After a change of size lines may have wrapped: nobody knows where the block begins.
            text = size == sizeDrawn ? "\u{1B}[\(linesDrawn)A\r" : "\u{1B}[2J\u{1B}[H"
        }
        let shown = lines.prefix(size.rows - 1)
        linesDrawn = shown.count
        sizeDrawn = size
        return text + shown.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J"
    }

    private static func variable(_ name: String) -> String {
        getenv(name).map { String(cString: $0) } ?? ""
    }
}

/// Writes all of it. Answers false where the reader is gone or a signal asked to stop.
func writeAll(_ bytes: [UInt8], isInterrupted: () -> Bool) -> Bool {
    var written = 0
    while written < bytes.count {
        let count = bytes[written...].withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress!, $0.count) }
        if count >= 0 {
            written += count
        } else if errno == EAGAIN {
            var ready = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
            _ = poll(&ready, 1, -1)
            if isInterrupted() { return false }
        } else if errno != EINTR || isInterrupted() {
            return false
        }
    }
    return true
}

/// Standard input as a keyboard that answers each key at once. Signals (Ctrl-C, Ctrl-Z) work as ever.
struct Keyboard {
    private let before: termios

    /// Nil where standard input is no terminal, or where the terminal belongs to another job.
    init?() {
        var settings = termios()
        guard Self.isOurs, tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
        before = settings
        takeOver()
    }

    /// Again after the process was stopped: the shell has set the terminal back.
    func takeOver() {
        guard Self.isOurs else { return }
        var settings = before
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }

    func giveBack() {
        guard Self.isOurs else { return }
        var settings = before
        tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }

    /// True where `q` was typed or the terminal is gone; to be asked when there is something to read.
    func wantsEnd() -> Bool {
        guard let keys = keys() else { return true }
        return keys.contains { $0 == UInt8(ascii: "q") || $0 == UInt8(ascii: "Q") }
    }

    /// What was typed; nil where the terminal is gone. To be asked when there is something to read.
    func keys() -> [UInt8]? {
        // A job in the background that reads is stopped by the kernel.
        guard Self.isOurs else { return [] }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count <= 0 { return count < 0 && errno == EINTR ? [] : nil }
        return Array(bytes[..<count])
    }

    private static var isOurs: Bool { isatty(STDIN_FILENO) == 1 && tcgetpgrp(STDIN_FILENO) == getpgrp() }
}
