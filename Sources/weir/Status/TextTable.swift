// Cells as aligned columns under headings, for commands that show figures. On a terminal lines are cut to its width,
// and where that is narrow some columns may be left out.

import LogReading

struct TextTable {
    struct Cell {
        let text: String
        var colour = Colour.plain
        var alignedRight = false

        static func number(_ text: String, _ colour: Colour = .plain) -> Cell {
            Cell(text: text, colour: colour, alignedRight: true)
        }
    }

    let headings: [String]
    let rows: [[Cell]]
    let style: DisplayStyle
    /// The place of a row that stands out.
    var selected: Int?
    /// Headings of columns that are left out, one group after the other, while the last one has too little room.
    var firstToGo: [[String]] = []

    private static let leastOfLast = 24

    var lines: [String] {
        let widths = headings.indices.map { column in
            rows.reduce(DisplayText.width(headings[column])) {
                max($0, DisplayText.width(DisplayText.escaped($1[column].text)))
            }
        }
        let heading = headings.indices.map {
            Cell(text: headings[$0], colour: .dim, alignedRight: rows.first?[$0].alignedRight ?? false)
        }
        let columns = shownColumns(widths)
        return [line(heading, columns, widths)]
            + rows.enumerated().map { index, row in
                guard index == selected, style.hasColours else { return line(row, columns, widths) }
                let plain = row.map { Cell(text: $0.text, alignedRight: $0.alignedRight) }
                return Colour.reversed.paint(line(plain, columns, widths), if: true)
            }
    }

    private func shownColumns(_ widths: [Int]) -> [Int] {
        var columns = Array(headings.indices)
        guard let room = style.width else { return columns }
        for group in firstToGo {
            let last = min(widths.last!, Self.leastOfLast)
            if columns.dropLast().reduce(last, { $0 + widths[$1] + 2 }) <= room { break }
            columns.removeAll { group.contains(headings[$0]) }
        }
        return columns
    }

    /// Cut where the terminal ends.
    private func line(_ cells: [Cell], _ columns: [Int], _ widths: [Int]) -> String {
        var text = ""
        var room = style.width ?? .max
        for column in columns where room > 0 {
            let (cell, width) = (cells[column], widths[column])
            let padded = DisplayText.padded(cell.text, to: min(width, room), alignedRight: cell.alignedRight)
            text += cell.colour.paint(padded, if: style.hasColours)
            room -= min(width, room)
            text += String(repeating: " ", count: min(2, room))
            room -= min(2, room)
        }
        while text.hasSuffix(" ") { text.removeLast() }
        return text
    }
}
