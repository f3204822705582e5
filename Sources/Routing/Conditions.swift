// What a route asks of a request beside host and path: its method, headers, query parameters.

extension Router {
    func conditionsHold(_ plan: UnsafePointer<RoutePlan>, _ request: RequestView) -> Bool {
        hasMethod(request, plan.pointee.methods) && hasHeaders(request, plan.pointee.headers)
            && hasQuery(request, plan.pointee.query)
    }

    private func hasMethod(_ request: RequestView, _ methods: TableRange) -> Bool {
        if methods.count == 0 { return true }
        let method = request.bytes(request.method)
        var index = Int(methods.start)
        let end = index + Int(methods.count)
        while index < end {
            if method.equals(bytes(names[index])) { return true }
            index += 1
        }
        return false
    }

    private func hasHeaders(_ request: RequestView, _ wanted: TableRange) -> Bool {
        var index = Int(wanted.start)
        let end = index + Int(wanted.count)
        while index < end {
            if !hasHeader(request, conditions + index) { return false }
            index += 1
        }
        return true
    }

    /// One of the fields of that name has the value; a field's value is not split at commas.
    private func hasHeader(_ request: RequestView, _ wanted: UnsafePointer<Condition>) -> Bool {
        let name = bytes(wanted.pointee.name)
        var index = 0
        while index < request.fieldCount {
            let field = request.fields[index]
            if request.bytes(field.nameRange).equalsIgnoringCase(lowered: name),
                wanted.pointee.takesAnyValue
                    || request.bytes(field.valueRange).equals(bytes(wanted.pointee.value))
            {
                return true
            }
            index += 1
        }
        return false
    }

    private func hasQuery(_ request: RequestView, _ wanted: TableRange) -> Bool {
        var index = Int(wanted.start)
        let end = index + Int(wanted.count)
        while index < end {
            if !hasParameter(request, conditions + index) { return false }
            index += 1
        }
        return true
    }

    private func hasParameter(_ request: RequestView, _ wanted: UnsafePointer<Condition>) -> Bool {
        let name = bytes(wanted.pointee.name)
        var pairs = QueryPairs(request.bytes(request.query))
        while let pair = pairs.next() {
            if pair.name.equals(name),
                wanted.pointee.takesAnyValue || pair.value.equals(bytes(wanted.pointee.value))
            {
                return true
            }
        }
        return false
    }
}

/// The parameters of a query, `name=value` between `&`, nothing decoded. One without `=` has an empty value.
struct QueryPairs: BitwiseCopyable {
    private let query: ByteView
    private var position = 0

    init(_ query: ByteView) { self.query = query }

    mutating func next() -> (name: ByteView, value: ByteView)? {
        if position >= query.count { return nil }
        let start = position
        var equals: Int?
        while position < query.count, query[position] != UInt8(ascii: "&") {
            if equals == nil, query[position] == UInt8(ascii: "=") { equals = position }
            position += 1
        }
        let end = position
        position += 1
        let nameEnd = equals ?? end
        return (query.part(start, nameEnd), query.part(min(nameEnd + 1, end), end))
    }
}
