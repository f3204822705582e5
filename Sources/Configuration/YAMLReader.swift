// Turns the text of a file into a tree of nodes with libyaml's event parser. It keeps to the part of YAML
// that a configuration needs: one document of scalars, lists and mappings with text keys; anchors,
// aliases and tags are refused. Any bytes give a tree or errors with their place, never a trap.

import CLibyaml

struct YAMLReader {
    /// Bytes of the largest file.
    static let fileLimitBytes = 1 << 20
    /// The schema is six levels deep.
    static let depthLimit = 32

    /// Reads the bytes that `context.source` was decoded from, without a byte order mark. nil when the
    /// text is not YAML or has no document in it; the reason has been reported.
    static func read(_ bytes: [UInt8], into context: inout ReadingContext) -> Node? {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else {
            context.report("out of memory while reading YAML", at: .fileStart, showsSource: false)
            return nil
        }
        defer { yaml_parser_delete(parser) }

        return bytes.withUnsafeBufferPointer { buffer -> Node? in
            yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(parser, buffer.baseAddress, buffer.count)
            let reader = YAMLReader(parser: parser, bytes: buffer)
            do throws(Failure) {
                return try reader.readDocument(&context)
            } catch {
                context.report(
                    error.message, at: error.span, hint: error.hint, showsSource: error.showsSource)
                return nil
            }
        }
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeBufferPointer<UInt8>

    /// Ends the reading: what follows cannot be understood.
    private struct Failure: Error {
        var message: String
        var span: SourceSpan
        var hint: String?
        var showsSource = true
    }

    private struct Event {
        enum Kind {
            case streamStart, streamEnd, documentStart, documentEnd
            case scalar(Node.Scalar)
            case sequenceStart, sequenceEnd, mappingStart, mappingEnd
            case alias
        }
        var kind: Kind
        var span: SourceSpan
        var hasAnchor = false
        var hasTag = false
    }

    // MARK: - The tree

    private func readDocument(_ context: inout ReadingContext) throws(Failure) -> Node? {
        _ = try nextEvent(context.source)  // The start of the stream.
        let start = try nextEvent(context.source)
        guard case .documentStart = start.kind else {
            context.report(
                "the file is empty", at: .fileStart, expected: "at least `listeners` and `pools`",
                showsSource: false)
            return nil
        }
        let root = try readNode(from: nextEvent(context.source), depth: 0, &context)
        _ = try nextEvent(context.source)  // The end of the document.
        let end = try nextEvent(context.source)
        if case .documentStart = end.kind {
            throw Failure(
                message: "a second YAML document starts here; a configuration is one", span: end.span)
        }
        return root
    }

    private func readNode(
        from event: Event, depth: Int, _ context: inout ReadingContext
    ) throws(Failure) -> Node {
        if depth > Self.depthLimit {
            throw Failure(message: "nested more than \(Self.depthLimit) levels deep", span: event.span)
        }
        if event.hasAnchor {
            context.report(
                "YAML anchors are not supported", at: event.span, hint: "write the value where it is needed")
        }
        if event.hasTag {
            context.report("YAML tags are not supported", at: event.span, hint: "write the value without it")
        }
        switch event.kind {
        case .scalar(let scalar):
            return Node(content: event.hasTag ? .invalid : .scalar(scalar), span: event.span)
        case .sequenceStart:
            return try readSequence(from: event, depth: depth, &context)
        case .mappingStart:
            return try readMapping(from: event, depth: depth, &context)
        case .alias:
            context.report(
                "YAML aliases are not supported", at: event.span,
                hint: "write the value out; a text that starts with `*` needs quotes")
            return Node(content: .invalid, span: event.span)
        case .streamStart, .streamEnd, .documentStart, .documentEnd, .sequenceEnd, .mappingEnd:
            throw Failure(message: "invalid YAML: a value is missing", span: event.span)
        }
    }

    private func readSequence(
        from start: Event, depth: Int, _ context: inout ReadingContext
    ) throws(Failure) -> Node {
        var elements: [Node] = []
        while true {
            let event = try nextEvent(context.source)
            if case .sequenceEnd = event.kind { break }
            elements.append(try readNode(from: event, depth: depth + 1, &context))
        }
        return Node(content: .sequence(elements), span: start.span)
    }

    private func readMapping(
        from start: Event, depth: Int, _ context: inout ReadingContext
    ) throws(Failure) -> Node {
        var entries: [Node.Entry] = []
        var firstPlaces: [String: SourceSpan] = [:]
        while true {
            let event = try nextEvent(context.source)
            if case .mappingEnd = event.kind { break }
            let keyNode = try readNode(from: event, depth: depth + 1, &context)
            let value = try readNode(from: nextEvent(context.source), depth: depth + 1, &context)
            guard case .scalar(let key) = keyNode.content else {
                if case .invalid = keyNode.content { continue }
                context.report(
                    "\(keyNode.summary) cannot be a key", at: keyNode.span, expected: "a word",
                    hint: "a value that starts with `{` or `[` needs quotes")
                continue
            }
            if let first = firstPlaces[key.text] {
                context.report(
                    "duplicate key \(key.text.quotedForMessage)", at: keyNode.span,
                    hint: "it is first given in line \(context.line(of: first))")
                continue
            }
            firstPlaces[key.text] = keyNode.span
            entries.append(Node.Entry(key: key.text, keySpan: keyNode.span, value: value))
        }
        return Node(content: .mapping(entries), span: start.span)
    }

    // MARK: - libyaml

    private func nextEvent(_ source: SourceText) throws(Failure) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure(in: source) }
        defer { yaml_event_delete(&event) }
        let span = SourceSpan(start: Int(event.start_mark.index), end: Int(event.end_mark.index))
        switch event.type {
        case YAML_STREAM_START_EVENT: return Event(kind: .streamStart, span: span)
        case YAML_DOCUMENT_START_EVENT: return Event(kind: .documentStart, span: span)
        case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, span: span)
        case YAML_ALIAS_EVENT: return Event(kind: .alias, span: span)
        case YAML_SEQUENCE_END_EVENT: return Event(kind: .sequenceEnd, span: span)
        case YAML_MAPPING_END_EVENT: return Event(kind: .mappingEnd, span: span)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            return Event(
                kind: .sequenceStart, span: span, hasAnchor: start.anchor != nil, hasTag: start.tag != nil)
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            return Event(
                kind: .mappingStart, span: span, hasAnchor: start.anchor != nil, hasTag: start.tag != nil)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            let isQuoted = scalar.style != YAML_PLAIN_SCALAR_STYLE
            return Event(
                kind: .scalar(Node.Scalar(text: text, isQuoted: isQuoted)), span: span,
                hasAnchor: scalar.anchor != nil, hasTag: scalar.tag != nil)
        default: return Event(kind: .streamEnd, span: span)
        }
    }

    private func failure(in source: SourceText) -> Failure {
        let state = parser.pointee
        if state.error == YAML_MEMORY_ERROR {
            return Failure(message: "out of memory while reading YAML", span: .fileStart, showsSource: false)
        }
        if state.error == YAML_READER_ERROR {
            let offset = min(Int(state.problem_offset), bytes.count)
            let index = bytes[..<offset].count { $0 & 0xC0 != 0x80 }
            let code = index < source.scalars.count ? source.scalars[index].value : 0
            let digits = String(code, radix: 16, uppercase: true)
            let padding = String(repeating: "0", count: max(4 - digits.utf8.count, 0))
            return Failure(
                message: "the character U+\(padding)\(digits) is not allowed in YAML",
                span: SourceSpan(start: index, end: index + 1))
        }
        let index = Int(state.problem_mark.index)
        var message = "invalid YAML"
        if let problem = state.problem { message += ": " + String(cString: problem) }
        if let context = state.context { message += ", " + String(cString: context) }
        return Failure(
            message: message, span: SourceSpan(start: index, end: index + 1),
            hint: syntaxHint(at: index, startedAt: Int(state.context_mark.index), in: source))
    }

    /// The usual slips behind an error of YAML's syntax.
    private func syntaxHint(at index: Int, startedAt contextIndex: Int, in source: SourceText) -> String? {
        let character = index < source.scalars.count ? source.scalars[index] : "\n"
        let line = source.lineRange(around: index)
        let text = String(String.UnicodeScalarView(source.scalars[line]))
        let before = source.scalars[line.lowerBound..<min(max(index, line.lowerBound), line.upperBound)]
        if character == "\t" || before.contains("\t") && before.allSatisfy({ $0 == " " || $0 == "\t" }) {
            return "indent with spaces; YAML allows no tabs there"
        }
        if before.last == "*" || character == "*" {
            return "a text that starts with `*` needs quotes; for all addresses write `0.0.0.0:PORT`"
        }
        if ["@", "`", "%"].contains(character) {
            return "a text that starts with `\(character)` needs quotes"
        }
        let started = source.lineRange(around: contextIndex)
        for candidate in [text, String(String.UnicodeScalarView(source.scalars[started]))] {
            if candidate.contains("]:"), !candidate.contains("\"[") {
                return "an IPv6 address needs quotes: `\"[::]:8080\"`"
            }
            if candidate.contains("${"), candidate.contains("{ ") || candidate.contains("[") {
                return "between `{ }` or `[ ]` a `${NAME}` needs quotes"
            }
        }
        return nil
    }
}
