// The routes of a listener as they are given to be compiled. `RouterBuilder` takes them; what is impossible
// was refused when the configuration was read.

/// One route: what a request must be, and what happens to it.
public struct RouteDefinition: Sendable {
    public enum Host: Hashable, Sendable {
        case any
        /// In lower case.
        case exact(String)
        /// Any name that ends in a dot and this; in lower case.
        case below(String)
    }

    public enum Path: Hashable, Sendable {
        case any
        case exact(String)
        /// This, and what begins with this and `/`.
        case below(String)
    }

    /// A header (name in lower case) or query parameter.
    public struct Condition: Sendable {
        public var name: String
        /// nil for any value.
        public var value: String?

        public init(name: String, value: String?) {
            self.name = name
            self.value = value
        }
    }

    public struct Share: Sendable {
        public var pool: UInt16
        public var millionths: Int

        public init(pool: UInt16, millionths: Int) {
            self.pool = pool
            self.millionths = millionths
        }
    }

    public enum Action: Sendable {
        case pool(UInt16)
        /// The shares sum to 1,000,000. `stickyPool` is the pool whose hash key the split sticks by.
        case split([Share], stickyPool: UInt16?)
        case redirect(location: String, status: Int)
        case respond(status: Int, body: String, contentType: String)
    }

    public struct Header: Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Changes to the headers of a message.
    public struct MessageChanges: Sendable {
        public var set: [Header]
        public var added: [Header]
        public var removed: [String]

        public init(set: [Header] = [], added: [Header] = [], removed: [String] = []) {
            self.set = set
            self.added = added
            self.removed = removed
        }
    }

    public var host = Host.any
    public var path = Path.any
    /// Empty for any.
    public var methods: [String] = []
    public var headers: [Condition] = []
    public var query: [Condition] = []
    public var action: Action
    public var requestHeaders = MessageChanges()
    public var responseHeaders = MessageChanges()
    /// Empty for none; else it starts with `/` and does not end in one.
    public var stripPrefix = ""
    public var addPrefix = ""

    public init(action: Action) {
        self.action = action
    }
}
