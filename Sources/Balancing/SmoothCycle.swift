// One cycle of smooth weighted round robin, as nginx made it known (commit 52327e0627f4, 2012): at each turn
// every candidate gains its weight, the richest has the turn and pays the sum. Weights 5, 1, 1 give
// a a b a c a a. The turns repeat, so they are worked out once a pool and a choice only looks the next one up.

/// Whose each turn of the cycle is. Shared by all workers.
@safe
struct SmoothCycle: BitwiseCopyable, @unchecked Sendable {
    /// Turns; 0 where there are none, or more than `longest`.
    let count: Int
    /// nil where weights are equal: then each turn belongs to the candidate of its number.
    private let owners: UnsafePointer<UInt16>?

    /// A longer one is not kept. This is 128 KiB.
    static var longest: Int { 1 << 16 }

    /// Lives until `deallocate`.
    init(weights: [UInt32]) {
        let total = weights.reduce(0) { $0 + Int($1) }
        let unit = weights.reduce(0) { Self.greatestCommonDivisor($0, Int($1)) }
        guard total > 0 else {
            self = .none
            return
        }
        if weights.allSatisfy({ Int($0) == unit }) {
            count = weights.count
            unsafe owners = nil
            return
        }
        guard total / unit <= Self.longest else {
            self = .none
            return
        }
        let turns = Self.turns(weights.map { Int($0) / unit })
        let memory = UnsafeMutablePointer<UInt16>.allocate(capacity: turns.count)
        unsafe memory.initialize(from: turns, count: turns.count)
        count = turns.count
        unsafe owners = UnsafePointer(memory)
    }

    func deallocate() { unsafe owners?.deallocate() }

    private init() {
        count = 0
        unsafe owners = nil
    }

    static var none: SmoothCycle { SmoothCycle() }

    @inline(__always)
    func owner(_ turn: Int) -> Int {
        precondition(turn >= 0 && turn < count)
        guard let owners = unsafe owners else { return turn }
        return unsafe Int(owners[turn])
    }

    /// Candidates of the same weight have their turns one after the other, so it is enough to know for each
    /// weight who is next and how rich that one is.
    private struct Equals {
        let weight: Int
        var members: [Int] = []
        var next = 0
        var credit = 0
    }

    private static func turns(_ weights: [Int]) -> [UInt16] {
        let total = weights.reduce(0, +)
        var groups: [Int: Equals] = [:]
        for (index, weight) in weights.enumerated() where weight > 0 {
            groups[weight, default: Equals(weight: weight)].members.append(index)
        }
        var all = groups.values.sorted { $0.members[0] < $1.members[0] }
        return (0..<total).map { _ in
            var richest = 0
            for index in all.indices {
                all[index].credit += all[index].weight
                if isRicher(all[index], all[richest]) { richest = index }
            }
            return UInt16(haveTurn(&all[richest], paying: total))
        }
    }

    /// Of those who are as rich the first in the list has the turn.
    private static func isRicher(_ one: Equals, _ other: Equals) -> Bool {
        one.credit != other.credit
            ? one.credit > other.credit : one.members[one.next] < other.members[other.next]
    }

    private static func haveTurn(_ equals: inout Equals, paying total: Int) -> Int {
        let index = equals.members[equals.next]
        equals.next += 1
        if equals.next == equals.members.count {
            // All have had one turn more, so the first, who is next, is as much poorer.
            equals.next = 0
            equals.credit -= total
        }
        return index
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
