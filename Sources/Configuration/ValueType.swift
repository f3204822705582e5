// The kinds of value that a key can have. Each kind knows how to read a node, how to write the value back,
// and how to describe itself to people (`expectation`) and to the JSON Schema (`shape`). The key table in
// `Keys.swift` puts them together.

/// What the JSON Schema says about a value.
indirect enum Shape {
    case truth
    case integer(ClosedRange<Int>)
    /// Text that matches the regular expression (ECMA 262).
    case text(pattern: String)
    /// Any text; numbers, `true` and `false` without quotes are text here too.
    case anyText
    case choice([String])
    case either([Shape])
    case list(Shape, limit: Int)
    /// A mapping whose keys match the regular expression.
    case mapping(keys: String, values: Shape, limit: Int)
    case section(SectionShape)
    /// A mapping from names to sections.
    case named(SectionShape)
}

/// A value on its way into YAML; scalars are not quoted yet.
indirect enum RenderedValue: Equatable {
    case scalar(String)
    case list([RenderedValue])
    case mapping([Entry])

    struct Entry: Equatable {
        var key: String
        var value: RenderedValue
    }
}

struct ValueType<Value> {
    /// Completes "expected …"; also the type column of the reference.
    var expectation: String
    var shape: Shape
    /// Reads a node; the text is what to call expected, which may be more than this kind of value.
    /// Reports what is wrong and gives nil when there is no value.
    var reader: (Node, _ expected: String, inout ReadingContext) -> Value?
    /// nil for a value that is written by leaving the key out.
    var render: (Value) -> RenderedValue?

    func read(_ node: Node, _ context: inout ReadingContext) -> Value? {
        reader(node, expectation, &context)
    }

    /// A kind of value that is one scalar.
    static func scalar(
        expectation: String, shape: Shape,
        parse: @escaping (Node.Scalar) throws(TextProblem) -> Value,
        write: @escaping (Value) -> String
    ) -> Self {
        Self(
            expectation: expectation, shape: shape,
            reader: { node, expected, context in
                guard let scalar = node.scalar(expected: expected, &context) else { return nil }
                do throws(TextProblem) {
                    return try parse(scalar)
                } catch {
                    context.report(error, at: node.span, expected: expected)
                    return nil
                }
            },
            render: { .scalar(write($0)) })
    }
}

extension Node {
    /// The scalar that stands here; anything else is reported.
    func scalar(expected: String, _ context: inout ReadingContext) -> Scalar? {
        switch content {
        case .scalar(let scalar) where !scalar.isNull: return scalar
        case .invalid: return nil
        case .scalar, .sequence, .mapping:
            context.report("found \(summary)", at: span, expected: expected)
            return nil
        }
    }
}

// MARK: - Numbers

extension ValueType where Value == Int {
    static func wholeNumber(_ range: ClosedRange<Int>) -> Self {
        .scalar(
            expectation: "a whole number, \(range.lowerBound) to \(range.upperBound)",
            shape: .integer(range),
            parse: { scalar throws(TextProblem) in
                if scalar.isQuoted, !scalar.isExpanded {
                    throw TextProblem(message: "\(scalar.text.quotedForMessage) in quotes is text")
                }
                let number = try Quantities.wholeNumber(scalar.text)
                return try bounded(number, range, scalar.text)
            },
            write: { String($0) })
    }

    /// In bytes.
    static func size(_ range: ClosedRange<Int>) -> Self {
        let text = { Quantities.sizeText(bytes: UInt64(max($0, 0))) }
        return .scalar(
            expectation: "a size such as `16KiB`, \(text(range.lowerBound)) to \(text(range.upperBound))",
            shape: .either([.integer(range), .text(pattern: "^[0-9]+(KiB|MiB|GiB)?$")]),
            parse: { scalar throws(TextProblem) in
                try bounded(Quantities.size(scalar.text), range, scalar.text)
            },
            write: text)
    }
}

extension ValueType where Value == UInt64 {
    /// In nanoseconds.
    static func duration(_ range: ClosedRange<UInt64>) -> Self {
        .scalar(
            expectation: "a duration such as `500ms`, `10s` or `1h`, "
                + "\(Quantities.durationText(nanoseconds: range.lowerBound)) to "
                + Quantities.durationText(nanoseconds: range.upperBound),
            shape: .text(pattern: "^[0-9]+(us|ms|s|m|h|d)$"),
            parse: { scalar throws(TextProblem) in
                let value = try Quantities.duration(scalar.text)
                if range.contains(value) { return value }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) is out of range")
            },
            write: { Quantities.durationText(nanoseconds: $0) })
    }
}

extension ValueType where Value == Double {
    /// 0...1.
    static var share: Self {
        .scalar(
            expectation: "a share, `0%` to `100%`",
            shape: .text(pattern: "^[0-9]+(\\.[0-9]{1,4})?%$"),
            parse: { scalar throws(TextProblem) in try Quantities.share(scalar.text) },
            write: { Quantities.shareText($0) })
    }
}

extension ValueType where Value == Bool {
    /// `true` or `false`.
    static var truth: Self {
        .scalar(
            expectation: "`true` or `false`", shape: .truth,
            parse: { scalar throws(TextProblem) in
                if scalar.isQuoted, !scalar.isExpanded {
                    throw TextProblem(message: "\(scalar.text.quotedForMessage) in quotes is text")
                }
                switch scalar.text {
                case "true": return true
                case "false": return false
                case let text:
                    throw TextProblem(
                        message: "\(text.quotedForMessage) is neither `true` nor `false`",
                        suggestion: nearestSpelling(of: text, among: ["true", "false"]))
                }
            },
            write: { $0 ? "true" : "false" })
    }
}

