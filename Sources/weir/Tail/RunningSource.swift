// Lines of a running Weir: it is asked once a second for what came since. Where it is gone for a while, asking goes on:
// the one that takes its place continues the numbers.

import Control
import LogReading

struct RunningSource {
    private static let periodMilliseconds: Int64 = 1000

    private let log: RunningLog
    private let follows: Bool
    private var waiting: [[UInt8]]
    private var last: UInt64
    private var askAtMilliseconds = monotonicMilliseconds() + periodMilliseconds
    private var isAnswered = true
    private var hasToldOfGap = false

    /// Asks at once, so that who is not there at all is told of. `firstLines` is nil for all that it has in memory.
    init(_ log: RunningLog, follows: Bool, firstLines: Int?) throws(Failure) {
        self.log = log
        self.follows = follows
        let answer = try log.ask(limit: max(1, firstLines ?? RunningLog.everything))
        guard answer.isOn else {
            throw Failure(
                "that log of the running Weir is off (`logs` of its configuration): there are no records")
        }
        waiting = answer.lines.suffix(firstLines ?? answer.lines.count)
        last = answer.last
    }

    /// Until it is time to ask again.
    var waitMilliseconds: Int32 { Int32(clamping: max(0, askAtMilliseconds - monotonicMilliseconds())) }

    mutating func read(each: (LineSplitter.Line) -> Void) -> ReadingProgress {
        if waiting.isEmpty, monotonicMilliseconds() >= askAtMilliseconds { ask() }
        for line in waiting { each(LineSplitter.Line(bytes: line, wasCut: false)) }
        waiting = []
        return follows ? .waiting : .ended
    }

    private mutating func ask() {
        do throws(Failure) {
            let answer = try log.ask(since: last)
            (waiting, last) = (answer.lines, answer.last)
            isAnswered = true
            guard answer.hasGap, !hasToldOfGap else { return }
            hasToldOfGap = true
            standardError("weir: not all records are here: some came faster than the running Weir keeps them")
        } catch {
            if isAnswered { standardError("weir: \(error.message); asking on") }
            isAnswered = false
        }
        askAtMilliseconds = monotonicMilliseconds() + Self.periodMilliseconds
    }
}
