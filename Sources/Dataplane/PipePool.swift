// Pipes for splicing, kept open between uses. A direction holds one only while bytes are in it. Each costs
// two descriptors and counts against the user's share of pipe memory, so their number is bounded, those that
// nobody used for a while are closed, and sessions go before them when descriptors are short. Who finds none
// goes on copying.

import Ring

extension Worker {
    /// The most pipes that a worker may have.
    public static var mostPipes: Int { 512 }
    /// Bytes of one pipe that is full.
    public static var pipeBytes: Int { 1 << 20 }
}

struct PipePool: ~Copyable {
    /// No pipe.
    static let none = UInt16.max

    /// What is asked for: the most that Linux grants an unprivileged process (fs.pipe-max-size).
    private static let capacityBytes = Int32(Worker.pipeBytes)
    /// A smaller one is worse than copying: a user with too many pipes gets them of 8 KiB.
    private static let leastCapacityBytes: Int32 = 1 << 16
    /// How long to leave the kernel alone after it gave none.
    private static let pauseNanoseconds: UInt64 = 1_000_000_000

    struct Pipe {
        var input: Int32 = -1
        var output: Int32 = -1
        var capacityBytes: UInt32 = 0
        /// The next idle pipe; `PipePool.none` ends the list.
        var nextIdle = PipePool.none
    }

    /// The most that are open at once.
    private let limit: Int
    private let port: KernelPort
    private let pipes: UnsafeMutablePointer<Pipe>
    private var firstIdle = PipePool.none
    /// Numbers that hold no open pipe, as a stack.
    private let vacant: UnsafeMutablePointer<UInt16>
    /// Where the kernel writes the two descriptors of a new pipe.
    private let ends: UnsafeMutablePointer<Int32>
    private var vacantCount: Int
    private(set) var idleCount = 0
    /// So many idle ones were not needed since `closeUnused` was called last.
    private var unusedCount = 0
    /// The kernel is not asked before.
    private var nextTryAt: UInt64 = 0

    /// `limit`: at most 65,534.
    init(port: KernelPort, limit: Int) {
        precondition(limit < Int(Self.none))
        self.limit = limit
        self.port = port
        pipes = .allocate(capacity: limit)
        pipes.initialize(repeating: Pipe(), count: limit)
        vacant = .allocate(capacity: limit)
        for number in 0..<limit { vacant[number] = UInt16(limit - 1 - number) }
        vacantCount = limit
        ends = .allocate(capacity: 2)
    }

    deinit {
        for number in 0..<limit where pipes[number].input >= 0 {
            _ = port.close(port.context, pipes[number].input)
            _ = port.close(port.context, pipes[number].output)
        }
        pipes.deallocate()
        vacant.deallocate()
        ends.deallocate()
    }

    /// True where `take` has a pipe, or may open one.
    func hasRoom(now: UInt64) -> Bool {
        firstIdle != Self.none || (vacantCount > 0 && now >= nextTryAt)
    }

    /// How many are open, and how many of them nobody holds; for the sweep of invariants.
    var counts: (open: Int, idle: Int) {
        var idle = 0
        var number = firstIdle
        while number != Self.none {
            idle += 1
            number = pipes[Int(number)].nextIdle
        }
        return (limit - vacantCount, idle)
    }

    /// An empty pipe; nil where the limit or the process's descriptors are used up.
    mutating func take(now: UInt64) -> UInt16? {
        if firstIdle != Self.none {
            unusedCount = min(unusedCount, idleCount - 1)
            return takeIdle()
        }
        guard hasRoom(now: now) else { return nil }
        let number = vacant[vacantCount - 1]
        ends[0] = -1
        ends[1] = -1
        let capacity = port.makePipe(port.context, ends, Self.capacityBytes)
        guard capacity >= Self.leastCapacityBytes else {
            nextTryAt = now + Self.pauseNanoseconds
            if ends[0] >= 0 {
                _ = port.close(port.context, ends[0])
                _ = port.close(port.context, ends[1])
            }
            return nil
        }
        vacantCount -= 1
        pipes[Int(number)] = Pipe(input: ends[1], output: ends[0], capacityBytes: UInt32(capacity))
        return number
    }

    private mutating func takeIdle() -> UInt16 {
        let number = firstIdle
        firstIdle = pipes[Int(number)].nextIdle
        idleCount -= 1
        return number
    }

    /// A pipe comes back; with bytes left in it, it is closed and they are lost. So is an empty one for a while
    /// after descriptors were short.
    mutating func giveBack(_ number: UInt16, isEmpty: Bool, now: UInt64) {
        if isEmpty, now >= nextTryAt {
            pipes[Int(number)].nextIdle = firstIdle
            firstIdle = number
            idleCount += 1
        } else {
            close(number)
        }
    }

    /// Closes the idle pipes that were not needed since the last call.
    mutating func closeUnused() {
        for _ in 0..<min(unusedCount, idleCount) { close(takeIdle()) }
        unusedCount = idleCount
    }

    /// The process has no descriptor left: closes every idle pipe, and opens none for a while. True where
    /// descriptors came free by it.
    mutating func makeWay(now: UInt64) -> Bool {
        nextTryAt = now + Self.pauseNanoseconds
        let hadIdle = idleCount > 0
        while idleCount > 0 { close(takeIdle()) }
        unusedCount = 0
        return hadIdle
    }

    private mutating func close(_ number: UInt16) {
        _ = port.close(port.context, pipes[Int(number)].input)
        _ = port.close(port.context, pipes[Int(number)].output)
        pipes[Int(number)] = Pipe()
        vacant[vacantCount] = number
        vacantCount += 1
    }

    /// `input` is where bytes are put in, `output` where they come out.
    func pipe(_ number: UInt16) -> Pipe {
        precondition(Int(number) < limit)
        return pipes[Int(number)]
    }
}
