// How Weir starts other programs: they find signals as a program expects them.

import Glibc

/// Weir holds signals back and ignores SIGPIPE; what it starts does neither.
struct SpawnAttributes: ~Copyable {
    private var attributes = posix_spawnattr_t()

    /// - Parameter ownGroup: whether the program leads a process group, by which all that it starts can be ended.
    init(ownGroup: Bool) {
        posix_spawnattr_init(&attributes)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigaddset(&signals, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        let group = ownGroup ? POSIX_SPAWN_SETPGROUP : 0
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group))
    }

    deinit {
        var attributes = attributes
        posix_spawnattr_destroy(&attributes)
    }

    /// Valid for as long as `body` runs.
    func withPointer<Result>(_ body: (UnsafePointer<posix_spawnattr_t>) -> Result) -> Result {
        withUnsafePointer(to: attributes, body)
    }
}
