// Puts environment variables into the scalars of a tree: `${NAME}` and `${NAME:-default}`, and `$${` for a
// plain `${`. Runs once between the YAML reader and the key table; keys stay as they are.

struct EnvironmentExpansion {
    /// Longest text of one scalar after expansion, in bytes.
    private static let expandedLimitBytes = 64 * 1024

    /// The tree with its variables put in. A scalar with a variable that is not set is reported and
    /// becomes `.invalid`.
    static func expand(
        _ node: Node, environment: (String) -> String?, into context: inout ReadingContext
    ) -> Node {
        var result = node
        switch node.content {
        case .invalid: break
        case .sequence(let elements):
            result.content = .sequence(
                elements.map { expand($0, environment: environment, into: &context) })
        case .mapping(let entries):
            result.content = .mapping(
                entries.map {
                    var entry = $0
                    entry.value = expand(entry.value, environment: environment, into: &context)
                    return entry
                })
        case .scalar(let scalar):
            guard scalar.text.utf8.contains(UInt8(ascii: "$")) else { break }
            result.content = expand(scalar, at: node.span, environment: environment, into: &context)
        }
        return result
    }

    private static func expand(
        _ scalar: Node.Scalar, at span: SourceSpan, environment: (String) -> String?,
        into context: inout ReadingContext
    ) -> Node.Content {
        var result = scalar
        result.text = ""
        var isValid = true
        // Where to look for the next variable; nil once escapes hide where the variables stand.
        var searchIndex: Int? = span.start
        for piece in pieces(of: scalar.text) {
            switch piece {
            case .literal(let text): result.text += text
            case .variable(let written, let name, let fallback):
                let length = written.unicodeScalars.count
                let start = searchIndex.flatMap {
                    context.source.firstIndex(of: written, in: span, from: $0)
                }
                let place = start.map { SourceSpan(start: $0, end: $0 + length) } ?? span
                searchIndex = start.map { $0 + length }
                guard let name else {
                    context.report(
                        "\(written.quotedForMessage) is not a variable", at: place,
                        expected: "`${NAME}` or `${NAME:-default}`", hint: "for a plain `${` write `$${`")
                    isValid = false
                    continue
                }
                // As in a shell, `:-` also replaces a variable that is set to nothing.
                let value = environment(name).flatMap { fallback != nil && $0.isEmpty ? nil : $0 }
                guard let value = value ?? fallback else {
                    context.report(
                        "the environment variable \(name.quotedForMessage) is not set", at: place,
                        hint: "set it, or give a default: `${\(name):-default}`")
                    isValid = false
                    continue
                }
                result.text += value
                result.isExpanded = true
            }
            if result.text.utf8.count > expandedLimitBytes {
                context.report("the text is too long with its environment variables", at: span)
                return .invalid
            }
        }
        return isValid ? .scalar(result) : .invalid
    }

    private enum Piece {
        case literal(String)
        /// `written` is the text in the file; no name when it is malformed.
        case variable(written: String, name: String?, fallback: String?)
    }

    private static func pieces(of text: String) -> [Piece] {
        var pieces: [Piece] = []
        var rest = text.unicodeScalars[...]
        var literal = String.UnicodeScalarView()
        while let scalar = rest.first {
            if rest.starts(with: "$${".unicodeScalars) {
                literal.append(contentsOf: "${".unicodeScalars)
                rest = rest.dropFirst(3)
            } else if rest.starts(with: "${".unicodeScalars) {
                if !literal.isEmpty { pieces.append(.literal(String(literal))) }
                literal = String.UnicodeScalarView()
                let end = rest.firstIndex(of: "}").map { rest.index(after: $0) } ?? rest.endIndex
                pieces.append(variable(String(rest[..<end])))
                rest = rest[end...]
            } else {
                literal.append(scalar)
                rest = rest.dropFirst()
            }
        }
        if !literal.isEmpty { pieces.append(.literal(String(literal))) }
        return pieces
    }

    /// Takes `${NAME}` or `${NAME:-default}` apart.
    private static func variable(_ written: String) -> Piece {
        let malformed = Piece.variable(written: written, name: nil, fallback: nil)
        guard written.unicodeScalars.last == "}" else { return malformed }
        let inner = written.unicodeScalars.dropFirst(2).dropLast()
        var name = inner
        var fallback: String?
        if let colon = inner.firstIndex(of: ":") {
            let after = inner[colon...].dropFirst()
            guard after.first == "-" else { return malformed }
            name = inner[..<colon]
            fallback = String(after.dropFirst())
        }
        guard let first = name.first, !("0"..."9" ~= first), name.allSatisfy(isNameScalar) else {
            return malformed
        }
        return .variable(written: written, name: String(name), fallback: fallback)
    }

    private static func isNameScalar(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", "_": return true
        default: return false
        }
    }
}
