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

    /// Written only where it is true.
    static var backup: ValueType<Bool> {
        ValueType<Bool>.truth.map({ $0 }, back: { $0 ? true : nil })
    }
}
