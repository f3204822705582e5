// What operators changed of backends while Weir runs, beside what the file says. The configuration in force is the
// file's with these changes applied; a reload takes on what the new file leaves untouched of them.
//
//   file + changes -> configuration in force -> another generation, as after a reload

/// One backend, as everybody calls it.
public struct BackendIdentity: Hashable, Sendable {
    public var pool: String
    public var name: String

    public init(pool: String, name: String) {
        (self.pool, self.name) = (pool, name)
    }
}

/// One thing that an operator asks for.
public enum RuntimeChange: Equatable, Sendable {
    case add(Backend, pool: String)
    case remove(BackendIdentity)
    case setState(BackendIdentity, OperatedState)
    case setWeight(BackendIdentity, Int)

    /// The backend that it is about.
    public var backend: BackendIdentity {
        switch self {
        case .add(let backend, let pool): BackendIdentity(pool: pool, name: backend.name)
        case .remove(let identity), .setState(let identity, _), .setWeight(let identity, _): identity
        }
    }
}

/// Why a change cannot be made.
public struct RuntimeChangeError: Error, Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// There is no such pool or backend.
        case unknown
        /// It contradicts what is there.
        case conflict
    }

    public var kind: Kind
    public var message: String
}

public struct RuntimeChanges: Equatable, Sendable {
    /// What differs of a backend that the file has.
    private struct Difference: Equatable {
        var state: OperatedState?
        var weight: Int?
        var isRemoved = false
    }

    private var differences: [BackendIdentity: Difference] = [:]
    /// In the order in which they came.
    private var added: [(pool: String, backend: Backend)] = []

    public init() {}

    public static func == (one: RuntimeChanges, other: RuntimeChanges) -> Bool {
        one.differences == other.differences && one.added.map(\.pool) == other.added.map(\.pool)
            && one.added.map(\.backend) == other.added.map(\.backend)
    }

    public var isEmpty: Bool { differences.isEmpty && added.isEmpty }
    /// Backends that are not as the file has them.
    public var count: Int { differences.count + added.count }

    // MARK: In force

    /// What the file says, with the changes.
    public func applied(to file: Configuration) -> Configuration {
        var result = file
        for index in result.pools.indices {
            let pool = result.pools[index].name
            result.pools[index].backends = result.pools[index].backends.compactMap { backend in
                guard let difference = differences[BackendIdentity(pool: pool, name: backend.name)] else {
                    return backend
                }
                if difference.isRemoved { return nil }
                var backend = backend
                backend.state = difference.state ?? backend.state
                backend.weight = difference.weight ?? backend.weight
                return backend
            }
            result.pools[index].backends += added.filter { $0.pool == pool }.map(\.backend)
        }
        return result
    }

    /// In which keys a backend in force differs from the file; `added` where the file does not have it.
    public func differingKeys(_ identity: BackendIdentity) -> [String] {
        if added.contains(where: { $0.pool == identity.pool && $0.backend.name == identity.name }) {
            return ["added"]
        }
        guard let difference = differences[identity] else { return [] }
        return (difference.state == nil ? [] : ["state"]) + (difference.weight == nil ? [] : ["weight"])
    }

    /// Backends of the file that are not in force.
    public func removed(from pool: String) -> [String] {
        differences.filter { $0.key.pool == pool && $0.value.isRemoved }.map(\.key.name).sorted()
    }

    // MARK: Making changes

    /// Makes a change of what is in force over `file`.
    ///
    /// - Throws: what makes it impossible; then nothing has changed.
    public mutating func make(
        _ change: RuntimeChange, over file: Configuration
    ) throws(RuntimeChangeError) {
        let now = applied(to: file)
        let identity = change.backend
        guard let pool = now.pools.first(where: { $0.name == identity.pool }) else {
            throw RuntimeChangeError(
                kind: .unknown,
                message: "there is no pool \(identity.pool.quotedForMessage)"
                    + Self.suggestion(identity.pool, among: now.pools.map(\.name)))
        }
        if case .add(let backend, _) = change {
            try add(backend, pool, file)
            return
        }
        guard let place = pool.backends.firstIndex(where: { $0.name == identity.name }) else {
            throw RuntimeChangeError(
                kind: .unknown,
                message: "pool \(pool.name) has no backend \(identity.name.quotedForMessage)"
                    + Self.suggestion(identity.name, among: pool.backends.map(\.name)))
        }
        var changed = pool
        switch change {
        case .add: break
        case .remove: changed.backends.remove(at: place)
        case .setState(_, let state): changed.backends[place].state = state
        case .setWeight(_, let weight): changed.backends[place].weight = weight
        }
        try Self.check(changed)
        note(change, identity, of: file)
    }

