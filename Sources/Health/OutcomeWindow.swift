// The last outcomes of a backend, a bit each, in a ring that all workers write into. Whoever turns a bit counts
// it, so the number of failures is that of the bits whatever the order was.

import Synchronization

@safe
struct OutcomeWindow: ~Copyable {
    /// Outcomes so far.
    private let written = Atomic<UInt64>(0)
    private let failures = Atomic<Int>(0)
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    /// Outcomes that are remembered; 0 remembers none.
    private let size: Int

    private var wordCount: Int { (size + 63) / 64 }

    init(size: Int) {
        self.size = size
        let count = (size + 63) / 64
        unsafe words = .allocate(capacity: max(count, 1))
        for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit { unsafe words.deallocate() }

    @inline(__always)
    var isOn: Bool { size > 0 }

    func note(failed: Bool) {
        let place = Int(written.wrappingAdd(1, ordering: .relaxed).oldValue % UInt64(size))
        let bit: UInt64 = 1 << UInt64(place & 63)
        let word = unsafe words + place / 64
        let isSet = unsafe word.pointee.load(ordering: .relaxed) & bit != 0
        if isSet == failed { return }
        if failed {
            let before = unsafe word.pointee.bitwiseOr(bit, ordering: .relaxed).oldValue
            if before & bit == 0 { failures.wrappingAdd(1, ordering: .relaxed) }
        } else {
            let before = unsafe word.pointee.bitwiseAnd(~bit, ordering: .relaxed).oldValue
            if before & bit != 0 { failures.wrappingSubtract(1, ordering: .relaxed) }
        }
    }

    /// How many of the last outcomes were failures, and how many there are.
    var counts: (failed: Int, all: Int) {
        let all = Int(min(written.load(ordering: .relaxed), UInt64(size)))
        return (min(max(failures.load(ordering: .relaxed), 0), all), all)
    }

    /// Forgets all. What others note meanwhile is not lost twice.
    func clear() {
        written.store(0, ordering: .relaxed)
        for index in 0..<wordCount {
            let before = unsafe words[index].exchange(0, ordering: .relaxed)
            failures.wrappingSubtract(before.nonzeroBitCount, ordering: .relaxed)
        }
    }
}
