// Sizes of which each request draws one: `128:90,64KiB:9,1MiB:1` reads 90, 9 and 1 of a hundred.

import Glibc

public struct SizeMix: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public let bytes: Int
        /// How often it is drawn, relative to the others.
        public let weight: UInt32
    }

    public let entries: [Entry]

    /// More than enough for any traffic, and a draw looks through them.
    public static let entryLimit = 64

    /// A list (it begins with a digit), or the name of a file with one `SIZE[:WEIGHT]` a line and `#` before
    /// remarks.
    public init(_ text: String) throws(BenchError) {
        if text.first?.isNumber == true {
            try self.init(items: text.split(separator: ",").map(String.init))
        } else {
            let lines = try fileText(text).split(separator: "\n").map { line in
                line.prefix { $0 != "#" }.filter { !$0.isWhitespace }
            }
            try self.init(items: lines.filter { !$0.isEmpty })
        }
    }

    private init(items: [String]) throws(BenchError) {
        var entries: [Entry] = []
        for item in items {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count <= 2, let weight = parts.count == 1 ? 1 : UInt32(parts[1]),
                (1...1_000_000).contains(weight)
            else {
                throw BenchError("`\(item)` is no part of a mix: write SIZE or SIZE:WEIGHT, as in 64KiB:9")
            }
            entries.append(Entry(bytes: try Quantities.size(parts[0]), weight: weight))
        }
        guard (1...Self.entryLimit).contains(entries.count) else {
            throw BenchError("a mix has 1 to \(Self.entryLimit) sizes, not \(entries.count)")
        }
        self.entries = entries
    }
}

/// The whole of a small file.
private func fileText(_ path: String) throws(BenchError) -> String {
    guard let file = fopen(path, "r") else {
        throw BenchError("cannot read \(path): \(errorText(errno))")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64 * 1024)
    let count = fread(&bytes, 1, bytes.count, file)
    guard count < bytes.count else { throw BenchError("\(path) is too long for a mix of sizes") }
    return String(decoding: bytes[..<count], as: UTF8.self)
}
