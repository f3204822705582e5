// Cells as aligned columns under headings, for commands that show figures. On a terminal lines are cut to its width.

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

    var lines: [String] {
        let widths = headings.indices.map { column in
            rows.reduce(DisplayText.width(headings[column])) {
                max($0, DisplayText.width(DisplayText.escaped($1[column].text)))
            }
        }
        let isRight = headings.indices.map { rows.first?[$0].alignedRight ?? false }
        let heading = headings.indices.map {
            Cell(text: headings[$0], colour: .dim, alignedRight: isRight[$0])
        }
        return [line(heading, widths)]
            + rows.enumerated().map { index, row in
                guard index == selected, style.hasColours else { return line(row, widths) }
                let plain = row.map { Cell(text: $0.text, alignedRight: $0.alignedRight) }
                return Colour.reversed.paint(line(plain, widths), if: true)
            }
    }

    /// Cut where the terminal ends.
    private func line(_ cells: [Cell], _ widths: [Int]) -> String {
        var text = ""
        var room = style.width ?? .max
        for (cell, width) in zip(cells, widths) where room > 0 {
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