    private mutating func add(
        _ backend: Backend, _ pool: Pool, _ file: Configuration
    ) throws(RuntimeChangeError) {
        if pool.backends.contains(where: { $0.name == backend.name }) {
            throw RuntimeChangeError(
                kind: .conflict,
                message: "pool \(pool.name) has a backend \(backend.name.quotedForMessage) already")
        }
        var changed = pool
        changed.backends.append(backend)
        try Self.check(changed)
        let identity = BackendIdentity(pool: pool.name, name: backend.name)
        if let ofFile = file.backend(identity), ofFile.withoutPosition == backend.withoutPosition {
            // Removed before, and back as it was.
            differences[identity] = nil
        } else {
            added.append((pool.name, backend))
        }
    }

    private mutating func note(_ change: RuntimeChange, _ identity: BackendIdentity, of file: Configuration) {
        if let place = added.firstIndex(where: {
            $0.pool == identity.pool && $0.backend.name == identity.name
        }) {
            switch change {
            case .add: break
            case .remove: added.remove(at: place)
            case .setState(_, let state): added[place].backend.state = state
            case .setWeight(_, let weight): added[place].backend.weight = weight
            }
            return
        }
        let ofFile = file.backend(identity)
        var difference = differences[identity] ?? Difference()
        switch change {
        case .add: break
        case .remove: difference = Difference(isRemoved: true)
        case .setState(_, let state): difference.state = state == ofFile?.state ? nil : state
        case .setWeight(_, let weight): difference.weight = weight == ofFile?.weight ? nil : weight
        }
        differences[identity] = difference == Difference() ? nil : difference
    }

    /// What would be wrong in a file as well.
    private static func check(_ pool: Pool) throws(RuntimeChangeError) {
        func refuse(_ message: String) throws(RuntimeChangeError) {
            throw RuntimeChangeError(kind: .conflict, message: message)
        }
        if pool.backends.isEmpty {
            try refuse("it is the last backend of pool \(pool.name); disable it instead")
        }
        if pool.backends.count > Keys.backendLimit {
            try refuse("pool \(pool.name) has as many backends as a pool may have")
        }
        if pool.backends.allSatisfy({ $0.weight == 0 }) {
            try refuse("all backends of pool \(pool.name) would have weight 0, so none would take a session")
        }
        if pool.backends.allSatisfy(\.isBackup) {
            try refuse("all backends of pool \(pool.name) would be backups")
        }
        let weight = pool.backends.reduce(0) { $0 + $1.weight }
        if pool.balance == .consistentHash, pool.hash?.algorithm == .ketama,
            weight > Validation.ketamaWeightLimit
        {
            try refuse(
                "the weights of pool \(pool.name) would add up to \(weight), and a `ketama` ring has "
                    + "\(Validation.ketamaWeightLimit) at most")
        }
    }

    private static func suggestion(_ name: String, among names: [String]) -> String {
        nearestSpelling(of: name, among: names).map { "; did you mean \($0.quotedForMessage)?" } ?? ""
    }

    // MARK: Reload

    /// What is left of the changes when another file holds: what it still names and has not changed itself. A change
    /// that would leave a pool without anybody goes with the others of that pool.
    public func carried(from old: Configuration, to new: Configuration) -> RuntimeChanges {
        var result = RuntimeChanges()
        result.differences = differences.filter { identity, _ in
            guard let before = old.backend(identity), let after = new.backend(identity) else { return false }
            return before.withoutPosition == after.withoutPosition
        }
        // One that replaced a backend of the file stays where it did so.
        result.added = added.filter { pool, backend in
            let identity = BackendIdentity(pool: pool, name: backend.name)
            guard new.pools.contains(where: { $0.name == pool }) else { return false }
            return new.backend(identity) == nil || result.differences[identity]?.isRemoved == true
        }
        result.dropWhatCannotBe(over: new)
        return result
    }

