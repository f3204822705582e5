// What is inside field values: lists of tokens, whole numbers, media types.

/// The elements of a list (RFC 9110, section 5.6.1), without the blanks around them; empty ones are passed
/// over. Quoted strings are not known: for lists of tokens.
struct ListElements: BitwiseCopyable {
    private var position: Int
    private let end: Int

    init(_ value: HeadRange) {
        position = value.start
        end = value.end
    }

    mutating func next(_ octets: Octets) -> HeadRange? {
        while position < end {
            let comma = octets.first(Octet.comma, from: position, to: end)
            let element = octets.trimmed(position, comma)
            position = comma &+ 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}

/// Whether the list has the token (lower case), the case of letters aside.
func hasToken(_ token: StaticString, _ octets: Octets, _ value: HeadRange) -> Bool {
    var elements = ListElements(value)
    while let element = elements.next(octets) {
        if Int(element.count) == token.utf8CodeUnitCount, octets.matches(token, at: element.start) {
            return true
        }
    }
    return false
}

/// 1*DIGIT below 2^63; nil for anything else.
func decimal(_ octets: Octets, _ value: HeadRange) -> UInt64? {
    if value.isEmpty { return nil }
    var number: UInt64 = 0
    for index in value.start..<value.end {
        let octet = octets[index]
        if !Octet.isDigit(octet) { return nil }
        let digit = UInt64(octet &- 0x30)
        if number > (UInt64(Int64.max) &- digit) / 10 { return nil }
        number = number &* 10 &+ digit
    }
    return number
}

/// Helpers for values of fields, over the buffer that the head was parsed from.
public enum FieldValue {
    /// Whether the value, a list of tokens, has `token` (lower case; letters, digits and `-`).
    public static func hasToken(
        _ token: StaticString, in octets: UnsafePointer<UInt8>, _ value: HeadRange
    ) -> Bool {
        let view = unsafe Octets(octets, count: value.end)
        return HTTP1.hasToken(token, view, value)
    }

    /// Whether the value is `text` (lower case; letters, digits and `-`), the case of letters aside.
    public static func matches(
        _ text: StaticString, in octets: UnsafePointer<UInt8>, _ value: HeadRange
    ) -> Bool {
        let view = unsafe Octets(octets, count: value.end)
        return view.matches(text, value)
    }

    /// The whole number below 2^63 that the value is; nil where it is anything else, signs and blanks
    /// included.
    public static func decimal(in octets: UnsafePointer<UInt8>, _ value: HeadRange) -> UInt64? {
        let view = unsafe Octets(octets, count: value.end)
        return HTTP1.decimal(view, value)
    }

    /// Whether an Accept value (RFC 9110, section 12.5.1) asks for JSON: `application/json` or
    /// `application/problem+json` is listed before any `text/...`, whatever the weights, but for `q=0`.
    public static func prefersJSON(in octets: UnsafePointer<UInt8>, _ value: HeadRange) -> Bool {
        let view = unsafe Octets(octets, count: value.end)
        var elements = ListElements(value)
        while let element = elements.next(view) {
            let semicolon = view.first(Octet.semicolon, from: element.start, to: element.end)
            let media = view.trimmed(element.start, semicolon)
            if media.count > 5, view.matches("text", HeadRange(offset: media.offset, count: 4)),
                view[media.start &+ 4] == 0x2F
            {
                return false
            }
            if isJSON(view, media), !isRefused(view, HeadRange(semicolon, element.end)) { return true }
        }
        return false
    }

    private static func isJSON(_ octets: Octets, _ media: HeadRange) -> Bool {
        let (start, count) = (media.start, media.count)
        guard count == 16 || count == 24, octets.matches("application", at: start),
            octets[start &+ 11] == 0x2F
        else { return false }
        if count == 16 { return octets.matches("json", at: start &+ 12) }
        return octets.matches("problem", at: start &+ 12) && octets[start &+ 19] == 0x2B
            && octets.matches("json", at: start &+ 20)
    }

    /// Whether the parameters have a weight of zero (RFC 9110, section 12.4.2).
    private static func isRefused(_ octets: Octets, _ parameters: HeadRange) -> Bool {
        var start = parameters.start
        while start < parameters.end {
            let end = octets.first(Octet.semicolon, from: start &+ 1, to: parameters.end)
            let parameter = octets.trimmed(start &+ 1, end)
            start = end
            if parameter.count > 2, octets[parameter.start] | 0x20 == 0x71,
                octets[parameter.start &+ 1] == 0x3D
            {
                for index in parameter.start &+ 2..<parameter.end
                where octets[index] &- 0x31 < 9 { return false }
                return true
            }
        }
        return false
    }
}
