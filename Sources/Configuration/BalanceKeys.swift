// The keys that say how a pool chooses a backend; `Keys.swift` has the rest of the table.

extension Keys {
    static let boundRangePercent = 100...1_000

    static var hash: Section<HashSettings> {
        let key = ValueType<HashKey>.scalar(
            expectation: "`client_ip`, `path`, `uri`, `header:NAME`, `cookie:NAME` or `query:NAME`",
            shape: .either([
                .choice(["client_ip", "path", "uri"]), .text(pattern: "^(header|cookie|query):.+$"),
            ]),
            parse: { scalar throws(TextProblem) in try HTTPText.hashKey(scalar.text) },
            write: { $0.description })
        return Section(
            title: "`hash`", documentation: "What sessions and requests stick by.",
            prototype: HashSettings(key: .clientAddress),
            fields: [
                Field(
                    "key", \.key, key, isRequired: true,
                    "What `consistent_hash` chooses by; also, a `split` sends the same key to the same pool."),
                Field(
                    "fallback", \.fallback, key,
                    "Where a request lacks the key; where it lacks this too, the client's address."),
                Field(
                    "algorithm", \.algorithm, .choice("algorithm"),
                    "With `consistent_hash`: `maglev` spreads more evenly; with `ketama` no key moves but those "
                        + "of a backend that comes or goes."),
                Field(
                    "bounded_load", \.boundedLoadPercent, percentage(boundRangePercent).optional,
                    absent: "no bound",
                    "With `consistent_hash`: a backend with more than this much of its share of the sessions "
                        + "is passed over."),
            ])
    }

    static let probeRateRange = 1...10_000

    static var prequal: Section<PrequalSettings> {
        let path = ValueType<String>.scalar(
            expectation: "a path such as `/load`", shape: .text(pattern: "^/[!-~]*$"),
            parse: { scalar throws(TextProblem) in
                if scalar.text.hasPrefix("/"), HTTPText.isVisible(scalar.text), !scalar.text.contains("#") {
                    return scalar.text
                }
                throw TextProblem(message: "\(scalar.text.quotedForMessage) is not a path")
            },
            write: { $0 })
        return Section(
            title: "`prequal`",
            documentation: "With `balance: prequal`: how backends are asked for their load.",
            prototype: PrequalSettings(path: ""),
            fields: [
                Field(
                    "path", \.path, path, isRequired: true,
                    "With `balance: prequal`: where a backend tells its load, as docs/prequal.md says."),
                Field(
                    "rate", \.probesPerSecond, .wholeNumber(probeRateRange),
                    "With `balance: prequal`: probes a second at most; up to there, one for each request."),
            ])
    }

    /// Written only where it is true.
    static var backup: ValueType<Bool> {
        ValueType<Bool>.truth.map({ $0 }, back: { $0 ? true : nil })
    }

    /// Written only where it is another than usual.
    static var operatedState: ValueType<OperatedState> {
        ValueType<OperatedState>.choice("state").map({ $0 }, back: { $0 == .enabled ? nil : $0 })
    }
}
