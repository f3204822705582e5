// What one run of the reader gathers beside the configuration itself: errors, and the places of names and
// addresses that validation compares once the whole file is read.

struct ReadingContext {
    /// More errors than this are only counted, so that a broken file of a megabyte stays cheap.
    static let errorLimit = 500

    /// A listener that names a pool.
    struct PoolReference {
        var pool: String
        var span: SourceSpan
    }

    /// An address that a listener binds.
    struct BoundAddress {
        var address: Address
        var span: SourceSpan
    }

    /// What a backend is called, given or by its address.
    struct BackendName {
        var name: String
        var span: SourceSpan
    }

    /// A route that could be read.
    struct RoutePlace {
        var match: RouteMatch
        var span: SourceSpan
    }

    let source: SourceText
    private var errors: [(index: Int, error: ConfigurationError)] = []
    private var omitted = 0
    var poolReferences: [PoolReference] = []
    var boundAddresses: [BoundAddress] = []
    /// Of the pool that is being read.
    var backendNames: [BackendName] = []
    /// Of the listener that is being read.
    var routes: [RoutePlace] = []

    init(source: SourceText) {
        self.source = source
    }

    /// Errors reported so far.
    var errorCount: Int { errors.count + omitted }

    /// True when further errors are only counted.
    var isFull: Bool { errors.count >= Self.errorLimit }

    /// The line where a span starts, counted from 1.
    func line(of span: SourceSpan) -> Int { source.position(of: span.start).line }

    mutating func report(
        _ message: String, at span: SourceSpan, expected: String? = nil, suggestion: String? = nil,
        hint: String? = nil, showsSource: Bool = true
    ) {
        if isFull {
            omitted += 1
            return
        }
        let error = ConfigurationError(
            file: source.file, position: source.position(of: span.start), message: message,
            expected: expected, suggestion: suggestion, hint: hint,
            excerpt: showsSource ? source.excerpt(of: span) : nil)
        errors.append((span.start, error))
    }

    mutating func report(_ problem: TextProblem, at span: SourceSpan, expected: String?) {
        report(
            problem.message, at: span, expected: problem.isComplete ? nil : expected,
            suggestion: problem.suggestion, hint: problem.hint)
    }

    /// All errors so far in the order of the file.
    func collected() -> ConfigurationErrors {
        // The sort of the standard library is stable, though not by its contract: the offset keeps it so.
        let sorted = errors.enumerated().sorted {
            ($0.element.index, $0.offset) < ($1.element.index, $1.offset)
        }
        return ConfigurationErrors(errors: sorted.map(\.element.error), omitted: omitted)
    }
}

/// Why a text is not the value that it should be. Thrown by the readers of single values, which know
/// nothing of places.
struct TextProblem: Error, Equatable {
    var message: String
    var suggestion: String?
    var hint: String?
    /// True when the message says it all, so that "expected …" would only repeat.
    var isComplete = false
}
