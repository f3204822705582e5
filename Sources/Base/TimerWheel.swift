// One deadline for each timer of a worker, in a hierarchical wheel: setting, clearing and firing cost a
// few instructions whatever the number of timers. The worker sets a session's timer for its next deadline
// and asks each turn which have passed. Reads no clock: `now` is an argument.
//
// Four levels of 64 buckets (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987). A timer
// in a higher level is moved down as its time comes near. One tick is 2^23 ns (8.4 ms), so that the
// levels span 0.5 s, 34 s, 37 min and 39 h; later deadlines wait in the last bucket and are set anew.

/// Deadlines for timers numbered 0..<capacity. A timer fires no earlier than its deadline and at most
/// one tick (8.4 ms) plus the length of the caller's turn later.
public struct TimerWheel: ~Copyable {
    private struct Node: BitwiseCopyable {
        /// Neighbours in the bucket's list, each plus one; 0 ends it.
        var next: UInt32
        var previous: UInt32
        /// In ticks since the wheel began.
        var deadlineTick: UInt64
        /// Bucket number plus one; 0 when the timer is not set.
        var bucket: UInt32
    }

    private static let tickShift: UInt64 = 23
    private static let levels = 4
    private static let bucketsPerLevel = 64

    private let capacity: Int
    private let nodes: UnsafeMutablePointer<Node>
    /// First timer of each bucket plus one.
    private let heads: UnsafeMutablePointer<UInt32>
    /// Which buckets of a level hold timers, a bit each.
    private let occupied: UnsafeMutablePointer<UInt64>
    private let origin: UInt64
    /// Every tick up to and with this one has been handled.
    private var currentTick: UInt64 = 0
    /// How many timers are set.
    public private(set) var count = 0

    /// `now` in nanoseconds of the caller's monotonic clock.
    public init(capacity: Int, now: UInt64) {
        self.capacity = capacity
        origin = now
        nodes = PagedMemory.reserve(Node.self, count: capacity)
        heads = .allocate(capacity: Self.levels * Self.bucketsPerLevel)
        heads.initialize(repeating: 0, count: Self.levels * Self.bucketsPerLevel)
        occupied = .allocate(capacity: Self.levels)
        occupied.initialize(repeating: 0, count: Self.levels)
    }

    deinit {
        PagedMemory.release(nodes, byteCount: capacity * MemoryLayout<Node>.stride)
        heads.deallocate()
        occupied.deallocate()
    }

    /// Sets the timer to fire at `deadline` (nanoseconds), replacing what it was set to.
    public mutating func set(_ timer: UInt32, deadline: UInt64) {
        precondition(Int(timer) < capacity)
        if nodes[Int(timer)].bucket != 0 { unlink(timer) }
        nodes[Int(timer)].deadlineTick = tick(deadline)
        link(timer)
        count += 1
    }

    /// Rounded up: never early. Not before the next tick: the present one is already handled.
    private func tick(_ deadline: UInt64) -> UInt64 {
        let elapsed = deadline > origin ? deadline - origin : 0
        let tick = elapsed >> Self.tickShift + (elapsed & (1 << Self.tickShift - 1) == 0 ? 0 : 1)
        return max(tick, currentTick + 1)
    }

    /// Sets the timer, or moves it to `deadline` where it is set to a later one.
    public mutating func setNoLater(_ timer: UInt32, deadline: UInt64) {
        if isSet(timer), nodes[Int(timer)].deadlineTick <= tick(deadline) { return }
        set(timer, deadline: deadline)
    }

    /// Clears the timer; nothing happens where it is not set.
    public mutating func clear(_ timer: UInt32) {
        precondition(Int(timer) < capacity)
        if nodes[Int(timer)].bucket != 0 { unlink(timer) }
    }

    public func isSet(_ timer: UInt32) -> Bool { nodes[Int(timer)].bucket != 0 }

