// Why Weir could not start or go on, in words for the person at the terminal: what, where, and what to do.

import Glibc

/// A failure that ends a command.
public struct Failure: Error {
    public let message: String
    /// True where the text names its place itself (`file:line:column`); else it is printed after `weir: `.
    public let namesItsPlace: Bool
    /// The errno behind it; 0 where there is none.
    let code: Int32

    public init(_ message: String, namesItsPlace: Bool = false, code: Int32 = 0) {
        self.code = code
        self.message = message
        self.namesItsPlace = namesItsPlace
    }
}

/// The C library's text for an errno, as in "Address already in use".
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
