// Warm-up: a backend that recovered or joined gets a tenth of its weight at first, then more, evenly, until it has
// all of it. Caches fill and connections open while it has time for them.

import Balancing

enum SlowStart {
    /// In 256ths.
    static var leastShare: Int { 26 }

    /// The share after so long; nil once it is whole.
    static func share(after elapsedNanoseconds: UInt64, of lengthNanoseconds: UInt64) -> Int? {
        guard elapsedNanoseconds < lengthNanoseconds else { return nil }
        let part = Double(elapsedNanoseconds) / Double(lengthNanoseconds)
        return max(Int(part * Double(Standing.wholeShare)), leastShare)
    }
}
