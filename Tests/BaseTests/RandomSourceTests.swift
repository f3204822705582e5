// The random source's promises: it repeats itself, keeps its range, and spreads over it.

import Base
import Testing

@Suite struct RandomSourceTests {
    @Test func theSameSeedGivesTheSameNumbers() {
        var first = RandomSource(seed: 42)
        var second = RandomSource(seed: 42)
        var other = RandomSource(seed: 43)
        let numbers = (0..<100).map { _ in first.next() }
        let same = (0..<100).map { _ in second.next() }
        let others = (0..<100).map { _ in other.next() }
        #expect(numbers == same && numbers != others)
        #expect(Set(numbers).count == 100)
    }

    /// The first numbers of the published algorithm for this seed.
    @Test func theNumbersAreThoseOfSplitmix64() {
        var random = RandomSource(seed: 1_234_567)
        let numbers = (0..<5).map { _ in random.next() }
        #expect(
            numbers == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test(arguments: [1, 2, 3, 7, 64, 1000, .max] as [UInt32])
    func numbersStayBelowTheirBound(bound: UInt32) {
        var random = RandomSource(seed: UInt64(bound))
        let numbers = (0..<10_000).map { _ in random.next(below: bound) }
        #expect(numbers.allSatisfy { $0 < bound })
    }

    @Test func everyNumberBelowABoundComesAboutEquallyOften() {
        var random = RandomSource(seed: 5)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { counts[Int(random.next(below: 10))] += 1 }
        #expect(counts.allSatisfy { abs($0 - 10_000) < 500 })
    }

    @Test func unitNumbersAreBelowOneAndCentred() {
        var random = RandomSource(seed: 6)
        let numbers = (0..<100_000).map { _ in random.nextUnit() }
        #expect(numbers.allSatisfy { $0 >= 0 && $0 < 1 })
        #expect(abs(numbers.reduce(0, +) / 100_000 - 0.5) < 0.01)
    }
}
