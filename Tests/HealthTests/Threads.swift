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
