// What backends said of their load lately: a pool of at most 16 answers to probes, that all workers of the process
// choose by and one prober writes (docs/prequal.md). An answer is one atomic word, so that it is read, used up and
// replaced whole, without a lock.

import Synchronization

/// One answer, in 64 bits: backend (16) | when it came (16) | latency (11) | requests of others (11) | uses left (10).
/// A word of zeros is no answer.
struct ProbedLoad: BitwiseCopyable, Equatable {
    let word: UInt64

    static let none = ProbedLoad(word: 0)
    static let inFlightLimit = 2047
    static let usesLimit = 1023
    /// A tick is 2^24 ns, 16.8 ms. The ticks wrap after 18 minutes; answers live for a second.
    private static let tickShift: UInt64 = 24

    init(word: UInt64) { self.word = word }

    /// `othersInFlight`: requests that the backend had and that are not this process's.
    init(backend: Int, othersInFlight: Int, latencyMicroseconds: UInt32, uses: Int, now: UInt64) {
        let stamp = UInt64(UInt16(truncatingIfNeeded: now >> Self.tickShift))
        let others = UInt64(min(max(othersInFlight, 0), Self.inFlightLimit))
        let uses = UInt64(min(max(uses, 1), Self.usesLimit))
        let code = UInt64(Self.latencyCode(latencyMicroseconds))
        word = UInt64(UInt16(backend)) << 48 | stamp << 32 | code << 21 | others << 10 | uses
    }

    var isNone: Bool { usesLeft == 0 }
    @inline(__always)
    var backend: Int { Int(word >> 48) }
    @inline(__always)
    var othersInFlight: Int { Int(word >> 10 & 0x7FF) }
    @inline(__always)
    var usesLeft: Int { Int(word & 0x3FF) }
    /// Grows with the latency; to compare.
    @inline(__always)
    var latencyCode: UInt32 { UInt32(truncatingIfNeeded: word >> 21 & 0x7FF) }
    var latencyMicroseconds: UInt32 { Self.microseconds(ofCode: latencyCode) }

    /// After one use more.
    @inline(__always)
    var used: ProbedLoad { usesLeft > 1 ? ProbedLoad(word: word - 1) : .none }

    /// Nanoseconds since it came, to within a tick. The clock of who asks may be a little behind the prober's.
    @inline(__always)
    func age(now: UInt64) -> UInt64 {
        let stamp = UInt16(truncatingIfNeeded: word >> 32)
        let ticks = Int16(bitPattern: UInt16(truncatingIfNeeded: now >> Self.tickShift) &- stamp)
        return UInt64(max(ticks, 0)) << Self.tickShift
    }

    /// Exact below 128, then to within 1.6 %: a shift and seven bits.
    private static func latencyCode(_ microseconds: UInt32) -> UInt32 {
        if microseconds < 128 { return microseconds }
        let shift = UInt32(25 - microseconds.leadingZeroBitCount)
        return shift << 6 + microseconds >> shift
    }

    private static func microseconds(ofCode code: UInt32) -> UInt32 {
        if code < 128 { return code }
        let shift = code >> 6 - 1
        return (code - shift << 6) << shift
    }
}

/// Shared by the workers and the prober of one pool of backends. The memory lives as long as the process.
@safe
public struct ProbePool: BitwiseCopyable, @unchecked Sendable {
    /// Answers at a time, at most one of each backend.
    static let capacity = 16
    /// An answer counts for so long.
    public static let ageLimitNanoseconds: UInt64 = 1_000_000_000
    /// A choice is made by answers only where so many backends are known.
    static let usableMinimum = 2

    /// What is read at each choice and rarely changes.
    struct Terms: ~Copyable {
        /// A backend with more requests in flight than that is hot.
        let hotAbove = Atomic<Int>(0)
        /// Some backend does not tell its load: nobody is chosen by it.
        let isSuspended = Atomic<Bool>(false)
        private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
    }

    private let loads: UnsafeMutablePointer<Atomic<UInt64>>
    private let terms: UnsafeMutablePointer<Terms>
    private let choices: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        unsafe loads = cacheLines(for: Atomic<UInt64>.self, count: Self.capacity)
        for place in 0..<Self.capacity { unsafe (loads + place).initialize(to: Atomic(0)) }
        unsafe terms = cacheLines(for: Terms.self, count: 1)
        unsafe terms.initialize(to: Terms())
        // A line of its own: every choice writes to it.
        unsafe choices = cacheLines(for: Atomic<UInt64>.self, count: 8)
        unsafe choices.initialize(to: Atomic(0))
    }

    func deallocate() {
        unsafe loads.deallocate()
        unsafe terms.deallocate()
        unsafe choices.deallocate()
    }

    // MARK: For workers

    @inline(__always)
    func load(_ place: Int) -> ProbedLoad {
        precondition(place >= 0 && place < Self.capacity)
        return ProbedLoad(word: unsafe loads[place].load(ordering: .relaxed))
    }

    /// Takes one use of an answer; false where it changed meanwhile.
    @inline(__always)
    func use(_ load: ProbedLoad, at place: Int) -> Bool { replace(load, at: place, with: load.used) }

    @inline(__always)
    func replace(_ load: ProbedLoad, at place: Int, with other: ProbedLoad) -> Bool {
        precondition(place >= 0 && place < Self.capacity)
        return unsafe loads[place].compareExchange(
            expected: load.word, desired: other.word, ordering: .relaxed
        ).exchanged
    }

    @inline(__always)
    var hotAbove: Int { unsafe terms.pointee.hotAbove.load(ordering: .relaxed) }

    @inline(__always)
    var isSuspended: Bool { unsafe terms.pointee.isSuspended.load(ordering: .relaxed) }

    @inline(__always)
    func countChoice() { unsafe _ = choices.pointee.wrappingAdd(1, ordering: .relaxed) }

    // MARK: For the prober

    /// How many choices there were, ever.
    public var choiceCount: UInt64 { unsafe choices.pointee.load(ordering: .relaxed) }

    /// True: no choice is made by answers until it is false again.
    public func suspend(_ isSuspended: Bool) {
        unsafe terms.pointee.isSuspended.store(isSuspended, ordering: .relaxed)
    }

    func setHotAbove(_ inFlight: Int) { unsafe terms.pointee.hotAbove.store(inFlight, ordering: .relaxed) }
}
