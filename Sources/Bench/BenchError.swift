// What ends a command of weir-bench, in words for the person at the terminal.

import Glibc

public struct BenchError: Error {
    public let message: String

    public init(_ message: String) { self.message = message }
}

/// The C library's text for an errno, as in "Address already in use".
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