    private mutating func dropWhatCannotBe(over file: Configuration) {
        for pool in applied(to: file).pools {
            do throws(RuntimeChangeError) { try Self.check(pool) } catch { forget(pool: pool.name) }
        }
    }

    private mutating func forget(pool: String) {
        differences = differences.filter { $0.key.pool != pool }
        added.removeAll { $0.pool == pool }
    }
}

// For the process that takes this one's place.
extension RuntimeChanges {
    /// Of each backend that differs: its pool, its name, what the file says of it and what is in force, as a file has it;
    /// empty where there is none.
    public func words(over file: Configuration) -> [[String]] {
        let now = applied(to: file)
        var identities = Set(differences.keys)
        for (pool, backend) in added { identities.insert(BackendIdentity(pool: pool, name: backend.name)) }
        return identities.map { identity in
            [identity.pool, identity.name]
                + [file, now].map { $0.backend(identity).map(\.text) ?? "" }
        }
    }

    /// What `words` said, over the file as it is now: as `carried`.
    public init(_ words: [[String]], over file: Configuration) {
        self.init()
        for line in words where line.count == 4 { take(line, file) }
        dropWhatCannotBe(over: file)
    }

    private mutating func take(_ words: [String], _ file: Configuration) {
        let identity = BackendIdentity(pool: words[0], name: words[1])
        let ofFile = file.backend(identity)
        guard file.pools.contains(where: { $0.name == identity.pool }), (ofFile?.text ?? "") == words[2]
        else {
            return
        }
        guard let now = try? Backend.read(Array(words[3].utf8), file: "") else {
            if ofFile != nil { differences[identity] = Difference(isRemoved: true) }
            return
        }
        var alike = now
        if let ofFile { (alike.state, alike.weight) = (ofFile.state, ofFile.weight) }
        if let ofFile, alike.text == ofFile.text {
            note(.setState(identity, now.state), identity, of: file)
            note(.setWeight(identity, now.weight), identity, of: file)
        } else {
            if ofFile != nil { differences[identity] = Difference(isRemoved: true) }
            added.append((identity.pool, now))
        }
    }
}

extension Configuration {
    /// The one of this name; nil where there is none.
    public func backend(_ identity: BackendIdentity) -> Backend? {
        pools.first { $0.name == identity.pool }?.backends.first { $0.name == identity.name }
    }

    /// The pool of a backend that is named without it.
    ///
    /// - Throws: where none or several pools have a backend of this name.
    public func pool(ofBackend name: String) throws(RuntimeChangeError) -> String {
        let having = pools.filter { pool in pool.backends.contains { $0.name == name } }.map(\.name)
        if having.count == 1 { return having[0] }
        if having.isEmpty {
            let nearest = nearestSpelling(of: name, among: pools.flatMap { $0.backends.map(\.name) })
            let hint = nearest.map { "; did you mean \($0.quotedForMessage)?" } ?? ""
            throw RuntimeChangeError(
                kind: .unknown, message: "no pool has a backend \(name.quotedForMessage)\(hint)")
        }
        throw RuntimeChangeError(
            kind: .conflict,
            message: "\(having.count) pools have a backend \(name.quotedForMessage): "
                + having.joined(separator: ", ") + "; say which one")
    }
}

extension Backend {
    /// As equal as two can be that stand at different places of a file.
    fileprivate var withoutPosition: Backend {
        var backend = self
        backend.position = SourcePosition(line: 0, column: 0)
        return backend
    }

    /// As a section of a file, in one line.
    fileprivate var text: String { YAMLWriter.inline(Keys.backendSection.render(self)) }

    /// Reads a backend as a section of a file has it; JSON is such a section.
    ///
    /// - Throws: everything that is wrong with it, with its place in the text.
    public static func read(_ text: [UInt8], file: String) throws(ConfigurationErrors) -> Backend {
        var context = ReadingContext(source: SourceText(file: file, decoding: text))
        var backend = Keys.backendSection.prototype
        if let invalid = context.source.firstInvalid {
            context.report("the text is not UTF-8", at: SourceSpan(start: invalid, end: invalid + 1))
        } else if let node = YAMLReader.read(text, into: &context) {
            Keys.backendSection.read(node, into: &backend, owner: node.span, &context)
            if backend.name.isEmpty { backend.name = node.scalarText(at: "address") ?? "" }
        }
        if context.errorCount > 0 { throw context.collected() }
        return backend
    }
}
