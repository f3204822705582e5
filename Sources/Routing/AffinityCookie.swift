// The cookie that says which backend a client had: written into a response, found again in requests. Its value is
// a number of 16 hexadecimal digits.

import HTTP1

/// Name and attributes of one pool's cookie. Lives until `deallocate`.
public struct AffinityCookie: BitwiseCopyable, @unchecked Sendable {
    private let name: ByteView
    /// What stands before the value, and behind it.
    private let before: ByteView
    private let behind: ByteView

    /// RFC 6265, 4.1.1; `sameSite` is `Lax`, `Strict` or `None`. Without `maxAgeSeconds` the cookie ends with the
    /// browser.
    public init(name: String, path: String, maxAgeSeconds: UInt64?, isHTTPOnly: Bool, sameSite: String) {
        self.name = ByteView(keeping: name)
        before = ByteView(keeping: "Set-Cookie: \(name)=")
        var attributes = "; Path=\(path)"
        if let maxAgeSeconds { attributes += "; Max-Age=\(maxAgeSeconds)" }
        if isHTTPOnly { attributes += "; HttpOnly" }
        behind = ByteView(keeping: attributes + "; SameSite=\(sameSite)")
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() {
        for text in [name, before, behind] { text.start.deallocate() }
    }

    /// What requests brought under its name; there may be several, of other paths or of mischief.
    public func values(in request: RequestView) -> CookieValues { CookieValues(name, in: request) }

    /// The whole line.
    public func write(_ number: UInt64, isSecure: Bool, to writer: inout HeadWriter) {
        writer.append(before.start, count: before.count)
        for place in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * place)) & 15
            writer.append(digit < 10 ? digit + 0x30 : digit + 0x57)
        }
        writer.append(behind.start, count: behind.count)
        if isSecure { writer.append("; Secure") }
        writer.appendLineEnd()
    }
}

extension ByteView {
    /// The number that is written in exactly 16 hexadecimal digits, letters in lower case; nil for anything else.
    public var number: UInt64? {
        guard count == 16 else { return nil }
        var number: UInt64 = 0
        for index in 0..<16 {
            let digit: UInt8
            switch start[index] {
            case 0x30...0x39: digit = start[index] - 0x30
            case 0x61...0x66: digit = start[index] - 0x57
            default: return nil
            }
            number = number << 4 | UInt64(digit)
        }
        return number
    }
}
