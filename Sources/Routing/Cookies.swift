// The cookies of a request by their name. Names count to the letter; what is no `name=value` is passed over, for
// browsers send along what any script wrote.

/// The values of all cookies of one name, over all Cookie fields (HTTP/2 clients send several: RFC 9113, 8.2.3), in
/// their order. Without the blanks around them; quotes are part of a value (RFC 6265, 4.1.1).
public struct CookieValues {
    private let request: RequestView
    private let name: ByteView
    /// Of the field that is looked at, which is the one before `nextField`.
    private var list: ByteView
    private var position = 0
    private var nextField = 0

    init(_ name: ByteView, in request: RequestView) {
        self.request = request
        self.name = name
        list = ByteView(request.base, 0)
    }

    public mutating func next() -> ByteView? {
        while true {
            while position < list.count {
                let pair = nextPair()
                if pair.count > name.count, pair[name.count] == UInt8(ascii: "="), pair.starts(with: name) {
                    return pair.part(name.count + 1, pair.count)
                }
            }
            guard enterNextField() else { return nil }
        }
    }

    /// What stands up to the next `;`.
    private mutating func nextPair() -> ByteView {
        while position < list.count, Self.isBlank(list[position]) { position += 1 }
        let start = position
        while position < list.count, list[position] != UInt8(ascii: ";") { position += 1 }
        var end = position
        while end > start, Self.isBlank(list[end - 1]) { end -= 1 }
        position += 1
        return list.part(start, end)
    }

    private mutating func enterNextField() -> Bool {
        while nextField < request.fieldCount {
            let field = request.fields[nextField]
            nextField += 1
            if field.name == .cookie {
                list = request.bytes(field.valueRange)
                position = 0
                return true
            }
        }
        return false
    }

    private static func isBlank(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 }
}
