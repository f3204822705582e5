// Memory that is reserved at start and becomes resident page by page as it is first touched, so that a
// table sized for the limit costs nothing until it is used. Called by the slab, the timer wheel and the
// buffer ring.

import Glibc

/// Zero-filled anonymous memory straight from the kernel.
public enum PagedMemory {
    /// Room for `count` elements, all bytes zero, aligned to a page. Lives until the process ends or
    /// `release` is called. Stops the process where the address space is exhausted: that is decided at
    /// start, out of the limits in the configuration.
    @inlinable
    public static func reserve<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int
    ) -> UnsafeMutablePointer<Element> {
        let raw = reserve(byteCount: count * MemoryLayout<Element>.stride)
        return raw.bindMemory(to: Element.self, capacity: count)
    }

    /// As above, in bytes.
    public static func reserve(byteCount: Int) -> UnsafeMutableRawPointer {
        precondition(byteCount > 0)
        let memory = mmap(
            nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            fatalError("cannot reserve \(byteCount) bytes of memory (errno \(errno))")
        }
        return memory
    }

    /// Gives memory from `reserve` back.
    public static func release(_ memory: UnsafeMutableRawPointer, byteCount: Int) {
        let result = munmap(memory, byteCount)
        precondition(result == 0)
    }
}
