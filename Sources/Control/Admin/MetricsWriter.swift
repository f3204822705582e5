// Writes metrics as text: Prometheus' exposition format 0.0.4, or OpenMetrics 1.0, which differs in how counters are
// announced and in its end. https://prometheus.io/docs/instrumenting/exposition_formats/,
// https://prometheus.io/docs/specs/om/open_metrics_spec/

struct MetricsWriter {
    enum Kind: String {
        case counter, gauge, histogram, summary, info
    }

    /// Labels as they stand between the braces, escaped once for all samples that have them.
    struct Labels {
        static let none = Labels()

        fileprivate var octets: [UInt8] = []

        init(_ pairs: (name: StaticString, value: String)...) {
            for pair in pairs { add(pair.name, pair.value) }
        }

        /// The same and one more.
        func with(_ name: StaticString, _ value: String) -> Labels {
            var labels = self
            labels.add(name, value)
            return labels
        }

        private mutating func add(_ name: StaticString, _ value: String) {
            if !octets.isEmpty { octets.append(UInt8(ascii: ",")) }
            octets.append(name)
            octets += "=\"".utf8
            for octet in value.utf8 {
                switch octet {
                case UInt8(ascii: "\\"): octets += "\\\\".utf8
                case UInt8(ascii: "\""): octets += "\\\"".utf8
                case UInt8(ascii: "\n"): octets += "\\n".utf8
                default: octets.append(octet)
                }
            }
            octets.append(UInt8(ascii: "\""))
        }
    }

    private let isOpenMetrics: Bool
    private var octets: [UInt8] = []
    private var family: StaticString = ""
    private var suffix: StaticString = ""

    init(isOpenMetrics: Bool) {
        self.isOpenMetrics = isOpenMetrics
        octets.reserveCapacity(1 << 16)
    }

    var contentType: StaticString {
        isOpenMetrics
            ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
            : "text/plain; version=0.0.4; charset=utf-8"
    }

    /// The text.
    mutating func finish() -> [UInt8] {
        if isOpenMetrics { octets += "# EOF\n".utf8 }
        return octets
    }

    /// Begins a family: its samples follow. The name is without the `_total` of a counter and the `_info` of an info.
    mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        family = name
        suffix =
            switch kind {
            case .counter: "_total"
            case .info: "_info"
            case .gauge, .histogram, .summary: ""
            }
        announce("HELP")
        octets.append(help)
        octets.append(UInt8(ascii: "\n"))
        announce("TYPE")
        // Prometheus' own format has no type for infos.
        octets += (kind == .info && !isOpenMetrics ? Kind.gauge : kind).rawValue.utf8
        octets.append(UInt8(ascii: "\n"))
    }

    private mutating func announce(_ word: StaticString) {
        octets += "# ".utf8
        octets.append(word)
        octets.append(UInt8(ascii: " "))
        octets.append(family)
        if !isOpenMetrics { octets.append(suffix) }
        octets.append(UInt8(ascii: " "))
    }

    /// A sample of the family; `part` is what a histogram's or summary's name ends in.
    mutating func sample(_ labels: Labels, part: StaticString? = nil, _ value: some BinaryInteger) {
        begin(labels, part)
        octets += String(value).utf8
        octets.append(UInt8(ascii: "\n"))
    }

    /// The same, of a duration, in seconds.
    mutating func sample(_ labels: Labels, part: StaticString? = nil, microseconds: UInt64) {
        begin(labels, part)
        octets += Self.seconds(microseconds).utf8
        octets.append(UInt8(ascii: "\n"))
    }

    private mutating func begin(_ labels: Labels, _ part: StaticString?) {
        octets.append(family)
        octets.append(part ?? suffix)
        if !labels.octets.isEmpty {
            octets.append(UInt8(ascii: "{"))
            octets += labels.octets
            octets.append(UInt8(ascii: "}"))
        }
        octets.append(UInt8(ascii: " "))
    }

    /// Exact, with at least one digit behind the point.
    static func seconds(_ microseconds: UInt64) -> String {
        var fraction = String(1_000_000 + microseconds % 1_000_000).dropFirst()
        while fraction.count > 1, fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(microseconds / 1_000_000).\(fraction)"
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ text: StaticString) {
        self += UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }
}
