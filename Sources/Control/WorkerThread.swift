// One thread with one worker on it: sets up the ring on that thread, serves, and reports back to the
// control thread through an eventfd.

import Dataplane
import EmulatedKernel
import Glibc
import Ring
import Synchronization
import Telemetry

final class WorkerThread: @unchecked Sendable {
    enum State: UInt8, AtomicRepresentable {
        case starting
        /// All is set up; it waits at the gate.
        case ready
        /// It accepts.
        case serving
        /// Could not be set up, or the ring became unusable; `failure` says why.
        case failed
        case ended
    }

    let counters: UnsafeMutablePointer<CounterTable>
    let wakeDescriptor: Int32
    /// The worker's newest records; others may read them as long as the process lives.
    let logMemory: WorkerLogMemory
    /// Where it writes down its sessions for who asks.
    let sessionList = SessionList()
    private let state = Atomic<State>(.starting)
    /// Valid once the state is `failed`.
    private(set) var failure = ""
    private var settings: WorkerSettings
    private let epoch: UnsafeMutablePointer<Epoch>
    private let shared: UnsafePointer<SharedState>
    private let engine: Engine
    private let core: Int?
    private let reportDescriptor: Int32
    private let gate: Gate?

    /// `core`: where to run; nil for anywhere. `reportDescriptor`: written to at each change of state. `gate`: what to
    /// wait for when all is set up, before anybody is served.
    init(
        _ settings: WorkerSettings, epoch: UnsafeMutablePointer<Epoch>, shared: UnsafePointer<SharedState>,
        engine: Engine, core: Int?, reportDescriptor: Int32, gate: Gate?
    ) {
        self.gate = gate
        self.settings = settings
        self.settings.sessionList = sessionList
        self.epoch = epoch
        self.shared = shared
        self.engine = engine
        self.core = core
        self.reportDescriptor = reportDescriptor
        wakeDescriptor = settings.wakeDescriptor
        logMemory = settings.logMemory
        counters = .allocate(capacity: 1)
        counters.initialize(to: CounterTable(reasons: Reason.allCases.count))
    }

    var currentState: State { state.load(ordering: .acquiring) }

    func start() throws(Failure) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<WorkerThread>.fromOpaque(context!).takeRetainedValue().main()
                return nil
            }, context)
        guard result == 0 else { throw Failure("cannot start a thread: \(errorText(result))") }
        pthread_detach(thread)
    }

    /// Makes the worker look at what it is asked.
    func wake() {
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    private func main() {
        if let core { Granted.pin(toCore: core) }
        do throws(RingSetUpError) {
            let kernel = engine.kind == .epoll ? EmulatedKernel() : nil
            settings.port = kernel?.port ?? .real
            var worker = try Worker(settings, epoch: epoch, shared: shared, counters: counters)
            report(.ready)
            gate?.wait()
            var code = worker.begin()
            if code == 0 {
                report(.serving)
                code = worker.run()
            }
            if code == 0 {
                report(.ended)
            } else {
                failure = "the ring or the eventfd stopped working: \(errorText(code))"
                report(.failed)
            }
            withExtendedLifetime(kernel) {}
        } catch {
            failure = "\(error.step) failed: \(errorText(error.errno))"
            report(.failed)
        }
    }

    private func report(_ new: State) {
        state.store(new, ordering: .releasing)
        var one: UInt64 = 1
        _ = write(reportDescriptor, &one, 8)
    }
}
