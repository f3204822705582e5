// `weir top`: the tables of `weir status` drawn in place once a second, with sparklines, until `q` or a signal. A backend
// can be selected, drained and enabled; that is asked back before it is done.

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
    private var selected: BackendKey?
    /// What waits for a `y`.
    private var question: BackendChange?
    /// What the last order came to, until the next key.
    private var outcome: String?
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
            lines = table(interval, style).lines
        }
        if let trouble { lines.insert(DisplayText.cut(trouble, to: style.width ?? 80), at: 0) }
        // Above the tables, so that it is seen however many backends there are.
        lines.insert(DisplayText.cut(prompt, to: style.width ?? 80), at: 0)
        return writeAll(Array(screen.drawing(of: lines).utf8)) { isStopAsked() }
    }

    private func table(_ interval: Interval, _ style: DisplayStyle) -> StatusTable {
        StatusTable(interval: interval, style: style, order: order, history: history, selected: selected)
    }

    private var prompt: String {
        if let question {
            return "\(question.verb) \(question.name) of pool \(question.pool)? y does it, other keys do not"
        }
        if let outcome { return outcome }
        let keys = "q ends, s sorts (now by \(order.rawValue)), p \(isPaused ? "goes on" : "pauses")"
        guard let selected else { return keys + ", arrows select a backend" }
        return keys + ", d drains \(selected.pool)/\(selected.name), e enables it"
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
        for key in Key.all(in: keys) where !obey(key) { return false }
        return true
    }

    // MARK: - Keys

    /// False where it is time to end.
    private mutating func obey(_ key: Key) -> Bool {
        outcome = nil
        if let question {
            self.question = nil
            if key == .letter("y") { order(question) }
            return true
        }
        switch key {
        case .letter("q"): return false
        case .letter("s"): order = order.next
        case .letter("p"): isPaused.toggle()
        case .letter("d"): ask("drain")
        case .letter("e"): ask("enable")
        case .up: select(-1)
        case .down: select(1)
        case .letter: break
        }
        return true
    }

    /// The next one, or the first.
    private mutating func select(_ step: Int) {
        guard let interval else { return }
        let keys = table(interval, screen.style).backendKeys
        guard let place = selected.flatMap({ keys.firstIndex(of: $0) }) else {
            selected = keys.first
            return
        }
        selected = keys[min(max(place + step, 0), keys.count - 1)]
    }

    private mutating func ask(_ verb: String) {
        guard let selected else {
            outcome = "no backend is selected: the arrow keys select one"
            return
        }
        question = BackendChange(verb: verb, pool: selected.pool, name: selected.name)
    }

    private mutating func order(_ change: BackendChange) {
        do throws(Failure) {
            outcome = String(try change.order(client).text.dropLast())
        } catch {
            outcome = error.message
        }
        nextMilliseconds = monotonicMilliseconds()
    }

    private func isStopAsked() -> Bool {
        let signals = Interruption.take()
        if signals.contains(SIGCONT) { keyboard.takeOver() }
        return signals.contains(SIGINT) || signals.contains(SIGTERM)
    }
}

/// What was typed.
private enum Key: Equatable {
    case letter(Character)
    case up, down

    /// Arrows come as `ESC [ A` or `ESC O A` (ECMA-48; DEC's application mode); k and j do the same.
    static func all(in octets: [UInt8]) -> [Key] {
        var keys: [Key] = []
        var rest = octets[...]
        while let octet = rest.popFirst() {
            guard octet == 0x1B else {
                let letter = Character(Unicode.Scalar(octet | 0x20))
                keys.append(letter == "k" ? .up : letter == "j" ? .down : .letter(letter))
                continue
            }
            guard rest.first == UInt8(ascii: "[") || rest.first == UInt8(ascii: "O") else { continue }
            rest.removeFirst()
            // Parameters of other keys go before their last octet.
            let end = rest.firstIndex { (0x40...0x7E).contains($0) } ?? rest.endIndex
            if end < rest.endIndex, rest[end] == UInt8(ascii: "A") { keys.append(.up) }
            if end < rest.endIndex, rest[end] == UInt8(ascii: "B") { keys.append(.down) }
            rest = rest[min(end + 1, rest.endIndex)...]
        }
        return keys
    }
}
