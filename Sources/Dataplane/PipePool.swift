// Pipes for splicing, kept open between uses. A direction holds one only while bytes are in it. Each costs
// two descriptors, so their number is bounded; who finds none goes on copying.

import Ring

struct PipePool: ~Copyable {
    /// No pipe.
    static let none = UInt16.max

    private static let limit = 512
    /// What is asked for: the most that Linux grants an unprivileged process (fs.pipe-max-size).
    private static let capacityBytes: Int32 = 1 << 20
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

    private let port: KernelPort
    private let pipes: UnsafeMutablePointer<Pipe>
    private var firstIdle = PipePool.none
    /// Numbers that hold no open pipe, as a stack.
    private let vacant: UnsafeMutablePointer<UInt16>
    /// Where the kernel writes the two descriptors of a new pipe.
    private let ends: UnsafeMutablePointer<Int32>
    private var vacantCount: Int
    /// The kernel is not asked before.
    private var nextTryAt: UInt64 = 0

    init(port: KernelPort) {
        self.port = port
        pipes = .allocate(capacity: Self.limit)
        pipes.initialize(repeating: Pipe(), count: Self.limit)
        vacant = .allocate(capacity: Self.limit)
        for number in 0..<Self.limit { vacant[number] = UInt16(Self.limit - 1 - number) }
        vacantCount = Self.limit
        ends = .allocate(capacity: 2)
    }

    deinit {
        for number in 0..<Self.limit where pipes[number].input >= 0 {
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
        return (Self.limit - vacantCount, idle)
    }

    /// An empty pipe; nil where the limit or the process's descriptors are used up.
    mutating func take(now: UInt64) -> UInt16? {
        if firstIdle != Self.none {
            let number = firstIdle
            firstIdle = pipes[Int(number)].nextIdle
            return number
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

    /// A pipe comes back; with bytes left in it, it is closed and they are lost.
    mutating func giveBack(_ number: UInt16, isEmpty: Bool) {
        if isEmpty {
            pipes[Int(number)].nextIdle = firstIdle
            firstIdle = number
            return
        }
        _ = port.close(port.context, pipes[Int(number)].input)
        _ = port.close(port.context, pipes[Int(number)].output)
        pipes[Int(number)] = Pipe()
        vacant[vacantCount] = number
        vacantCount += 1
    }

    /// `input` is where bytes are put in, `output` where they come out.
    func pipe(_ number: UInt16) -> Pipe {
        precondition(Int(number) < Self.limit)
        return pipes[Int(number)]
    }
}
