// The JSON Schema of the configuration file, made from the key table. It is kept as
// configs/weir.schema.json, where editors find it; it knows shapes and bounds, the reader knows the rest.

/// The JSON Schema (draft 2020-12) of the configuration file.
public enum JSONSchema {
    /// The schema as JSON text, ending in a line end.
    public static func text() -> String {
        var root: [JSON.Member] = [
            .init("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
            .init("title", .string("Weir configuration")),
        ]
        root += members(of: Keys.file.shape)
        let variable: [JSON.Member] = [
            .init("description", .string("A text with an environment variable in it.")),
            .init("type", .string("string")),
            .init("pattern", .string("\\$\\{")),
        ]
        root.append(.init("$defs", .object([.init("variable", .object(variable))])))
        return JSON.object(root).text() + "\n"
    }

    private static func members(of section: SectionShape) -> [JSON.Member] {
        let required = section.fields.filter(\.isRequired).map { JSON.string($0.name) }
        var members: [JSON.Member] = [
            .init("description", .string(section.documentation)),
            .init("type", .string("object")),
            .init("additionalProperties", .boolean(false)),
        ]
        if !required.isEmpty { members.append(.init("required", .array(required))) }
        members.append(
            .init("properties", .object(section.fields.map { .init($0.name, schema(of: $0)) })))
        return members
    }

    private static func schema(of field: FieldShape) -> JSON {
        if case .section(let section) = field.shape { return .object(members(of: section)) }
        var members: [JSON.Member] = [.init("description", .string(field.documentation))]
        if case .scalar(let text)? = field.defaultValue, !text.isEmpty {
            members.append(.init("default", Int(text).map(JSON.integer) ?? .string(text)))
        }
        switch field.shape {
        case .named, .list, .mapping, .section: members += self.members(of: field.shape)
        case .either(let shapes): members.append(alternatives(flattened(shapes)))
        case .truth, .integer, .text, .anyText, .choice: members.append(alternatives([field.shape]))
        }
        return .object(members)
    }

    /// Any of the shapes, or an environment variable in place of a scalar.
    private static func alternatives(_ shapes: [Shape]) -> JSON.Member {
        let variable = JSON.object([.init("$ref", .string("#/$defs/variable"))])
        return .init("anyOf", .array(shapes.map { .object(members(of: $0)) } + [variable]))
    }

    private static func flattened(_ shapes: [Shape]) -> [Shape] {
        shapes.flatMap { shape in
            if case .either(let inner) = shape { return flattened(inner) }
            return [shape]
        }
    }

    private static func members(of shape: Shape) -> [JSON.Member] {
        switch shape {
        case .truth: return [.init("type", .string("boolean"))]
        case .integer(let range):
            return [
                .init("type", .string("integer")), .init("minimum", .integer(range.lowerBound)),
                .init("maximum", .integer(range.upperBound)),
            ]
        case .text(let pattern):
            return [.init("type", .string("string")), .init("pattern", .string(pattern))]
        case .anyText:
            return [.init("type", .array(["string", "number", "boolean"].map(JSON.string)))]
        case .choice(let words): return [.init("enum", .array(words.map(JSON.string)))]
        case .either(let shapes): return [alternatives(flattened(shapes))]
        case .list(let element, let limit):
            let isScalar =
                switch element {
                case .truth, .integer, .text, .anyText, .choice: true
                case .either, .list, .mapping, .section, .named: false
                }
            let items = isScalar ? [alternatives([element])] : members(of: element)
            return [
                .init("type", .string("array")), .init("minItems", .integer(1)),
                .init("maxItems", .integer(limit)), .init("items", .object(items)),
            ]
        case .mapping(let keys, let values, let limit):
            return [
                .init("type", .string("object")), .init("minProperties", .integer(1)),
                .init("maxProperties", .integer(limit)),
                .init("propertyNames", .object([.init("pattern", .string(keys))])),
                .init("additionalProperties", .object([alternatives(flattened([values]))])),
            ]
        case .section(let section): return members(of: section)
        case .named(let section):
            return [
                .init("type", .string("object")), .init("minProperties", .integer(1)),
                .init("propertyNames", .object([.init("pattern", .string(Names.pattern))])),
                .init("additionalProperties", .object(members(of: section))),
            ]
        }
    }
}
