// Whether memory runs short, looked at once a second by the control thread where there is a limit: workers then stop
// accepting before the kernel ends the process. What Weir itself takes is fixed at start (`weir check`), but the
// kernel's socket buffers are not, and count towards a container's limit.

import Configuration
import Glibc

struct MemoryWatch {
    /// Where the limit comes from.
    enum Source {
        /// `limits.memory`: what of this process is resident counts.
        case configuration
        /// The cgroup's: what its processes and their sockets use, without files that could be dropped.
        case cgroup(Cgroup)
    }

    let source: Source
    let limitBytes: UInt64
    private(set) var isShort = false
    private(set) var usedBytes: UInt64 = 0

    /// Accepting stops above the first and goes on below the second, in percent of the limit.
    private static let stopPercent: UInt64 = 95
    private static let resumePercent: UInt64 = 90

    /// nil where there is no limit.
    init?(_ limits: ProcessLimits) {
        if let bytes = limits.memoryBytes {
            (source, limitBytes) = (.configuration, UInt64(bytes))
        } else if let cgroup = Cgroup.own(), let bytes = cgroup.limitBytes() {
            (source, limitBytes) = (.cgroup(cgroup), bytes)
        } else {
            return nil
        }
    }

    var stopsAtBytes: UInt64 { limitBytes / 100 * Self.stopPercent }

    /// True where memory became short, or is no longer.
    mutating func look() -> Bool {
        let used =
            switch source {
            case .configuration: Self.residentBytes()
            case .cgroup(let cgroup): cgroup.usedBytes()
            }
        guard let used else { return false }
        usedBytes = used
        let before = isShort
        isShort = used > (before ? limitBytes / 100 * Self.resumePercent : stopsAtBytes)
        return isShort != before
    }

    /// The second number of proc_pid_statm(5), in pages.
    private static func residentBytes() -> UInt64? {
        guard let text = smallFile("/proc/self/statm") else { return nil }
        let numbers = text.split(separator: " ")
        guard numbers.count > 1, let pages = UInt64(numbers[1]) else { return nil }
        return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// The memory controller's files of this process (cgroups(7)), of version 2 or 1.
struct Cgroup {
    /// Ends in a slash.
    let folder: String
    let isVersion2: Bool

    /// nil where there is none. In a container the path that the process is told may be the host's; the controller's
    /// root is the container's then.
    static func own() -> Cgroup? {
        guard let text = smallFile("/proc/self/cgroup") else { return nil }
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isVersion2 = parts[0] == "0" && parts[1].isEmpty
            guard isVersion2 || parts[1].split(separator: ",").contains("memory") else { continue }
            let root = isVersion2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            for path in [root + parts[2] + "/", root + "/"] {
                let found = Cgroup(folder: path, isVersion2: isVersion2)
                if found.limitBytes() != nil { return found }
            }
        }
        return nil
    }

    func limitBytes() -> UInt64? {
        let name = isVersion2 ? "memory.max" : "memory.limit_in_bytes"
        guard let bytes = number(name), bytes < 1 << 60 else { return nil }
        return bytes
    }

    func usedBytes() -> UInt64? {
        guard let all = number(isVersion2 ? "memory.current" : "memory.usage_in_bytes"),
            let text = smallFile(folder + "memory.stat")
        else { return nil }
        return all - min(all, Self.inactiveFileBytes(in: text, isVersion2: isVersion2))
    }

    /// Pages of files that the kernel drops before it ends anybody.
    static func inactiveFileBytes(in statistics: String, isVersion2: Bool) -> UInt64 {
        let name = isVersion2 ? "inactive_file" : "total_inactive_file"
        for line in statistics.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == name { return UInt64(words[1]) ?? 0 }
        }
        return 0
    }

    /// nil for `max`, too.
    private func number(_ name: String) -> UInt64? {
        smallFile(folder + name).flatMap { UInt64($0.prefix { $0 != "\n" }) }
    }
}

/// What is in a file of the kernel's, of which the first 16 KiB are all.
private func smallFile(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16 * 1024)
    let count = read(descriptor, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
}
