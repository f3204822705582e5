// The numbers that the worker knows objects by. As in Linux the lowest free number is given out, so that a
// late operation on a closed number hits somebody else's object, as it would in the field.

enum DescriptorKind: UInt8 {
    case free, listener, connection, pipeOutput, pipeInput, event, log
}

struct DescriptorEntry: BitwiseCopyable {
    var kind = DescriptorKind.free
    var index: Int32 = -1
}

struct DescriptorTable {
    /// 0 to 2 stay taken.
    private var entries = [DescriptorEntry](repeating: DescriptorEntry(kind: .event, index: -1), count: 3)
    private(set) var openCount = 0
    private var lowestFree = 3

    /// Any number in or out of range.
    subscript(number: Int32) -> DescriptorEntry {
        number >= 3 && Int(number) < entries.count ? entries[Int(number)] : DescriptorEntry()
    }

    mutating func open(_ kind: DescriptorKind, _ index: Int32) -> Int32 {
        var number = lowestFree
        while number < entries.count, entries[number].kind != .free { number += 1 }
        let entry = DescriptorEntry(kind: kind, index: index)
        if number == entries.count { entries.append(entry) } else { entries[number] = entry }
        lowestFree = number + 1
        openCount += 1
        return Int32(number)
    }

    mutating func close(_ number: Int32) {
        entries[Int(number)] = DescriptorEntry()
        lowestFree = min(lowestFree, Int(number))
        openCount -= 1
    }

    /// Calls `body` with each open one.
    func forEach(_ body: (Int32, DescriptorKind) -> Void) {
        for number in 3..<entries.count where entries[number].kind != .free {
            body(Int32(number), entries[number].kind)
        }
    }
}
