// How long a pool's backends take to begin an answer, at the 95th percentile: three words for each pool in each
// worker, and what happened lately counts more than what happened long ago.

/// A running estimate. Each observation moves it by a share of itself: up by 19/128 where it took longer, down by 1/128
/// where it did not. So it rests where one in twenty takes longer (Robbins and Monro, 1951), and follows a pool that
/// becomes slower within a few slow answers, one that becomes faster within some hundred.
struct LatencyQuantile: BitwiseCopyable {
    /// The estimate of fewer observations says nothing about one in twenty.
    static let enough: UInt32 = 20
    private static let stepShift: UInt64 = 7
    /// Steps up for one observation above: as many as there are steps down when the estimate is right.
    private static let stepsUp: UInt64 = 19

    private var nanoseconds: UInt64 = 0
    private var count: UInt32 = 0

    /// In nanoseconds; nil until so many were seen, at most `enough`.
    func estimate(after least: UInt32) -> UInt64? { count < least ? nil : nanoseconds }

    /// Neither step stops at what was observed: then they would not balance.
    mutating func observe(nanoseconds observed: UInt64) {
        // One in twenty is about the longest of the first twenty.
        if count < Self.enough {
            count += 1
            nanoseconds = max(nanoseconds, observed)
            return
        }
        let step = nanoseconds >> Self.stepShift &+ 1
        if observed > nanoseconds {
            nanoseconds = nanoseconds &+ step &* Self.stepsUp
        } else {
            nanoseconds -= min(step, nanoseconds)
        }
    }
}
