// How many columns of a terminal a Unicode scalar takes, and which ones a terminal must not be given.
// Error excerpts use it to put the caret under the right place, tables to align their columns.

extension Unicode.Scalar {
    /// Columns in a terminal: 0 for combining marks and joiners, 2 for East Asian wide characters and emoji.
    public var displayWidth: Int {
        switch value {
        case 0x00...0x7E: return 1
        case 0x0300...0x036F, 0x200B...0x200F, 0x2060...0x2064, 0xFE00...0xFE0F, 0xFEFF, 0xE0100...0xE01EF:
            return 0
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
            0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F,
            0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            return 2
        default:
            switch properties.generalCategory {
            case .nonspacingMark, .enclosingMark: return 0
            default: return 1
            }
        }
    }

    /// True for what would steer a terminal or hide text: control characters, line and paragraph
    /// separators, and marks that change the direction of writing.
    var isUnprintable: Bool {
        switch value {
        case 0x00...0x1F, 0x7F...0x9F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF, 0xFFFE...0xFFFF: return true
        default: return false
        }
    }
}

extension String {
    /// The text in back quotes for a message: what a terminal must not be given is replaced, and a long
    /// text is cut.
    var quotedForMessage: String {
        let limit = 80
        var result = String.UnicodeScalarView()
        var count = 0
        for scalar in unicodeScalars {
            if count == limit {
                result.append("…")
                break
            }
            result.append(scalar.isUnprintable ? "\u{FFFD}" : scalar)
            count += 1
        }
        return "`" + String(result) + "`"
    }
}
