// Reads a line of `format: text`: `key=value` pairs with a space between, values with spaces or quotes quoted as in
// JSON, and what JSON nests named `pick.policy`. The answer is what the same record is in JSON.

enum TextLine {
    /// What every line begins with.
    static let beginning = Array("time=".utf8)

    /// The numbers that something is done with; all others are as good as texts.
    private static let numbers: Set<String> = ["attempts", "bytes_in", "bytes_out", "route", "status"]

    /// The members of the record; nil where the line is none.
    static func members(of line: [UInt8]) -> [JSONMember]? {
        guard line.starts(with: beginning) else { return nil }
        var members: [JSONMember] = []
        var rest = line[...]
        while !rest.isEmpty {
            guard let equals = rest.firstIndex(of: UInt8(ascii: "=")), equals > rest.startIndex,
                !rest[..<equals].contains(UInt8(ascii: " "))
            else { return nil }
            let key = String(decoding: rest[..<equals], as: UTF8.self)
            rest = rest[(equals + 1)...]
            guard let value = takeValue(&rest, of: key) else { return nil }
            add(value, at: key.split(separator: ".")[...], to: &members)
        }
        return members
    }

    private static func takeValue(_ rest: inout ArraySlice<UInt8>, of key: String) -> JSONValue? {
        var end = rest.startIndex
        if rest.first == UInt8(ascii: "\"") {
            guard let length = JSONObject.stringLength(rest) else { return nil }
            end += length
        } else {
            end = rest.firstIndex(of: UInt8(ascii: " ")) ?? rest.endIndex
        }
        let octets = rest[rest.startIndex..<end]
        rest = rest[end...]
        if let space = rest.popFirst(), space != UInt8(ascii: " ") { return nil }
        if octets.first == UInt8(ascii: "\"") { return JSONObject.string(octets).map { .string($0) } }
        let text = String(decoding: octets, as: UTF8.self)
        if text == "true" { return .boolean(true) }
        let isNumber = (numbers.contains(key) || key.hasSuffix("_us")) && UInt64(text) != nil
        return isNumber ? .number(text) : .string(text)
    }

    private static func add(
        _ value: JSONValue, at path: ArraySlice<Substring>, to members: inout [JSONMember]
    ) {
        guard let name = path.first.map({ String($0) }) else { return }
        guard path.count > 1, path.count <= JSONObject.depthLimit else {
            members.append(JSONMember(name: name, value: value))
            return
        }
        var inner: [JSONMember] = []
        // What belongs to an object comes in a row.
        if members.last?.name == name, case .object(let open)? = members.last?.value {
            inner = open
            members.removeLast()
        }
        add(value, at: path.dropFirst(), to: &inner)
        members.append(JSONMember(name: name, value: .object(inner)))
    }
}
