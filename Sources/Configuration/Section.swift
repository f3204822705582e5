// A section is a mapping with known keys: `limits`, a listener, a pool. It is a table of fields, and the
// one source for reading the keys, writing them back, the JSON Schema and the reference in the docs.

/// One key of a section.
struct Field<Target> {
    var shape: FieldShape
    /// Reads the value into its place; reports what is wrong with it.
    var read: (Node, inout Target, inout ReadingContext) -> Void
    /// nil when the key is to be left out.
    var render: (Target) -> RenderedValue?

    /// A key whose default is what the section's prototype holds; `absent` says what it means to leave
    /// the key out where the prototype holds nothing.
    init<Value>(
        _ name: String, _ place: WritableKeyPath<Target, Value>, _ type: ValueType<Value>,
        isRequired: Bool = false, absent: String? = nil, _ documentation: String
    ) {
        shape = FieldShape(
            name: name, documentation: documentation, expectation: type.expectation, shape: type.shape,
            isRequired: isRequired, absent: absent)
        read = { node, target, context in
            if let value = type.read(node, &context) { target[keyPath: place] = value }
        }
        render = { type.render($0[keyPath: place]) }
    }

    /// A key that is a section of its own.
    init<Value>(_ name: String, _ place: WritableKeyPath<Target, Value>, _ section: Section<Value>) {
        shape = FieldShape(
            name: name, documentation: section.documentation, expectation: "a section",
            shape: .section(section.shape), isRequired: false, absent: nil)
        read = { node, target, context in
            section.read(node, into: &target[keyPath: place], owner: node.span, &context)
        }
        render = { section.render($0[keyPath: place]) }
    }

    /// A key that is a section of its own and may be left out.
    init<Value>(
        _ name: String, _ place: WritableKeyPath<Target, Value?>, _ section: Section<Value>, absent: String
    ) {
        shape = FieldShape(
            name: name, documentation: section.documentation, expectation: "a section",
            shape: .section(section.shape), isRequired: false, absent: absent)
        read = { node, target, context in
            var value = section.prototype
            section.read(node, into: &value, owner: node.span, &context)
            target[keyPath: place] = value
        }
        render = { $0[keyPath: place].map(section.render) }
    }
}

/// What is known of a key without its type.
struct FieldShape {
    var name: String
    var documentation: String
    var expectation: String
    var shape: Shape
    var isRequired: Bool
    var absent: String?
    var defaultValue: RenderedValue?
}

/// What is known of a section without its type.
struct SectionShape {
    var title: String
    var documentation: String
    var fields: [FieldShape]
}

struct Section<Target> {
    /// As in "unknown key … in \(title)".
    var title: String
    var documentation: String
    /// Holds the defaults.
    var prototype: Target
    var fields: [Field<Target>]
    /// Judges the keys together, once each was read; `owner` is the place to blame for what is missing.
    var judge: ((Node, inout Target, _ owner: SourceSpan, inout ReadingContext) -> Void)?
    /// Takes out what only has a meaning with other values of the same section.
    var trim: ((Target, RenderedValue) -> RenderedValue)?

    var shape: SectionShape {
        SectionShape(
            title: title, documentation: documentation,
            fields: fields.map { field in
                var shape = field.shape
                if !shape.isRequired { shape.defaultValue = field.render(prototype) }
                return shape
            })
    }

    /// Fills `target` with what the node says. `owner` is the place to blame for what is missing.
    func read(
        _ node: Node, into target: inout Target, owner: SourceSpan, _ context: inout ReadingContext
    ) {
        guard let entries = node.entries(expected: "a section with " + keyList, &context) else { return }
        for entry in entries {
            guard let field = fields.first(where: { $0.shape.name == entry.key }) else {
                reportUnknown(entry, &context)
                continue
            }
            if entry.value.isNull {
                context.report(
                    "\(entry.key.quotedForMessage) has no value", at: entry.keySpan,
                    expected: field.shape.expectation,
                    hint: field.shape.isRequired ? nil : "leave the key out for its default")
                continue
            }
            field.read(entry.value, &target, &context)
        }
        for field in fields where field.shape.isRequired {
            if entries.contains(where: { $0.key == field.shape.name }) { continue }
            context.report(
                "\(title) needs the key `\(field.shape.name)`", at: owner,
                expected: "`\(field.shape.name)`: \(field.shape.expectation)",
                showsSource: owner != .fileStart)
        }
        judge?(node, &target, owner, &context)
    }

