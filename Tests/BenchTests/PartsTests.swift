// The small parts of the load generator, each against a plain model of it.

import Base
import Testing

@testable import Bench

@Suite struct QuantitiesTests {
    @Test func sizesAreReadWithTheirUnits() throws {
        #expect(try Quantities.size("0") == 0)
        #expect(try Quantities.size("128") == 128)
        #expect(try Quantities.size("64KiB") == 65_536)
        #expect(try Quantities.size("2MiB") == 2 << 20)
        for text in ["", "x", "-1", "1.5KiB", "1 KiB", "1kb", "9999999999GiB"] {
            #expect(throws: BenchError.self) { try Quantities.size(text) }
        }
    }

    @Test func durationsAreReadWithTheirUnits() throws {
        #expect(try Quantities.duration("10") == 10_000_000_000)
        #expect(try Quantities.duration("500us") == 500_000)
        #expect(try Quantities.duration("20ms") == 20_000_000)
        #expect(try Quantities.duration("1.5s") == 1_500_000_000)
        #expect(try Quantities.duration("2m") == 120_000_000_000)
        for text in ["", "ms", "-1s", "1 s", "1d", "1e5s"] {
            #expect(throws: BenchError.self) { try Quantities.duration(text) }
        }
    }

    @Test func sharesAreReadInPercent() throws {
        #expect(try Quantities.share("5%") == 0.05)
        #expect(try Quantities.share("0.1%") == 0.001)
        for text in ["5", "%", "101%", "-1%", "x%"] {
            #expect(throws: BenchError.self) { try Quantities.share(text) }
        }
    }

    @Test func aMixHasSizesAndWeights() throws {
        let mix = try SizeMix("128:90,64KiB:9,1MiB")
        #expect(mix.entries.map(\.bytes) == [128, 65_536, 1 << 20])
        #expect(mix.entries.map(\.weight) == [90, 9, 1])
        for text in ["1,,2:", "1:0", "1:x", "1:2:3", "/no/such/file"] {
            #expect(throws: BenchError.self) { try SizeMix(text) }
        }
    }

    @Test func sizesOfAMixAreDrawnByTheirWeights() throws {
        var options = LoadOptions(target: try Target("127.0.0.1:1"))
        options.mode = .tcp
        options.mix = try SizeMix("10:90,20:9,30:1")
        let requests = Requests(options)
        var random = RandomSource(seed: 1)
        var counts = [0, 0, 0]
        for _ in 0..<100_000 { counts[Int(requests.draw(&random))] += 1 }
        #expect(abs(counts[0] - 90_000) < 500 && abs(counts[1] - 9_000) < 500 && abs(counts[2] - 1_000) < 200)
    }
}

@Suite struct ListTests {
    @Test func anIdleListIsAQueueOutOfWhichAnyCanBeTaken() {
        var list = IdleList(capacity: 50)
        var model: [UInt32] = []
        var random = RandomSource(seed: 2)
        for _ in 0..<20_000 {
            let number = random.next(below: 50)
            switch random.next(below: 3) {
            case 0 where !model.contains(number):
                list.append(number)
                model.append(number)
            case 1 where model.contains(number):
                list.remove(number)
                model.removeAll { $0 == number }
            case 2: #expect(list.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            default: break
            }
            #expect(list.isEmpty == model.isEmpty)
        }
    }

    @Test func aDelayQueueKeepsEverythingWhileItGrows() {
        var queue = DelayQueue()
        var model: [UInt64] = []
        var random = RandomSource(seed: 3)
        var now: UInt64 = 0
        for step in 0..<60_000 {
            now += UInt64(random.next(below: 3))
            // More come than go at first, so that it grows, wrapped around at any place.
            if step < 20_000 || random.next(below: 2) == 0 {
                queue.append(DelayQueue.Entry(due: now + 1000, slot: 1, generation: 2))
                model.append(now + 1000)
            }
            if random.next(below: 3) > 0, let entry = queue.popDue(now: now) {
                #expect(entry.due == model.removeFirst() && entry.due <= now)
            }
            #expect(queue.nextDue == model.first)
        }
    }
}

@Suite struct TextTests {
    @Test func numbersAreWrittenWithSoManyDecimals() {
        #expect(fixed(0, 3) == "0.000" && fixed(1.0005, 2) == "1.00" && fixed(1234.567, 1) == "1234.6")
        #expect(fixed(0.999, 2) == "1.00" && fixed(7.05, 0) == "7")
    }

    @Test func stringsAreJSON() { #expect(quoted("a\"b\\c\n") == #""a\"b\\c\u000a""#) }
}
