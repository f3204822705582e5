// The HTTP/1.1 parsers under libFuzzer, against the slow reading of the same octets: any input is read the
// same by both, in whatever pieces it comes. `make fuzz` builds and runs it.

import HTTP1Oracle

/// libFuzzer's entry for programs with a start of their own (FuzzerInterface of LLVM).
@_silgen_name("LLVMFuzzerRunDriver")
func runFuzzer(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutableRawPointer,
    _ test: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
) -> CInt

/// libFuzzer calls from one thread.
nonisolated(unsafe) private let differential = Differential()

/// The package manager starts a program by this name.
@_cdecl("fuzz_http1_main")
public func start(_ count: CInt, _ arguments: UnsafeMutableRawPointer) -> CInt {
    var (count, arguments) = (count, arguments)
    return runFuzzer(&count, &arguments) { fuzzHTTP1($0, $1) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTP1(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    if let difference = differential.differenceInCase(input) { fatalError(difference) }
    return 0
}
