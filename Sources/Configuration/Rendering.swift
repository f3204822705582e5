// Writes a configuration as YAML with every default filled in, by the key table. `weir check` shows it;
// reading it back gives an equal configuration apart from positions.

extension Configuration {
    /// The configuration as a YAML file.
    public func rendered() -> String {
        var writer = YAMLWriter()
        writer.write(Keys.file.render(self), indentation: 0)
        return writer.text
    }
}

/// Block style, except for mappings of scalars within a list, which take one line each.
struct YAMLWriter {
    var text = ""

    mutating func write(_ value: RenderedValue, indentation: Int) {
        let margin = String(repeating: " ", count: indentation)
        switch value {
        case .scalar(let scalar): text += "\(margin)\(Self.quoted(value: scalar))\n"
        case .list(let elements):
            for element in elements { text += "\(margin)- \(Self.inline(element))\n" }
        case .mapping(let entries):
            for entry in entries {
                text += "\(margin)\(Self.quoted(entry.key)):"
                switch entry.value {
                case .scalar(let scalar): text += " \(Self.quoted(value: scalar))\n"
                case .mapping(let inner) where inner.isEmpty: text += " {}\n"
                case .list(let inner) where inner.isEmpty: text += " []\n"
                case .mapping, .list:
                    text += "\n"
                    write(entry.value, indentation: indentation + 2)
                }
            }
        }
    }

    static func inline(_ value: RenderedValue) -> String {
        switch value {
        case .scalar(let scalar): return quoted(value: scalar)
        case .list(let elements): return "[" + elements.map(inline).joined(separator: ", ") + "]"
        case .mapping(let entries):
            let inner = entries.map { "\(quoted($0.key)): \(inline($0.value))" }
            return inner.isEmpty ? "{}" : "{ " + inner.joined(separator: ", ") + " }"
        }
    }

    /// A text that must come back as it is: `${` is not a variable in it.
    private static func quoted(value: String) -> String {
        var escaped = String.UnicodeScalarView()
        for scalar in value.unicodeScalars {
            if scalar == "{", escaped.last == "$" { escaped.append("$") }
            escaped.append(scalar)
        }
        return quoted(String(escaped))
    }

    private static func quoted(_ text: String) -> String {
        isPlain(text) ? text : doubleQuoted(text)
    }

    /// True for text that means itself without quotes, in a list or mapping as well.
    private static func isPlain(_ text: String) -> Bool {
        if Node.Scalar(text: text, isQuoted: false).isNull || text.utf8.last == UInt8(ascii: ":") {
            return false
        }
        for (index, scalar) in text.unicodeScalars.enumerated() {
            switch scalar {
            case "A"..."Z", "a"..."z", "0"..."9", "/", ".", "_": continue
            case "-", "%", ":": if index == 0 { return false }
            default: return false
            }
        }
        return true
    }

    private static func doubleQuoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case _ where scalar.isUnprintable:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                result += "\\U" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
