// The tree that the YAML reader makes of a file and that the key table reads: scalars, lists and
// mappings, each with its place in the source.

/// One value of a YAML file.
struct Node {
    enum Content {
        case scalar(Scalar)
        case sequence([Node])
        case mapping([Entry])
        /// Something was wrong here and has been reported; whoever reads it stays silent.
        case invalid
    }

    struct Scalar {
        /// After escapes, folding and environment variables.
        var text: String
        var isQuoted: Bool
        /// True when an environment variable was put in.
        var isExpanded = false

        /// True for what YAML takes as no value: nothing, `null` or `~`, not in quotes.
        var isNull: Bool { !isQuoted && !isExpanded && ["", "~", "null", "Null", "NULL"].contains(text) }
    }

    /// A key of a mapping with its value, in the order of the file. No key is there twice.
    struct Entry {
        var key: String
        var keySpan: SourceSpan
        var value: Node
    }

    var content: Content
    var span: SourceSpan

    var isNull: Bool {
        if case .scalar(let scalar) = content { return scalar.isNull }
        return false
    }

    /// What stands here, for messages.
    var summary: String {
        switch content {
        case .scalar(let scalar): return scalar.isNull ? "nothing" : scalar.text.quotedForMessage
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        case .invalid: return "something unusable"
        }
    }
}

extension Node {
    /// The value of a key of the mapping that stands here.
    func value(at key: String) -> Node? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// The text of a key of the mapping that stands here.
    func scalarText(at key: String) -> String? {
        if case .scalar(let scalar)? = value(at: key)?.content { return scalar.text }
        return nil
    }
}
