// Real threads, for tests of what several workers do at once.

import Glibc
import Synchronization

/// Runs the work on so many threads that begin together, and waits for all.
public func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) {
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
public final class Barrier: Sendable {
    private let count: Int
    private let arrived = Atomic<Int>(0)
    private let round = Atomic<Int>(0)

    public init(_ count: Int) { self.count = count }

    public func wait() {
        let current = round.load(ordering: .acquiring)
        if arrived.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == count {
            arrived.store(0, ordering: .relaxed)
            round.store(current + 1, ordering: .releasing)
        } else {
            while round.load(ordering: .acquiring) == current { sched_yield() }
        }
    }
}

/// A count that threads share.
public final class Counted: Sendable {
    private let value = Atomic<Int>(0)
    public init() {}

    public func add() { value.wrappingAdd(1, ordering: .relaxed) }
    public var count: Int { value.load(ordering: .relaxed) }
}
