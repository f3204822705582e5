// What policies choose among: one candidate for each backend of a pool. The facts that change (how many
// sessions it has) are shared by all workers, each candidate on a cache line of its own; the rest is
// fixed when the snapshot is built.

import Synchronization

/// A backend as a policy sees it. Exactly one cache line, so that two workers counting sessions of
/// neighbouring backends do not disturb each other.
public struct Candidate: ~Copyable {
    /// Share of new sessions relative to the others; 0 takes none.
    public let weight: UInt32
    /// Sessions at once; `UInt32.max` is no limit.
    public let maxSessions: UInt32
    /// Sessions that hold this backend now, over all workers.
    public let active = Atomic<Int>(0)
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

    public init(weight: UInt32, maxSessions: UInt32) {
        self.weight = weight
        self.maxSessions = maxSessions
    }

    /// True where a new session may go to it.
    @inline(__always)
    public var isUsable: Bool {
        weight > 0 && active.load(ordering: .relaxed) < Int(maxSessions)
    }

    /// Takes a place for one session; false where the last one went to somebody else meanwhile.
    @inline(__always)
    public func acquire() -> Bool {
        let before = active.wrappingAdd(1, ordering: .relaxed).oldValue
        if before < Int(maxSessions) { return true }
        active.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    /// Gives back what `acquire` took.
    @inline(__always)
    public func release() {
        let before = active.wrappingSubtract(1, ordering: .relaxed).oldValue
        precondition(before > 0, "a backend is released as often as it was acquired")
    }
}

/// The candidates of one pool. The memory belongs to the snapshot, which outlives every use.
@safe
public struct Candidates: @unchecked Sendable {
    private let first: UnsafeMutablePointer<Candidate>
    public let count: Int
    /// True where every candidate has the same weight, and it is not 0.
    public let weightsAreEqual: Bool
    /// The sum of the weights.
    public let totalWeight: UInt64

    /// Memory for one candidate for each weight; at most 65,535. Lives as long as the process.
    public init(weights: [UInt32], maxSessions: [UInt32]) {
        precondition(weights.count == maxSessions.count && weights.count <= Int(UInt16.max))
        let bytes = max(weights.count, 1) * MemoryLayout<Candidate>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        unsafe first = memory.bindMemory(to: Candidate.self, capacity: weights.count)
        for index in weights.indices {
            let candidate = Candidate(weight: weights[index], maxSessions: maxSessions[index])
            unsafe (first + index).initialize(to: candidate)
        }
        count = weights.count
        weightsAreEqual = weights.allSatisfy { $0 == weights.first && $0 > 0 }
        totalWeight = weights.reduce(0) { $0 + UInt64($1) }
    }

    /// A candidate in place.
    public subscript(index: Int) -> Candidate {
        @inline(__always)
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(first + index)
        }
    }
}
