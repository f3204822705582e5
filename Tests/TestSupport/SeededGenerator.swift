// Random numbers that are the same in every run, for the standard library's random functions.

import Base

public struct SeededGenerator: RandomNumberGenerator {
    private var source: RandomSource

    public init(seed: UInt64) { source = RandomSource(seed: seed) }

    public mutating func next() -> UInt64 { source.next() }
}
