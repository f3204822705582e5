// What a request says beside its path: the parameters of the query and the members of a JSON body, one flat set of
// names and values. Nothing is guessed: what is malformed, comes twice or is not known is refused.

import Configuration
import LogReading

/// Why a request is not taken, as it is answered.
struct AdminRefusal: Error {
    private let answer: AdminAnswer

    init(_ status: UInt16, _ text: String) { answer = .error(status, text) }

    func answer(to request: AdminRequest) -> AdminAnswer {
        var answer = answer
        answer.leavesOutBody = request.isHead
        return answer
    }
}

struct AdminParameters {
    private var values: [(name: String, value: JSONValue)] = []
    /// What was asked for, to name the nearest of where something else came.
    private var known: [String] = []

    /// `body` is empty where there is none.
    init(query: String, body: [UInt8]) throws(AdminRefusal) {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw AdminRefusal(400, "`\(pair)` in the query is no `name=value`")
            }
            try add(try Self.decoded(parts[0]), .string(try Self.decoded(parts[1])))
        }
        if body.isEmpty { return }
        guard String(validating: body, as: UTF8.self) != nil, let members = JSONObject.members(of: body)
        else {
            throw AdminRefusal(400, "the body is no JSON object in UTF-8")
        }
        for member in members {
            switch member.value {
            case .array, .object:
                throw AdminRefusal(400, "`\(member.name)` must be a string, a number or a truth value")
            case .string, .number, .boolean: try add(member.name, member.value)
            case .null: try add(member.name, nil)
            }
        }
    }

    private mutating func add(_ name: String, _ value: JSONValue?) throws(AdminRefusal) {
        if values.contains(where: { $0.name == name }) { throw AdminRefusal(400, "`\(name)` comes twice") }
        values.append((name, value ?? .null))
    }

    /// nil where it was not given.
    mutating func text(_ name: String) throws(AdminRefusal) -> String? {
        guard let value = take(name) else { return nil }
        guard let text = value.string else { throw AdminRefusal(400, "`\(name)` must be a string") }
        return text
    }

    mutating func number(_ name: String, within range: ClosedRange<Int>) throws(AdminRefusal) -> Int? {
        guard let value = take(name) else { return nil }
        let text: String? = if case .number(let digits) = value { digits } else { value.string }
        // `Int` would also take a plus sign.
        guard let text, text.utf8.first != UInt8(ascii: "+"), let number = Int(text), range.contains(number)
        else {
            throw AdminRefusal(
                400, "`\(name)` must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    mutating func truth(_ name: String) throws(AdminRefusal) -> Bool? {
        switch take(name) {
        case nil: return nil
        case .boolean(let value): return value
        case .string("true"): return true
        case .string("false"): return false
        default: throw AdminRefusal(400, "`\(name)` must be true or false")
        }
    }

    /// Nothing that nobody asked for may be left.
    func finish() throws(AdminRefusal) {
        guard let first = values.first else { return }
        let guess = nearestSpelling(of: first.name, among: known).map { "; did you mean `\($0)`?" } ?? ""
        throw AdminRefusal(400, "`\(first.name)` is not known here\(guess)")
    }

    /// null is as good as nothing.
    private mutating func take(_ name: String) -> JSONValue? {
        known.append(name)
        guard let index = values.firstIndex(where: { $0.name == name }) else { return nil }
        let value = values.remove(at: index).value
        return value == .null ? nil : value
    }

    /// Takes percent-encoding out (RFC 3986, section 2.1).
    static func decoded(_ text: Substring) throws(AdminRefusal) -> String {
        var octets: [UInt8] = []
        var rest = text.utf8[...]
        while let octet = rest.popFirst() {
            guard octet == UInt8(ascii: "%") else {
                octets.append(octet)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                throw AdminRefusal(400, "a % in the request is not followed by two hexadecimal digits")
            }
            octets.append(high << 4 | low)
        }
        guard let decoded = String(validating: octets, as: UTF8.self) else {
            throw AdminRefusal(400, "what the request has percent-encoded is no UTF-8")
        }
        return decoded
    }

    private static func digit(_ octet: UInt8) -> UInt8? {
        switch octet {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): octet - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): octet - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): octet - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
