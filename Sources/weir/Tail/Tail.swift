// `weir tail`: reads lines, keeps those that the filters want, and shows them as columns, as they are, or
// as running figures, until the source ends, a signal comes or `q` is typed.

import Control
import Glibc
import LogReading

struct Tail {
    private static let refreshMilliseconds: Int64 = 1000

    private let options: TailOptions
    private let interruption: Int32
    private let keyboard: Keyboard?
    private var source: LogSource
    private var screen = Screen()
    private var columns = ColumnPrinter()
    private var summary = Summary()
    /// Lines that were no records and are not shown.
    private var linesLeftOut = 0
    private var output: [UInt8] = []
    private var drawnAtMilliseconds: Int64?
    private var nextDrawingMilliseconds = monotonicMilliseconds() + refreshMilliseconds
    private var countDrawn: UInt64 = 0

    /// Runs `weir tail`. Answers the exit code.
    static func run(_ options: TailOptions) throws(Failure) -> Int32 {
        // First of all, so that a signal never finds the process unprepared.
        let interruption = Interruption.watch()
        var tail = Tail(options, source: try LogSource(options), interruption)
        tail.loop()
        tail.keyboard?.giveBack()
        tail.sayWhatWasLeftOut()
        return 0
    }

    private init(_ options: TailOptions, source: LogSource, _ interruption: Int32) {
        self.options = options
        self.source = source
        self.interruption = interruption
        let hasKeyboard = if case .standardInput = options.origin { false } else { screen.isTerminal }
        keyboard = hasKeyboard ? Keyboard() : nil
    }

    private mutating func loop() {
        var progress = ReadingProgress.more
        while progress != .ended {
            progress = readLines()
            if isLive { drawWhenDue(progress) }
            guard flush(), progress == .ended || wait(progress) else { break }
        }
        guard options.output == .summary else { return }
        if isLive { draw() } else { append(lines: summary.lines(style: screen.style, recentRate: nil)) }
        _ = flush()
    }

    /// True where figures are drawn in place, once a second.
    private var isLive: Bool { options.output == .summary && screen.isTerminal }

    // MARK: Lines

    private mutating func readLines() -> ReadingProgress {
        var lines: [LineSplitter.Line] = []
        let progress = source.read { lines.append($0) }
        let style = screen.style
        for line in lines where !line.bytes.isEmpty { take(line, style) }
        return progress
    }

    private mutating func take(_ line: LineSplitter.Line, _ style: DisplayStyle) {
        guard !line.wasCut, let record = LogRecord(line.bytes) else {
            takeUnreadable(line, style)
            return
        }
        guard options.filter.matches(record) else { return }
        switch options.output {
        case .columns: append(lines: [columns.line(for: record, style: style)])
        case .json:
            // As it is, but for characters that a terminal must not be given; those are escaped.
            if screen.isTerminal {
                append(lines: [DisplayText.escaped(String(decoding: line.bytes, as: UTF8.self))])
            } else {
                output += line.bytes + [UInt8(ascii: "\n")]
            }
        case .summary: summary.add(record)
        }
    }

    private mutating func takeUnreadable(_ line: LineSplitter.Line, _ style: DisplayStyle) {
        if options.output == .summary { summary.addUnreadable() }
        if options.output == .columns, options.filter.isEmpty {
            append(lines: [columns.line(forUnreadable: line.bytes, style: style)])
        } else if options.output != .summary {
            linesLeftOut += 1
        }
    }

    private func sayWhatWasLeftOut() {
        guard linesLeftOut > 0 else { return }
        let lines =
            linesLeftOut == 1
            ? "1 line that is no record was" : "\(linesLeftOut) lines that are no records were"
        standardError("weir: \(lines) left out")
    }

    // MARK: Figures

    /// The first time as soon as all that is there already was read.
    private mutating func drawWhenDue(_ progress: ReadingProgress) {
        let isFirst = drawnAtMilliseconds == nil && progress == .waiting
        if isFirst || monotonicMilliseconds() >= nextDrawingMilliseconds { draw() }
    }

    private mutating func draw() {
        let now = monotonicMilliseconds()
        let rate = drawnAtMilliseconds.flatMap { before in
            now > before ? Double(summary.count - countDrawn) * 1000 / Double(now - before) : nil
        }
        drawnAtMilliseconds = now
        nextDrawingMilliseconds = now + Self.refreshMilliseconds
        countDrawn = summary.count
        output += Array(screen.drawing(of: summary.lines(style: screen.style, recentRate: rate)).utf8)
    }

    // MARK: Waiting and writing

    private mutating func append(lines: [String]) {
        for line in lines { output += Array(line.utf8) + [UInt8(ascii: "\n")] }
    }

    /// Answers false where it is time to end.
    private mutating func flush() -> Bool {
        defer { output.removeAll(keepingCapacity: output.count <= 1 << 20) }
        return writeAll(output) { isStopAsked() }
    }

    /// Waits until there may be something to do. Answers false where it is time to end.
    private func wait(_ progress: ReadingProgress) -> Bool {
        let (descriptor, longest) = source.wait
        var milliseconds = progress == .more ? 0 : longest
        if isLive, milliseconds != 0 { milliseconds = millisecondsToDrawing(atMost: milliseconds) }
        var waited = [
            pollfd(fd: interruption, events: Int16(POLLIN), revents: 0),
            pollfd(fd: keyboard == nil ? -1 : STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            // Nothing is asked for, but that the reader is gone is always told.
            pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&waited, nfds_t(waited.count), milliseconds)
        if waited[0].revents != 0, isStopAsked() { return false }
        if waited[1].revents != 0, keyboard?.wantsEnd() == true { return false }
        return waited[2].revents & Int16(POLLERR | POLLHUP) == 0
    }

    private func millisecondsToDrawing(atMost longest: Int32) -> Int32 {
        let left = Int32(clamping: max(1, nextDrawingMilliseconds - monotonicMilliseconds()))
        return longest < 0 ? left : min(longest, left)
    }

    private func isStopAsked() -> Bool {
        let signals = Interruption.take()
        if signals.contains(SIGCONT) { keyboard?.takeOver() }
        return signals.contains(SIGINT) || signals.contains(SIGTERM)
    }
}
