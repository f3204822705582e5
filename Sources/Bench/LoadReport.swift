// What a run came to, as text for a terminal and as JSON for a program.

public struct LoadReport {
    let options: LoadOptions
    let engine: String
    var counts = LoadCounts()
    let histogram = HistogramBox()
    var wasInterrupted = false

    init(_ options: LoadOptions, engine: String) {
        self.options = options
        self.engine = engine
    }

    /// Whether any request was answered as it should be.
    public var hasAnswers: Bool { counts.answered > 0 }

    private var seconds: Double { Double(counts.elapsedNanoseconds) / 1e9 }
    private var requestsPerSecond: Double { seconds > 0 ? Double(counts.answeredInTime) / seconds : 0 }

    private static let percentiles: [(name: String, key: String, percent: Double)] = [
        ("p50", "p50", 50), ("p75", "p75", 75), ("p90", "p90", 90), ("p99", "p99", 99),
        ("p99.9", "p99_9", 99.9), ("p99.99", "p99_99", 99.99),
    ]

    // MARK: Text

    public func text() -> String {
        var lines = ["\(kind) to \(options.target.text), \(options.connections) connections, \(engine)"]
        if wasInterrupted { lines.append("  interrupted; this is what there was") }
        lines.append(
            "  requests    \(counts.answered) answered in \(fixed(seconds, 2)) s, "
                + "\(fixed(requestsPerSecond, 1)) a second")
        if counts.unfinished > 0 {
            lines.append("  unfinished  \(counts.unfinished) begun or due, without an answer")
        }
        lines.append("  errors      \(errorText)")
        lines.append("  latency     " + latencyText)
        lines.append("  bytes       \(counts.bytesReceived) received, \(counts.bytesSent) sent")
        lines.append("  sockets     \(counts.connections) connections made")
        if options.slowReaders > 0 {
            lines.append("  slow        \(counts.slowAnswered) answers read by slow readers")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var kind: String {
        let loop = options.rate.map { "open loop, \(fixed($0, 1)) a second," } ?? "closed loop,"
        return "\(loop) \(options.mode.rawValue)\(options.isFresh ? ", fresh connections" : "")"
    }

    private var errorText: String {
        let kinds = ErrorKind.allCases.filter { counts.count($0) > 0 }
        return kinds.isEmpty ? "none" : kinds.map { "\($0.name) \(counts.count($0))" }.joined(separator: ", ")
    }

    private var latencyText: String {
        let durations =
            [("mean", UInt64(histogram.value.mean))]
            + Self.percentiles.prefix(5).map { ($0.name, histogram.value.percentile($0.percent)) }
            + [("max", histogram.value.maximum)]
        return durations.map { "\($0.0) \(Self.durationText($0.1))" }.joined(separator: "  ")
    }

    private static func durationText(_ nanoseconds: UInt64) -> String {
        let value = Double(nanoseconds)
        if value < 1e3 { return "\(nanoseconds)ns" }
        if value < 1e6 { return fixed(value / 1e3, 1) + "us" }
        if value < 1e9 { return fixed(value / 1e6, 2) + "ms" }
        return fixed(value / 1e9, 2) + "s"
    }

    // MARK: JSON

    public func json() -> String {
        let errors = ErrorKind.allCases.filter { counts.count($0) > 0 }.map {
            ($0.name, "\(counts.count($0))")
        }
        return object([
            ("mode", quoted(options.mode.rawValue)), ("target", quoted(options.target.text)),
            ("engine", quoted(engine)), ("connections", "\(options.connections)"),
            ("threads", "\(options.threads)"), ("fresh", "\(options.isFresh)"),
            ("rate", options.rate.map { fixed($0, 3) } ?? "null"), ("interrupted", "\(wasInterrupted)"),
            ("seconds", fixed(seconds, 6)), ("answered", "\(counts.answered)"),
            ("answered_in_time", "\(counts.answeredInTime)"),
            ("requests_per_second", fixed(requestsPerSecond, 3)), ("unfinished", "\(counts.unfinished)"),
            ("warmed_up", "\(counts.warmedUp)"),
            ("slow_answered", "\(counts.slowAnswered)"), ("error_count", "\(counts.errorCount)"),
            ("errors", object(errors)), ("connections_made", "\(counts.connections)"),
            ("bytes_received", "\(counts.bytesReceived)"), ("bytes_sent", "\(counts.bytesSent)"),
            ("latency_us", object(latencyFields)), ("histogram_us", histogramText),
        ]) + "\n"
    }

    private var latencyFields: [(String, String)] {
        let count = histogram.value.count
        var fields = [("count", "\(count)"), ("mean", microseconds(UInt64(histogram.value.mean)))]
        fields.append(("min", microseconds(count == 0 ? 0 : histogram.value.minimum)))
        for (_, key, percent) in Self.percentiles {
            fields.append((key, microseconds(histogram.value.percentile(percent))))
        }
        return fields + [("max", microseconds(histogram.value.maximum))]
    }

    /// `[up to, count]` for each range that has any.
    private var histogramText: String {
        let ranges = histogram.value.summary().map { "[\(microseconds($0.upTo)),\($0.count)]" }
        return "[" + ranges.joined(separator: ",") + "]"
    }

    private func microseconds(_ nanoseconds: UInt64) -> String { fixed(Double(nanoseconds) / 1e3, 3) }
}
