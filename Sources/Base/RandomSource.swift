// Fast seeded pseudo-random numbers for choices that need no secrecy (balancing, jitter, sampling). The
// same seed gives the same numbers, which is what simulation and replay stand on.

/// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
public struct RandomSource: BitwiseCopyable, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// 64 uniform bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in 0..<bound (Lemire's multiplication; the bias is below 2^-32 for 32-bit bounds).
    public mutating func next(below bound: UInt32) -> UInt32 {
        precondition(bound > 0)
        return UInt32(truncatingIfNeeded: ((next() >> 32) &* UInt64(bound)) >> 32)
    }

    /// Uniform in 0..<1.
    public mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
