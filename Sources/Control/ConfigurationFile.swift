// Brings a configuration file in from the disk. Reading it is the Configuration module's part.

import Configuration
import Glibc

public enum ConfigurationFile {
    /// Where `weir run` looks when it is given no file.
    public static let defaultPaths = ["weir.yaml", "/etc/weir/weir.yaml"]

    /// What a command was told with `-c`, else the first of the default files that exists.
    public static func path(_ named: String?) throws(Failure) -> String {
        if let named { named } else { try defaultPath() }
    }

    /// The first of the default files that exists.
    public static func defaultPath() throws(Failure) -> String {
        if let path = defaultPaths.first(where: { access($0, F_OK) == 0 }) { return path }
        throw Failure(
            "no configuration: neither ./\(defaultPaths[0]) nor \(defaultPaths[1]) exists; "
                + "name one with -c FILE, or see it work with `weir demo`")
    }

    /// Reads and validates a file; every error in it is in the failure's text.
    public static func read(_ path: String) throws(Failure) -> Configuration {
        let bytes = try contents(path)
        do throws(ConfigurationErrors) {
            return try Configuration.read(bytes, file: path, environment: environmentVariable)
        } catch {
            throw Failure(error.rendered(), namesItsPlace: true)
        }
    }

    private static func contents(_ path: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("cannot read \(path): \(errorText(errno))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 { throw Failure("cannot read \(path): \(errorText(errno))") }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            // The reader's own limit, and its message, is below this.
            if bytes.count > 4 << 20 { return bytes }
        }
    }
}
