// Reads back what the worker logs: splits it into lines and finds the fields of a record. It knows just enough
// JSON for records that Weir writes.

struct RecordReader {
    private var partial: [[UInt8]] = [[], []]
    private(set) var lineCounts = [0, 0]

    mutating func take(log: Int, _ bytes: UnsafeRawBufferPointer, _ body: (LogRecord) -> Void) {
        for octet in bytes {
            if octet == UInt8(ascii: "\n") {
                lineCounts[log] += 1
                body(LogRecord(line: partial[log]))
                partial[log].removeAll(keepingCapacity: true)
            } else {
                partial[log].append(octet)
            }
        }
    }
}

struct LogRecord {
    private let line: [UInt8]

    init(line: [UInt8]) { self.line = line }

    var text: String { String(decoding: line, as: UTF8.self) }

    /// One whole object: a record that was cut off, or two that run together, is not.
    var isWhole: Bool {
        guard line.first == UInt8(ascii: "{"), line.last == UInt8(ascii: "}") else { return false }
        var depth = 0
        for (place, octet) in line.enumerated() {
            if octet == UInt8(ascii: "{") { depth += 1 }
            if octet == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0, place < line.count - 1 { return false }
        }
        return depth == 0
    }

    /// The value of a field, without its quotes; nil where there is none.
    func field(_ name: StaticString) -> ArraySlice<UInt8>? {
        let length = name.utf8CodeUnitCount
        let key = UnsafeBufferPointer(start: name.utf8Start, count: length)
        var place = 0
        while place + length + 3 < line.count {
            let isKey =
                line[place] == UInt8(ascii: "\"") && line[place + length + 1] == UInt8(ascii: "\"")
                && line[place + length + 2] == UInt8(ascii: ":")
                && line[(place + 1)..<(place + 1 + length)].elementsEqual(key)
            if isKey { return value(from: place + length + 3) }
            place += 1
        }
        return nil
    }

    private func value(from start: Int) -> ArraySlice<UInt8> {
        let isQuoted = line[start] == UInt8(ascii: "\"")
        var end = start + (isQuoted ? 1 : 0)
        while end < line.count {
            if isQuoted, line[end] == UInt8(ascii: "\"") { return line[(start + 1)..<end] }
            if !isQuoted, line[end] == UInt8(ascii: ",") || line[end] == UInt8(ascii: "}") { break }
            end += 1
        }
        return line[start..<end]
    }

    func number(_ name: StaticString) -> UInt64? {
        guard let digits = field(name), !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            value = value &* 10 &+ UInt64(digit - UInt8(ascii: "0"))
        }
        return value
    }

    /// The port of an address field.
    func port(_ name: StaticString) -> UInt64? {
        guard let text = field(name), let colon = text.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        return text[(colon + 1)...].reduce(0) { $0 * 10 + UInt64($1 - UInt8(ascii: "0")) }
    }
}