    private func reportUnknown(_ entry: Node.Entry, _ context: inout ReadingContext) {
        let names = fields.map(\.shape.name)
        let suggestion = context.isFull ? nil : nearestSpelling(of: entry.key, among: names)
        context.report(
            "unknown key \(entry.key.quotedForMessage) in \(title)", at: entry.keySpan,
            expected: suggestion == nil ? keyList : nil,
            suggestion: suggestion)
    }

    /// All keys, for "expected …".
    private var keyList: String { alternatives(fields.map { "`\($0.shape.name)`" }) }

    func render(_ target: Target) -> RenderedValue {
        let rendered = RenderedValue.mapping(
            fields.compactMap { field in
                field.render(target).map { RenderedValue.Entry(key: field.shape.name, value: $0) }
            })
        return trim?(target, rendered) ?? rendered
    }
}

extension Node {
    /// The entries of the mapping that stands here; anything else is reported.
    func entries(expected: String, _ context: inout ReadingContext) -> [Entry]? {
        switch content {
        case .mapping(let entries): return entries
        case .invalid: return nil
        case .scalar, .sequence:
            context.report("found \(summary)", at: span, expected: expected)
            return nil
        }
    }
}

// MARK: - Sections by name

extension Section {
    /// A mapping from names to sections of this kind, at least one. `make` gives a section its name and
    /// place before its keys are read.
    func byName(
        _ noun: String, name: KeyPath<Target, String>,
        make: @escaping (String, SourcePosition) -> Target
    ) -> ValueType<[Target]> {
        ValueType<[Target]>(
            expectation: "\(noun)s by name", shape: .named(shape),
            reader: { node, expected, context in
                guard let entries = node.entries(expected: expected, &context) else { return nil }
                if entries.isEmpty {
                    context.report("there is no \(noun)", at: node.span, expected: "at least one \(noun)")
                }
                return entries.map { entry in
                    checkName(entry, of: noun, &context)
                    var target = make(entry.key, context.source.position(of: entry.keySpan.start))
                    if entry.value.isNull {
                        context.report(
                            "the \(noun) \(entry.key.quotedForMessage) has no keys", at: entry.keySpan,
                            expected: keyList)
                    } else {
                        read(entry.value, into: &target, owner: entry.keySpan, &context)
                    }
                    return target
                }
            },
            render: { targets in
                .mapping(
                    targets.map { RenderedValue.Entry(key: $0[keyPath: name], value: render($0)) })
            })
    }

    private func checkName(_ entry: Node.Entry, of noun: String, _ context: inout ReadingContext) {
        if Names.isValid(entry.key) { return }
        context.report(
            "\(entry.key.quotedForMessage) cannot name a \(noun)", at: entry.keySpan,
            expected: "1 to \(Names.limit) letters, digits, `_`, `-` or `.`, the first a letter or digit")
    }
}

/// What listeners and pools may be called: the names stand in logs, metrics and on command lines.
enum Names {
    static let limit = 64
    static let pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

    static func isValid(_ name: String) -> Bool {
        let scalars = name.unicodeScalars
        guard (1...limit).contains(scalars.count), let first = scalars.first else { return false }
        return !["_", "-", "."].contains(first)
            && scalars.allSatisfy { scalar in
                switch scalar {
                case "A"..."Z", "a"..."z", "0"..."9", "_", "-", ".": return true
                default: return false
                }
            }
    }
}
