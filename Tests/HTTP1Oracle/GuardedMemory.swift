// Octets that end where the memory ends: reading one more stops the process.

import Glibc

/// Pages before one that may not be touched.
public final class GuardedMemory {
    private let start: UnsafeMutableRawPointer
    private let usableBytes: Int

    /// Room for at least `capacity` octets.
    public init(capacity: Int) {
        let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
        usableBytes = (capacity + pageBytes) / pageBytes * pageBytes
        start = mmap(
            nil, usableBytes + pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        precondition(start != MAP_FAILED)
        let result = mprotect(start + usableBytes, pageBytes, PROT_NONE)
        precondition(result == 0)
    }

    deinit { munmap(start, usableBytes + Int(sysconf(Int32(_SC_PAGESIZE)))) }

    /// Puts the octets at the end; what was there is gone.
    public func place(_ octets: some Collection<UInt8>) -> UnsafeMutablePointer<UInt8> {
        precondition(octets.count <= usableBytes)
        let place = (start + usableBytes - octets.count).assumingMemoryBound(to: UInt8.self)
        for (index, octet) in octets.enumerated() { place[index] = octet }
        return place
    }
}
