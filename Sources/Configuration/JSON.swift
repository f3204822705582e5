// Writes JSON (RFC 8259) for people and programs to read, in two spaces of indentation: the schema, and what
// commands print with `--json`. The logs have a writer of their own that allocates nothing.

/// A JSON value; members keep their order.
public indirect enum JSON: Sendable {
    case string(String)
    case integer(Int)
    case boolean(Bool)
    case array([JSON])
    case object([Member])

    public struct Member: Sendable {
        public var name: String
        public var value: JSON

        public init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// Without a line end behind it.
    public func text(indentation: Int = 0) -> String {
        let margin = String(repeating: " ", count: indentation)
        let inner = margin + "  "
        switch self {
        case .string(let text): return Self.quoted(text)
        case .integer(let number): return String(number)
        case .boolean(let value): return String(value)
        case .array(let elements):
            let isFlat = elements.allSatisfy { if case .string = $0 { true } else { false } }
            let texts = elements.map { $0.text(indentation: indentation + 2) }
            if isFlat { return "[" + texts.joined(separator: ", ") + "]" }
            return "[\n\(inner)" + texts.joined(separator: ",\n\(inner)") + "\n\(margin)]"
        case .object(let members):
            if members.isEmpty { return "{}" }
            let texts = members.map {
                "\(Self.quoted($0.name)): \($0.value.text(indentation: indentation + 2))"
            }
            return "{\n\(inner)" + texts.joined(separator: ",\n\(inner)") + "\n\(margin)}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
