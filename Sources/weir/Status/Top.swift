// `weir top`: the tables of `weir status` drawn in place once a second, with sparklines, until `q` or a signal.

import Control
import Glibc
import LogReading

struct Top {
    private static let refreshMilliseconds: Int64 = 1000

    private let client: AdminClient
    private let interruption: Int32
    private let keyboard: Keyboard
    private var screen: Screen
    private var order = BackendOrder.file
    private var history = RateHistory()
    private var isPaused = false
    private var last: Sample?
    private var interval: Interval?
    /// Why there is no answer at the moment.
    private var trouble: String?
    private var nextMilliseconds = monotonicMilliseconds()

    /// Answers the exit code.
    static func run(_ client: AdminClient) throws(Failure) -> Int32 {
        // First of all, so that a signal never finds the process unprepared.
        let interruption = Interruption.watch()
        let screen = Screen()
        // Who is not there at all is told of at once; later on it may come back.
        let first = try Status.sample(client)
        guard screen.isTerminal, let keyboard = Keyboard() else {
            throw Failure("`weir top` wants a terminal; `weir status` prints the same once")
        }
        var top = Top(client, interruption, keyboard, screen)
        top.last = first
        top.loop()
        keyboard.giveBack()
        return 0
    }

    private init(_ client: AdminClient, _ interruption: Int32, _ keyboard: Keyboard, _ screen: Screen) {
        self.client = client
        self.interruption = interruption
        self.keyboard = keyboard
        self.screen = screen
    }

    private mutating func loop() {
        repeat {
            if monotonicMilliseconds() >= nextMilliseconds {
                nextMilliseconds = monotonicMilliseconds() + Self.refreshMilliseconds
                if !isPaused { look() }
            }
            guard draw() else { return }
        } while wait()
    }

    private mutating func look() {
        do throws(Failure) {
            let now = try Status.sample(client)
            let interval = Interval(before: last ?? now, after: now)
            history.add(interval)
            self.interval = interval
            last = now
            trouble = nil
        } catch {
            trouble = error.message
        }
    }

    /// False where it is time to end.
    private mutating func draw() -> Bool {
        var lines: [String] = []
        let style = screen.style
        if let interval {
            lines = StatusTable(interval: interval, style: style, order: order, history: history).lines
        }
        if let trouble { lines.insert(DisplayText.cut(trouble, to: style.width ?? 80), at: 0) }
        // Above the tables, so that it is seen however many backends there are.
        let keys = "q ends, s sorts (now by \(order.rawValue)), p \(isPaused ? "goes on" : "pauses")"
        lines.insert(DisplayText.cut(keys, to: style.width ?? 80), at: 0)
        return writeAll(Array(screen.drawing(of: lines).utf8)) { isStopAsked() }
    }

    /// Until it is time to look again, or a key is typed. False where it is time to end.
    private mutating func wait() -> Bool {
        var waited = [
            pollfd(fd: interruption, events: Int16(POLLIN), revents: 0),
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        ]
        let left = max(1, nextMilliseconds - monotonicMilliseconds())
        _ = poll(&waited, nfds_t(waited.count), Int32(clamping: left))
        if waited[0].revents != 0, isStopAsked() { return false }
        if waited[1].revents == 0 { return true }
        guard let keys = keyboard.keys() else { return false }
        for key in keys {
            switch key | 0x20 {
            case UInt8(ascii: "q"): return false
            case UInt8(ascii: "s"): order = order.next
            case UInt8(ascii: "p"): isPaused.toggle()
            default: break
            }
        }
        return true
    }

    private func isStopAsked() -> Bool {
        let signals = Interruption.take()
        if signals.contains(SIGCONT) { keyboard.takeOver() }
        return signals.contains(SIGINT) || signals.contains(SIGTERM)
    }
}
