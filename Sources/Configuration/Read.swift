// The way in: the bytes of a file become a `Configuration`, or all that is wrong with it. `weir check`,
// the start and each reload call it; it does no I/O and asks the environment only through its argument.

extension Configuration {
    /// Reads a configuration file.
    ///
    /// - Parameters:
    ///   - text: the file's bytes, UTF-8, at most 1 MiB.
    ///   - file: the name that errors show.
    ///   - environment: the value of an environment variable, nil when it is not set.
    /// - Throws: all errors of the file, sorted by position.
    public static func read(
        _ text: [UInt8], file: String, environment: (String) -> String?
    ) throws(ConfigurationErrors) -> Configuration {
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let bytes = text.starts(with: byteOrderMark) ? Array(text.dropFirst(3)) : text
        let isTooLarge = bytes.count > YAMLReader.fileLimitBytes
        let source = SourceText(file: file, decoding: isTooLarge ? [] : bytes)
        var context = ReadingContext(source: source)
        if isTooLarge {
            let limit = Quantities.sizeText(bytes: UInt64(YAMLReader.fileLimitBytes))
            context.report(
                "the file is larger than \(limit)", at: .fileStart, showsSource: false)
            throw context.collected()
        }
        if let invalid = source.firstInvalid {
            context.report("the text is not UTF-8", at: SourceSpan(start: invalid, end: invalid + 1))
            throw context.collected()
        }
        guard let tree = YAMLReader.read(bytes, into: &context) else { throw context.collected() }
        let root = EnvironmentExpansion.expand(tree, environment: environment, into: &context)

        var configuration = Configuration()
        Keys.file.read(root, into: &configuration, owner: .fileStart, &context)
        Validation.check(pools: root.keys(at: "pools"), &context)
        Validation.checkUseOfRequests(configuration, root, &context)
        if context.errorCount > 0 { throw context.collected() }
        return configuration
    }

    /// Places in the file that are not wrong but probably not meant, as lines for a terminal.
    public func warnings(file: String) -> [String] {
        let used = Set(listeners.flatMap(\.usedPools))
        return pools.filter { !used.contains($0.name) }.map { pool in
            "\(file):\(pool.position.line):\(pool.position.column): warning: "
                + "no listener uses the pool \(pool.name.quotedForMessage)"
        }
    }
}

extension Listener {
    /// Every pool that the listener or a route of it names.
    public var usedPools: [String] {
        var names = pool.map { [$0] } ?? []
        for route in routes {
            switch route.action {
            case .pool(let name): names.append(name)
            case .split(let shares): names += shares.map(\.pool)
            case .redirect, .respond: break
            }
        }
        return names
    }
}

extension Node {
    /// The keys of the mapping that is the value of `key`, nil when there is none.
    fileprivate func keys(at key: String) -> [String]? {
        guard case .mapping(let entries) = content,
            case .mapping(let inner) = entries.first(where: { $0.key == key })?.value.content
        else { return nil }
        return inner.map(\.key)
    }
}
