// Lines with a word in front, as `weir explain` prints them.

/// A word at the left, what it means at the right.
public struct Page {
    public private(set) var text = ""

    public init() {}

    /// The word stands before the first of the lines. Without lines there is nothing.
    public mutating func add(_ word: String, _ lines: [String]) {
        for (index, line) in lines.enumerated() {
            let label = index == 0 ? word : ""
            text += label + String(repeating: " ", count: max(1, 10 - label.utf8.count)) + line + "\n"
        }
    }

    /// Rows with columns of equal width.
    public static func aligned(_ rows: [[String]]) -> [String] {
        guard let columns = rows.first?.count else { return [] }
        let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column + 1 == columns
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            return cells.joined(separator: "  ")
        }
    }
}
