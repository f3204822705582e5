// Real threads, for what several workers do at once.

import Glibc
import Synchronization

/// Runs the work on so many threads that begin together, and waits for all.
func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) {
    final class Start: Sendable {
        let waiting = Atomic<Int>(0)
        let work: @Sendable (Int) -> Void
        let count: Int
        init(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) {
            (self.count, self.work) = (count, work)
        }
    }
    let start = Start(count, work)
    let threads = (0..<count).map { _ in
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(start).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                let number = start.waiting.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
                while start.waiting.load(ordering: .acquiring) < start.count { sched_yield() }
                start.work(number)
                return nil
            }, argument)
        precondition(result == 0)
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
}

/// Where so many threads wait for each other, again and again.
final class Barrier: Sendable {
    private let count: Int
    private let arrived = Atomic<Int>(0)
    private let round = Atomic<Int>(0)

    init(_ count: Int) { self.count = count }

    func wait() {
        let current = round.load(ordering: .acquiring)
        if arrived.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == count {
            arrived.store(0, ordering: .relaxed)
            round.store(current + 1, ordering: .releasing)
        } else {
            while round.load(ordering: .acquiring) == current { sched_yield() }
        }
    }
}

/// The standard library's shuffles from a seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 33)
    }
}

/// A count that threads share.
final class Counted: Sendable {
    private let value = Atomic<Int>(0)
    func add() { value.wrappingAdd(1, ordering: .relaxed) }
    var count: Int { value.load(ordering: .relaxed) }
}
