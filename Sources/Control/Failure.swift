// Why Weir could not start or go on, in words for the person at the terminal: what, where, and what to do.

import Glibc

/// A failure that ends a command; its text is printed after `weir: `.
public struct Failure: Error {
    public let message: String

    public init(_ message: String) { self.message = message }
}

/// The C library's text for an errno, as in "Address already in use".
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