    /// Takes one timer whose deadline has passed; nil when there is none left. Call until nil.
    public mutating func popExpired(now: UInt64) -> UInt32? {
        let nowTick = (now > origin ? now - origin : 0) >> Self.tickShift
        while true {
            let head = heads[Int(currentTick) & (Self.bucketsPerLevel - 1)]
            if head != 0, nodes[Int(head - 1)].deadlineTick <= currentTick {
                unlink(head - 1)
                return head - 1
            }
            guard currentTick < nowTick else { return nil }
            advance(upTo: nowTick)
        }
    }

    /// A time (nanoseconds) at or before which `popExpired` has something to do; nil when no timer is set.
    public func nextDeadline() -> UInt64? {
        guard count > 0 else { return nil }
        return origin + nextEventTick() << Self.tickShift
    }

    /// Steps to the next tick that has something to fire or to move down, or to `limit`.
    private mutating func advance(upTo limit: UInt64) {
        currentTick = count == 0 ? limit : min(max(nextEventTick(), currentTick + 1), limit)
        // From the top level down, the bucket whose span begins at this tick is spread over the lower ones.
        for level in stride(from: Self.levels - 1, to: 0, by: -1) {
            let span = UInt64(1) << UInt64(6 * level)
            if currentTick & (span - 1) == 0 { cascade(level: level) }
        }
    }

    /// The first tick after the current one at which a bucket of any level comes up.
    private func nextEventTick() -> UInt64 {
        var earliest = UInt64.max
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = UInt64(6 * level)
            let position = (currentTick >> shift) & 63
            // Rotate so that bit 0 is the bucket after the current one.
            let rotated = rotateRight(occupied[level], by: (position + 1) & 63)
            let distance = UInt64(rotated.trailingZeroBitCount) + 1
            let tick = ((currentTick >> shift) &+ distance) << shift
            earliest = min(earliest, tick)
        }
        return earliest
    }

    private mutating func cascade(level: Int) {
        let bucket = level * Self.bucketsPerLevel + Int((currentTick >> UInt64(6 * level)) & 63)
        var timer = heads[bucket]
        // A timer beyond the wheel's span comes back into the same bucket: stop where the list began anew.
        heads[bucket] = 0
        occupied[level] &= ~(1 << UInt64(bucket & 63))
        while timer != 0 {
            let next = nodes[Int(timer - 1)].next
            link(timer - 1)
            timer = next
        }
    }

    private mutating func link(_ timer: UInt32) {
        let node = nodes + Int(timer)
        let distance = node.pointee.deadlineTick &- currentTick
        var level = 0
        while level < Self.levels - 1, distance >= UInt64(1) << UInt64(6 * (level + 1)) { level += 1 }
        let shift = UInt64(6 * level)
        // Beyond the span of the last level: the bucket that comes up last.
        let slot =
            distance >= 1 << 24
            ? ((currentTick >> shift) &+ 63) & 63 : (node.pointee.deadlineTick >> shift) & 63
        let bucket = level * Self.bucketsPerLevel + Int(slot)
        node.pointee.bucket = UInt32(bucket) + 1
        node.pointee.previous = 0
        node.pointee.next = heads[bucket]
        if heads[bucket] != 0 { nodes[Int(heads[bucket] - 1)].previous = timer + 1 }
        heads[bucket] = timer + 1
        occupied[level] |= 1 << UInt64(slot)
    }

    private mutating func unlink(_ timer: UInt32) {
        let node = nodes + Int(timer)
        let bucket = Int(node.pointee.bucket - 1)
        if node.pointee.next != 0 { nodes[Int(node.pointee.next - 1)].previous = node.pointee.previous }
        if node.pointee.previous != 0 {
            nodes[Int(node.pointee.previous - 1)].next = node.pointee.next
        } else {
            heads[bucket] = node.pointee.next
            if node.pointee.next == 0 {
                occupied[bucket / Self.bucketsPerLevel] &= ~(1 << UInt64(bucket & 63))
            }
        }
        node.pointee.bucket = 0
        count -= 1
    }

    private func rotateRight(_ bits: UInt64, by distance: UInt64) -> UInt64 {
        distance == 0 ? bits : (bits >> distance) | (bits << (64 - distance))
    }
}
