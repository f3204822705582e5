// The configuration reader under libFuzzer: any bytes are either a configuration or a list of errors, and the
// process lives. `make fuzz` builds and runs it.

import Configuration

/// libFuzzer's entry for programs with a start of their own (FuzzerInterface of LLVM).
@_silgen_name("LLVMFuzzerRunDriver")
func runFuzzer(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutableRawPointer,
    _ test: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
) -> CInt

/// The package manager starts a program by this name.
@_cdecl("fuzz_configuration_main")
public func start(_ count: CInt, _ arguments: UnsafeMutableRawPointer) -> CInt {
    var (count, arguments) = (count, arguments)
    return runFuzzer(&count, &arguments) { fuzzConfiguration($0, $1) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConfiguration(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let text = Array(UnsafeBufferPointer(start: start, count: count))
    do throws(ConfigurationErrors) {
        let configuration = try Configuration.read(text, file: "fuzz.yaml") { name in
            name.utf8.count % 2 == 0 ? "4k" : nil
        }
        _ = configuration.warnings(file: "fuzz.yaml")
    } catch {
        precondition(!error.description.isEmpty, "a refusal says why")
    }
    return 0
}
