// How far a drain is, for whoever waits for it.

/// Weir accepts nobody any more and lets sessions finish.
struct Drain: Sendable {
    /// On the monotonic clock, in seconds; at `endsAt` those that are left are cut.
    let beganAt: Double
    let endsAt: Double
}

extension Drain? {
    /// null while Weir serves.
    func write(_ key: StaticString, sessions: Int, to writer: inout JSONWriter) {
        guard let self else { return writer.number(key, orNull: nil) }
        let now = monotonicSeconds()
        writer.object(key) { object in
            object.number("sessions", Swift.max(sessions, 0))
            object.number("lasted_s", Int(Swift.max(now - self.beganAt, 0)))
            object.number("left_s", Int(Swift.max(self.endsAt - now, 0).rounded(.up)))
        }
    }
}
