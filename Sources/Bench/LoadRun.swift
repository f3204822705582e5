// A whole run: starts the threads, waits for their end or for a signal, and adds up what they have counted.

import CLinux
import Glibc
import Synchronization

/// One thread with one worker on it.
private final class LoadThread: @unchecked Sendable {
    private let plan: LoadPlan
    private let requests: Requests
    private let target: Target
    private let isReal: Bool
    private let control: LoadControl
    private let reportDescriptor: Int32
    private var thread = pthread_t()
    /// Valid once the thread was joined.
    private(set) var counts = LoadCounts()
    let histogram = HistogramBox()
    private(set) var failure: String?

    init(
        _ plan: LoadPlan, _ requests: Requests, _ target: Target, isReal: Bool, _ control: LoadControl,
        reportDescriptor: Int32
    ) {
        self.plan = plan
        self.requests = requests
        self.target = target
        self.isReal = isReal
        self.control = control
        self.reportDescriptor = reportDescriptor
    }

    func start() throws(BenchError) {
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<LoadThread>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, context)
        guard result == 0 else { throw BenchError("cannot start a thread: \(errorText(result))") }
    }

    func join() { pthread_join(thread, nil) }

    private func main() {
        do throws(BenchError) {
            var worker = try LoadWorker(plan, requests: requests, target: target.address, isReal: isReal)
            let code = worker.run(control)
            if code != 0 { failure = Self.text(code, target) }
            counts = worker.counts
            histogram.value.add(worker.histogram)
        } catch {
            failure = error.message
        }
        var one: UInt64 = 1
        _ = write(reportDescriptor, &one, 8)
    }

    private static func text(_ code: Int32, _ target: Target) -> String {
        switch code {
        case ECONNREFUSED: "\(target.text) refuses connections: nothing listens there"
        case ENOENT: "there is no socket \(target.text)"
        case ETIMEDOUT: "\(target.text) does not answer"
        default: "cannot connect to \(target.text): \(errorText(code))"
        }
    }
}

/// A histogram that a class can hold.
final class HistogramBox {
    var value = Histogram()
}

public enum LoadRun {
    /// Runs it all, until the time is over or SIGINT or SIGTERM comes; a second signal ends the process.
    public static func run(_ options: LoadOptions) throws(BenchError) -> LoadReport {
        try options.check()
        signal(SIGPIPE, SIG_IGN)
        let signals = SignalDescriptor()
        let reports = weir_eventfd()
        let control = LoadControl()
        let isReal = BenchKernel.isRealUsable()
        let requests = Requests(options)
        let threads = (0..<options.threads).map { number in
            LoadThread(
                plan(options, thread: number), requests, options.target, isReal: isReal, control,
                reportDescriptor: reports)
        }
        for thread in threads { try thread.start() }
        let wasInterrupted = wait(for: threads.count, reports, signals, control)
        var report = LoadReport(options, engine: isReal ? "io_uring" : "epoll")
        report.wasInterrupted = wasInterrupted
        for thread in threads {
            thread.join()
            if let failure = thread.failure { throw BenchError(failure) }
            report.counts.add(thread.counts)
            report.histogram.value.add(thread.histogram.value)
        }
        return report
    }

    private static func plan(_ options: LoadOptions, thread: Int) -> LoadPlan {
        func share(_ count: Int) -> Int {
            count / options.threads + (thread < count % options.threads ? 1 : 0)
        }
        return LoadPlan(
            isHTTP: options.mode == .http, isFresh: options.isFresh,
            measuredConnections: share(options.connections), slowReaders: share(options.slowReaders),
            rate: options.rate, durationNanoseconds: options.durationNanoseconds,
            requestLimit: options.requests.map { UInt64(share($0)) } ?? .max, holds: options.holds,
            thread: thread, threads: options.threads)
    }

    /// True where a signal ended it.
    private static func wait(
        for count: Int, _ reports: Int32, _ signals: SignalDescriptor, _ control: LoadControl
    ) -> Bool {
        var ended = 0
        var wasInterrupted = false
        var polled = [
            pollfd(fd: reports, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while ended < count {
            poll(&polled, 2, -1)
            if polled[1].revents != 0, signals.take() {
                if wasInterrupted { exit(130) }
                wasInterrupted = true
                control.shouldStop.store(true, ordering: .relaxed)
            }
            var number: UInt64 = 0
            if polled[0].revents != 0, read(reports, &number, 8) == 8 { ended += Int(number) }
        }
        return wasInterrupted
    }
}