private func bounded(
    _ number: UInt64, _ range: ClosedRange<Int>, _ text: String
) throws(TextProblem) -> Int {
    guard let value = Int(exactly: number), range.contains(value) else {
        throw TextProblem(message: "\(text.quotedForMessage) is out of range")
    }
    return value
}

// MARK: - Words

extension ValueType where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the words of an enum; `noun` names what the word chooses.
    static func choice(_ noun: String) -> Self {
        let words = Value.allCases.map(\.rawValue)
        return .scalar(
            expectation: alternatives(words.map { "`\($0)`" }),
            shape: .choice(words),
            parse: { scalar throws(TextProblem) in
                if let value = Value(rawValue: scalar.text) { return value }
                throw TextProblem(
                    message: "unknown \(noun) \(scalar.text.quotedForMessage)",
                    suggestion: nearestSpelling(of: scalar.text, among: words))
            },
            write: { $0.rawValue })
    }
}

/// "a", "a or b", "a, b or c".
func alternatives(_ items: [String]) -> String {
    guard let last = items.last, items.count > 1 else { return items.first ?? "" }
    return items.dropLast().joined(separator: ", ") + " or " + last
}

extension ValueType {
    /// A word that stands for one value, else another kind of value.
    func orWord(_ word: String, for value: Value, where isWord: @escaping (Value) -> Bool) -> Self {
        Self(
            expectation: "`\(word)` or \(expectation)", shape: .either([.choice([word]), shape]),
            reader: { node, expected, context in
                guard let scalar = node.scalar(expected: expected, &context) else { return nil }
                if scalar.text == word { return value }
                guard let suggestion = nearestSpelling(of: scalar.text, among: [word]) else {
                    return reader(node, expected, &context)
                }
                context.report(
                    "unknown word \(scalar.text.quotedForMessage)", at: node.span, expected: expected,
                    suggestion: suggestion)
                return nil
            },
            render: { isWord($0) ? .scalar(word) : render($0) })
    }

    /// The same where the other kind of value is free text, so that a neighbour of the word is no slip.
    func orExactWord(_ word: String, for value: Value, where isWord: @escaping (Value) -> Bool) -> Self {
        Self(
            expectation: expectation, shape: .either([.choice([word]), shape]),
            reader: { node, expected, context in
                guard let scalar = node.scalar(expected: expected, &context) else { return nil }
                return scalar.text == word ? value : reader(node, expected, &context)
            },
            render: { isWord($0) ? .scalar(word) : render($0) })
    }

    /// The same kind of value, as another type of Swift.
    func map<Other>(
        _ make: @escaping (Value) -> Other, back: @escaping (Other) -> Value?
    ) -> ValueType<Other> {
        ValueType<Other>(
            expectation: expectation, shape: shape,
            reader: { node, expected, context in reader(node, expected, &context).map(make) },
            render: { back($0).flatMap(render) })
    }

    /// A key that may be left out and then has no value.
    var optional: ValueType<Value?> { map({ $0 }, back: { $0 }) }
}

// MARK: - Lists

extension ValueType {
    /// A list with at least one element.
    func list(limit: Int, of noun: String) -> ValueType<[Value]> {
        ValueType<[Value]>(
            expectation: "a list of \(noun)", shape: .list(shape, limit: limit),
            reader: { node, expected, context in
                switch node.content {
                case .invalid: return nil
                case .sequence(let elements):
                    if elements.isEmpty {
                        context.report("the list is empty", at: node.span, expected: expected)
                        return nil
                    }
                    if elements.count > limit {
                        context.report(
                            "the list has \(elements.count) elements", at: node.span,
                            expected: "at most \(limit)")
                        return nil
                    }
                    return elements.compactMap { read($0, &context) }
                case .scalar, .mapping:
                    context.report("found \(node.summary)", at: node.span, expected: expected)
                    return nil
                }
            },
            render: { .list($0.compactMap(render)) })
    }

    /// One value, or a list of them.
    func oneOrList(limit: Int, of noun: String) -> ValueType<[Value]> {
        let many = list(limit: limit, of: noun)
        return ValueType<[Value]>(
            expectation: "\(expectation), or \(many.expectation)", shape: .either([shape, many.shape]),
            reader: { node, expected, context in
                if case .sequence = node.content { return many.reader(node, expected, &context) }
                return reader(node, expected, &context).map { [$0] }
            },
            render: { $0.count == 1 ? render($0[0]) : many.render($0) })
    }
}

extension ValueType where Value: Collection {
    /// A list that is written by leaving the key out when it is empty.
    var omittedWhenEmpty: Self { map({ $0 }, back: { $0.isEmpty ? nil : $0 }) }
}

// MARK: - Mappings

extension ValueType {
    /// A mapping with at least one entry, read into a list in the order of the file.
    static func mapping<Element>(
        expectation: String, keys: String, values: Shape, limit: Int,
        read: @escaping (Node.Entry, inout ReadingContext) -> Element?,
        write: @escaping (Element) -> RenderedValue.Entry
    ) -> Self where Value == [Element] {
        Self(
            expectation: expectation, shape: .mapping(keys: keys, values: values, limit: limit),
            reader: { node, expected, context in
                guard let entries = node.entries(expected: expected, &context) else { return nil }
                if entries.isEmpty {
                    context.report("the mapping is empty", at: node.span, expected: expected)
                    return nil
                }
                if entries.count > limit {
                    context.report(
                        "the mapping has \(entries.count) entries", at: node.span,
                        expected: "at most \(limit)")
                    return nil
                }
                return entries.compactMap { read($0, &context) }
            },
            render: { .mapping($0.map(write)) })
    }
}
