// Runs seeds in a child process, a batch at a time: whatever way a world ends, the next one begins afresh, and
// memory that lives as long as a process (snapshots) does not pile up.

import CLinux
import Glibc
import Simulation

/// How a batch ended.
enum BatchResult {
    case clean
    /// The world in `SharedMemory.current` failed; the words say how.
    case failed(String)
}

/// Runs `worlds`; with `traces`, events are noted on the way.
func runBatch(
    _ worlds: [WorldName], _ shared: SharedMemory, traces: Bool = false, mayPrint: Bool = true
) -> BatchResult {
    shared.failure = ""
    shared.trace.clear()
    fflush(nil)
    let child = weir_fork()
    guard child >= 0 else { return .failed("cannot start a process (errno \(errno))") }
    if child == 0 { _exit(runInChild(worlds, shared, traces: traces, mayPrint: mayPrint)) }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    if status == 0 { return .clean }
    let signal = status & 0x7F
    switch signal {
    case 0: return .failed(shared.failure)
    case SIGPROF: return .failed("a world that does not end: the worker goes round without the clock moving")
    default: return .failed("the worker stopped with signal \(signal) (a precondition: see above)")
    }
}

private func runInChild(
    _ worlds: [WorldName], _ shared: SharedMemory, traces: Bool, mayPrint: Bool
) -> Int32 {
    if !mayPrint {
        let nowhere = open("/dev/null", O_WRONLY)
        dup2(nowhere, 2)
    }
    let coverage = Coverage(shared.counts)
    for world in worlds {
        shared.current = world
        endAfterSecondsOfWork(5)
        if let failure = Simulation.run(world, coverage: coverage, trace: traces ? shared.trace : nil) {
            shared.failure = failure
            return 1
        }
        shared.doneCount.pointee += 1
    }
    return 0
}

/// On a busy host a world may take much longer by the clock. Anew for each world.
private func endAfterSecondsOfWork(_ seconds: Int) {
    var limit = itimerval(it_interval: timeval(), it_value: timeval(tv_sec: seconds, tv_usec: 0))
    setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &limit, nil)
}
