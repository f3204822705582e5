// SIGINT and SIGTERM as a descriptor that becomes readable. Made before any thread, so that all of them leave
// these signals to it.

import CLinux
import Glibc

struct SignalDescriptor {
    let descriptor: Int32

    init() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        descriptor = weir_signalfd(&signals)
    }

    /// Takes one signal; false where there is none.
    func take() -> Bool {
        var record = [UInt8](repeating: 0, count: 128)
        return read(descriptor, &record, record.count) == record.count
    }
}
