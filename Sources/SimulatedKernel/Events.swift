// What will happen, in the order of virtual time: bytes that arrive, completions that are posted late, peers
// that wake up. Events of the same time happen in the order in which they were scheduled, so that a seed is
// one history.

struct Event: BitwiseCopyable {
    enum Kind: UInt8 {
        /// Bytes of a connection become readable, `value` of them in all; with `extra` 1 also its end.
        case arrivesAtUs, arrivesAtPeer
        case resetArrivesAtUs, resetArrivesAtPeer
        /// The reader of the other side took bytes.
        case windowOpensForUs, windowOpensForPeer
        /// A client's connection reaches its listener.
        case connectionArrives
        /// A connect ends: `extra` is the errno, `value` the operation's serial number.
        case connectEnds
        /// A late completion: `index` the result, `value` the token, `extra` the flags.
        case completionIsPosted
        /// A cancel that found its operation busy takes effect.
        case cancelTakesEffect
        /// A multishot operation goes on.
        case operationGoesOn
        /// A log takes bytes again.
        case logGoesOn
        /// A peer's own timer; the world's own timer.
        case peerTimer, worldTimer
    }

    var time: UInt64
    var sequence: UInt64 = 0
    var value: UInt64
    var index: Int32
    var extra: UInt32
    var kind: Kind

    func precedes(_ other: Event) -> Bool {
        time < other.time || (time == other.time && sequence < other.sequence)
    }
}

/// A binary heap of events.
struct EventHeap {
    private var events: [Event] = []
    private var nextSequence: UInt64 = 0

    var nextTime: UInt64? { events.first?.time }
    var count: Int { events.count }

    mutating func add(_ event: Event) {
        var event = event
        event.sequence = nextSequence
        nextSequence += 1
        events.append(event)
        var place = events.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            if !events[place].precedes(events[parent]) { break }
            events.swapAt(place, parent)
            place = parent
        }
    }

    /// The first event that is due at `now`.
    mutating func popDue(_ now: UInt64) -> Event? {
        guard let first = events.first, first.time <= now else { return nil }
        let last = events.removeLast()
        if events.isEmpty { return first }
        events[0] = last
        var place = 0
        while true {
            var smallest = place
            for child in [2 * place + 1, 2 * place + 2]
            where child < events.count && events[child].precedes(events[smallest]) {
                smallest = child
            }
            if smallest == place { return first }
            events.swapAt(place, smallest)
            place = smallest
        }
    }
}
