// Numbers that workers count of one backend or one listener: a row of counters for each worker, each row on cache
// lines that no other worker writes, so that counting is a plain addition. Readers add the rows up.

import Base
import Synchronization

/// The counters of one backend or listener. Lives until its `Tallies.deallocate`.
public struct Tally: BitwiseCopyable, @unchecked Sendable {
    /// The first worker's row.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let workerStride: Int
    private let workers: Int
    private let count: Int

    fileprivate init(
        _ cells: UnsafeMutablePointer<Atomic<UInt64>>, workerStride: Int, workers: Int, count: Int
    ) {
        self.cells = cells
        self.workerStride = workerStride
        self.workers = workers
        self.count = count
    }

    /// By that worker only.
    @inline(__always)
    public func add(_ cell: Int, _ amount: UInt64 = 1, worker: Int) {
        precondition(cell >= 0 && cell < count && worker >= 0 && worker < workers)
        let place = cells + (worker &* workerStride &+ cell)
        place.pointee.store(place.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// Of all workers.
    public func sum(_ cell: Int) -> UInt64 {
        precondition(cell >= 0 && cell < count)
        var sum: UInt64 = 0
        for worker in 0..<workers {
            sum &+= (cells + (worker * workerStride + cell)).pointee.load(ordering: .relaxed)
        }
        return sum
    }
}

/// Memory for the tallies of several backends, or listeners; resident once something is counted.
public struct Tallies {
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let rowStride: Int
    private let count: Int
    private let cellCount: Int
    private let workers: Int

    /// `cells` is how many counters each has.
    public init(count: Int, cells cellCount: Int, workers: Int) {
        let cellsPerLine = 8
        rowStride = (cellCount + cellsPerLine - 1) / cellsPerLine * cellsPerLine
        self.count = count
        self.cellCount = cellCount
        self.workers = workers
        let total = max(count * rowStride * workers, 1)
        // Zero bytes are counters at zero.
        cells = PagedMemory.reserve(byteCount: total * MemoryLayout<Atomic<UInt64>>.stride)
            .bindMemory(to: Atomic<UInt64>.self, capacity: total)
    }

    /// Gives the memory back. Nobody may use one of the tallies afterwards.
    public func deallocate() {
        let total = max(count * rowStride * workers, 1)
        PagedMemory.release(cells, byteCount: total * MemoryLayout<Atomic<UInt64>>.stride)
    }

    public subscript(index: Int) -> Tally {
        precondition(index >= 0 && index < count)
        return Tally(
            cells + index * rowStride, workerStride: count * rowStride, workers: workers, count: cellCount)
    }
}
