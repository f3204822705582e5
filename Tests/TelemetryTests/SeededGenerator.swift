import Base

/// The same numbers in every run, for the standard library's random functions.
struct SeededGenerator: RandomNumberGenerator {
    private var source: RandomSource

    init(seed: UInt64) { source = RandomSource(seed: seed) }

    mutating func next() -> UInt64 { source.next() }
}
