// Makes any text fit for a terminal: what would steer the terminal, hide text or turn its direction is
// escaped as JSON escapes it, and text is cut or padded to columns, not bytes.

import Configuration

public enum DisplayText {
    /// `text` with every control and formatting character escaped as `\u001b`. A JSON text stays the same
    /// JSON.
    public static func escaped(_ text: String) -> String {
        if text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if isSafe(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
        return result
    }

    /// The text's columns in a terminal.
    public static func width(_ text: String) -> Int {
        text.unicodeScalars.reduce(0) { $0 + $1.displayWidth }
    }

    /// Escaped, and at most `columns` wide; what is longer ends with `…`.
    public static func cut(_ text: String, to columns: Int) -> String {
        let safe = escaped(text)
        guard columns > 0 else { return "" }
        // Marks that take no column are bounded by this, too.
        if safe.utf8.count <= columns || safe.unicodeScalars.count <= 4 * columns && width(safe) <= columns {
            return safe
        }
        var result = ""
        var used = 0
        for scalar in safe.unicodeScalars.prefix(4 * columns) {
            if used + scalar.displayWidth > columns - 1 { break }
            used += scalar.displayWidth
            result.unicodeScalars.append(scalar)
        }
        return result + "…"
    }

    /// Cut, and filled with spaces up to `columns`.
    public static func padded(_ text: String, to columns: Int, alignedRight: Bool = false) -> String {
        let cutText = cut(text, to: columns)
        let fill = String(repeating: " ", count: max(0, columns - width(cutText)))
        return alignedRight ? fill + cutText : cutText + fill
    }

    private static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
        if (0x20..<0x7F).contains(scalar.value) { return true }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            return false
        default: return true
        }
    }
}

/// Colours of a terminal (ECMA-48, SGR).
public enum Colour: String, Sendable {
    case plain = ""
    case dim = "2"
    case bold = "1"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case blue = "34"
    case cyan = "36"
    case reversed = "7"

    /// The text in this colour.
    public func paint(_ text: String, if isOn: Bool) -> String {
        isOn && self != .plain && !text.isEmpty ? "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" : text
    }
}

extension Severity {
    var colour: Colour {
        switch self {
        case .good: .green
        case .notable: .yellow
        case .failed: .red
        }
    }
}
