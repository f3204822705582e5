// The submission and completion queues of a ring that no kernel stands behind, in plain memory, laid out so
// that liburing's inline helpers find what they expect. Owns that memory and the backlog of completions that
// found the queue full. The emulated and the simulated kernel read entries from it and post completions to
// it; the worker sees it as `io_uring`.

import Base
import CLiburing
import Glibc

package struct QueuesInMemory: ~Copyable {
    /// Words that kernel and application share in a true ring, one each.
    private enum Word: Int {
        case submissionHead, submissionTail, submissionMask, submissionEntries, submissionFlags
        case submissionDropped
        case completionHead, completionTail, completionMask, completionEntries, completionFlags
        case completionOverflow
        case count
    }

    /// A completion in the backlog. (The library's own type ends in a flexible array.)
    private struct Kept: BitwiseCopyable {
        var token: UInt64
        var result: Int32
        var flags: UInt32
    }

    private static let entriesLimit: UInt32 = 32_768
    /// What asks for nothing but speed, or for what is the case here anyway.
    private static let knownFlags =
        UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_CLAMP) | UInt32(IORING_SETUP_SUBMIT_ALL)
        | UInt32(IORING_SETUP_COOP_TASKRUN) | UInt32(IORING_SETUP_TASKRUN_FLAG)
        | UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN)

    private let ring: UnsafeMutablePointer<io_uring>
    private let memory: UnsafeMutableRawPointer
    private let memoryBytes: Int
    private let completions: UnsafeMutablePointer<io_uring_cqe>
    private let completionHead: UnsafeMutablePointer<UInt32>
    private let completionTail: UnsafeMutablePointer<UInt32>
    private let completionEntries: UInt32

    /// Completions that found the queue full, oldest first, in a circle.
    private var backlog = PagedTable<Kept>(capacity: 64)
    private var backlogFirst = 0
    private var backlogCount = 0

    /// The sizes that `parameters` ask for, as the kernel would round them; nil where it would refuse
    /// (-EINVAL).
    package static func sizes(
        entries: UInt32, parameters: io_uring_params
    ) -> (submission: UInt32, completion: UInt32)? {
        let clamps = parameters.flags & UInt32(IORING_SETUP_CLAMP) != 0
        guard parameters.flags & ~knownFlags == 0, entries > 0, clamps || entries <= entriesLimit else {
            return nil
        }
        let submission = roundedUp(min(entries, entriesLimit))
        guard parameters.flags & UInt32(IORING_SETUP_CQSIZE) != 0 else { return (submission, submission * 2) }
        let wanted = parameters.cq_entries
        guard wanted > 0, clamps || wanted <= entriesLimit * 2 else { return nil }
        let completion = roundedUp(min(wanted, entriesLimit * 2))
        return completion >= submission ? (submission, completion) : nil
    }

    private static func roundedUp(_ count: UInt32) -> UInt32 {
        var power: UInt32 = 1
        while power < count { power *= 2 }
        return power
    }

    /// Builds both queues and shows them to liburing in `ring`.
    package init(
        ring: UnsafeMutablePointer<io_uring>, descriptor: Int32, flags: UInt32,
        submissionEntries: UInt32, completionEntries: UInt32
    ) {
        let wordBytes = 256
        let submissionBytes = Int(submissionEntries) * MemoryLayout<io_uring_sqe>.stride
        let completionBytes = Int(completionEntries) * MemoryLayout<io_uring_cqe>.stride
        let arrayBytes = Int(submissionEntries) * MemoryLayout<UInt32>.stride
        memoryBytes = wordBytes + submissionBytes + completionBytes + arrayBytes
        memory = PagedMemory.reserve(byteCount: memoryBytes)
        self.ring = ring
        self.completionEntries = completionEntries
        precondition(Word.count.rawValue * MemoryLayout<UInt32>.stride <= wordBytes)
        let words = memory.assumingMemoryBound(to: UInt32.self)
        func word(_ word: Word) -> UnsafeMutablePointer<UInt32> { words + word.rawValue }
        completionHead = word(.completionHead)
        completionTail = word(.completionTail)
        completions = (memory + wordBytes + submissionBytes).assumingMemoryBound(to: io_uring_cqe.self)

        var submission = io_uring_sq()
        submission.khead = word(.submissionHead)
        submission.ktail = word(.submissionTail)
        submission.kring_mask = word(.submissionMask)
        submission.kring_entries = word(.submissionEntries)
        submission.kflags = word(.submissionFlags)
        submission.kdropped = word(.submissionDropped)
        submission.array = (memory + wordBytes + submissionBytes + completionBytes)
            .assumingMemoryBound(to: UInt32.self)
        for index in 0..<Int(submissionEntries) { submission.array[index] = UInt32(index) }
        submission.sqes = (memory + wordBytes).assumingMemoryBound(to: io_uring_sqe.self)
        submission.ring_mask = submissionEntries - 1
        submission.ring_entries = submissionEntries
        submission.kring_mask.pointee = submissionEntries - 1
        submission.kring_entries.pointee = submissionEntries

        var completion = io_uring_cq()
        completion.khead = completionHead
        completion.ktail = completionTail
        completion.kring_mask = word(.completionMask)
        completion.kring_entries = word(.completionEntries)
        completion.kflags = word(.completionFlags)
        completion.koverflow = word(.completionOverflow)
        completion.cqes = completions
        completion.ring_mask = completionEntries - 1
        completion.ring_entries = completionEntries
        completion.kring_mask.pointee = completionEntries - 1
        completion.kring_entries.pointee = completionEntries

        ring.initialize(to: io_uring())
        ring.pointee.sq = submission
        ring.pointee.cq = completion
        ring.pointee.flags = flags
        ring.pointee.ring_fd = descriptor
        ring.pointee.enter_ring_fd = descriptor
        ring.pointee.features = Self.features
    }

    deinit { PagedMemory.release(memory, byteCount: memoryBytes) }

    /// What an application may rely on: no completion is dropped, entries may be reused once submitted, an
    /// offset of -1 is the descriptor's position.
    package static let features =
        UInt32(IORING_FEAT_NODROP) | UInt32(IORING_FEAT_SUBMIT_STABLE) | UInt32(IORING_FEAT_RW_CUR_POS)
        | UInt32(IORING_FEAT_FAST_POLL) | UInt32(IORING_FEAT_EXT_ARG) | UInt32(IORING_FEAT_CQE_SKIP)

    // MARK: Submissions

    /// How many entries are queued, and the position of the first.
    @inline(__always)
    package func queued() -> (first: UInt32, count: UInt32) {
        let head = ring.pointee.sq.sqe_head
        return (head, ring.pointee.sq.sqe_tail &- head)
    }

    @inline(__always)
    package func submission(at position: UInt32) -> UnsafeMutablePointer<io_uring_sqe> {
        ring.pointee.sq.sqes + Int(position & ring.pointee.sq.ring_mask)
    }

    /// The entries before `position` were read: the application may write them anew.
    @inline(__always)
    package func submissionsRead(upTo position: UInt32) {
        ring.pointee.sq.sqe_head = position
        ring.pointee.sq.ktail.pointee = position
        ring.pointee.sq.khead.pointee = position
    }

    // MARK: Completions

    /// True when the worker finds at least one completion.
    @inline(__always)
    package var hasCompletions: Bool { completionTail.pointee != completionHead.pointee }

    /// True when a further completion would go to the backlog. A multishot operation ends then, as it does in
    /// the kernel.
    @inline(__always)
    package var isFull: Bool {
        backlogCount > 0 || completionTail.pointee &- completionHead.pointee == completionEntries
    }

    @inline(__always)
    package mutating func post(token: UInt64, result: Int32, flags: UInt32) {
        let completion = Kept(token: token, result: result, flags: flags)
        if isFull { keep(completion) } else { append(completion) }
    }

    @inline(__always)
    private func append(_ completion: Kept) {
        let tail = completionTail.pointee
        let entry = completions + Int(tail & (completionEntries - 1))
        entry.pointee.user_data = completion.token
        entry.pointee.res = completion.result
        entry.pointee.flags = completion.flags
        completionTail.pointee = tail &+ 1
    }

    @inline(never)
    private mutating func keep(_ completion: Kept) {
        if backlogCount == backlog.capacity { growBacklog() }
        backlog[(backlogFirst + backlogCount) & (backlog.capacity - 1)].pointee = completion
        backlogCount += 1
        ring.pointee.sq.kflags.pointee |= UInt32(IORING_SQ_CQ_OVERFLOW)
    }

    /// Doubles the circle; what had wrapped round to its start moves behind its old end.
    private mutating func growBacklog() {
        let old = backlog.capacity
        backlog.grow(toHold: old)
        for index in 0..<backlogFirst { backlog[old + index].pointee = backlog[index].pointee }
    }

    /// Moves kept completions into the room that the worker made.
    package mutating func flushBacklog() {
        if backlogCount == 0 { return }
        while backlogCount > 0, completionTail.pointee &- completionHead.pointee < completionEntries {
            append(backlog[backlogFirst].pointee)
            backlogFirst = (backlogFirst + 1) & (backlog.capacity - 1)
            backlogCount -= 1
        }
        if backlogCount == 0 { ring.pointee.sq.kflags.pointee &= ~UInt32(IORING_SQ_CQ_OVERFLOW) }
    }
}
