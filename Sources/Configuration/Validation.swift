// What can only be judged with several values in view: names that lead nowhere, names and addresses given
// twice, pools that would serve nobody. Called while and after the key table reads a file.

enum Validation {
    /// The backends of one pool, whose names `context.backendNames` holds; `list` is where they stand.
    static func check(_ backends: [Backend], at list: SourceSpan, _ context: inout ReadingContext) {
        var firstPlaces: [String: SourceSpan] = [:]
        for place in context.backendNames where !place.name.isEmpty {
            guard let first = firstPlaces[place.name] else {
                firstPlaces[place.name] = place.span
                continue
            }
            context.report(
                "duplicate backend \(place.name.quotedForMessage) in the pool", at: place.span,
                hint: "it is first given in line \(context.line(of: first)); "
                    + "two backends at one address need names")
        }
        if !backends.isEmpty, backends.allSatisfy({ $0.weight == 0 }) {
            context.report(
                "all backends of the pool have weight 0, so none would take a session", at: list)
        }
        if !backends.isEmpty, backends.allSatisfy(\.isBackup) {
            context.report(
                "all backends of the pool are backups", at: list, hint: "a backup stands in for others")
        }
    }

    /// The whole file. `pools` are the names that the file gives, nil when it has no readable `pools`.
    static func check(pools: [String]?, _ context: inout ReadingContext) {
        if let pools { checkPoolReferences(pools, &context) }
        checkBoundAddresses(&context)
    }

    private static func checkPoolReferences(_ pools: [String], _ context: inout ReadingContext) {
        let known = Set(pools)
        for reference in context.poolReferences where !known.contains(reference.pool) {
            if context.isFull { break }
            let suggestion = nearestSpelling(of: reference.pool, among: pools)
            let shown = pools.prefix(10).map(\.quotedForMessage)
            context.report(
                "there is no pool \(reference.pool.quotedForMessage)", at: reference.span,
                expected: suggestion == nil && !shown.isEmpty ? alternatives(shown) : nil,
                suggestion: suggestion)
        }
    }

    /// The same address twice, and `0.0.0.0` or `[::]` beside another address of its port. The two
    /// wildcards do not meet: Weir binds `[::]` for IPv6 only.
    private static func checkBoundAddresses(_ context: inout ReadingContext) {
        struct FamilyPort: Hashable {
            var isIPv6: Bool
            var port: UInt16
        }
        var exact: [Address: ReadingContext.BoundAddress] = [:]
        var wildcards: [FamilyPort: ReadingContext.BoundAddress] = [:]
        var specifics: [FamilyPort: ReadingContext.BoundAddress] = [:]
        for bound in context.boundAddresses {
            let place: FamilyPort?
            switch bound.address {
            case .ipv4(_, let port): place = FamilyPort(isIPv6: false, port: port)
            case .ipv6(_, _, let port): place = FamilyPort(isIPv6: true, port: port)
            case .unix, .name: place = nil
            }
            // The kernel chooses another port for each address with port 0.
            if place?.port == 0 { continue }
            if let first = exact[bound.address] {
                context.report(
                    "\(bound.address.description.quotedForMessage) is bound twice", at: bound.span,
                    hint: "it is first given in line \(context.line(of: first.span))")
                continue
            }
            exact[bound.address] = bound
            guard let place else { continue }
            let other = bound.address.isWildcard ? specifics[place] ?? wildcards[place] : wildcards[place]
            if let other {
                context.report(
                    "\(bound.address.description.quotedForMessage) overlaps "
                        + other.address.description.quotedForMessage, at: bound.span,
                    hint: "the other is in line \(context.line(of: other.span)); bind one of the two")
            }
            if bound.address.isWildcard { wildcards[place] = bound } else { specifics[place] = bound }
        }
    }
}
