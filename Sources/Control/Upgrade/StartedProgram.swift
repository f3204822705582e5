// Which program this process is, so that it can be started anew, and starting it: same arguments, same environment,
// with one end of a handover and a pipe for what goes wrong.

import CLinux
import Glibc

/// The path of the running program, found out at the start: the file there may be replaced later.
struct StartedProgram {
    let path: String

    /// Descriptor of the handover in the program that is started.
    private static let handoverDescriptor: Int32 = 3

    /// nil where /proc does not say.
    init?() {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        let file = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // As it was called, where that is the same file: a link that leads to another version later is followed.
        let name = CommandLine.unsafeArgv[0].map { String(cString: $0) } ?? ""
        let isSame = name.contains("/") && FileStamp(name) == FileStamp(file)
        path = isSame ? Self.absolute(name) : file
    }

    private static func absolute(_ name: String) -> String {
        if name.hasPrefix("/") { return name }
        guard let folder = getcwd(nil, 0) else { return name }
        defer { free(folder) }
        return "\(String(cString: folder))/\(name)"
    }

    /// Starts it anew. `standardError` takes what it writes there until it has heard from this process.
    func spawn(handover: Int32, standardError: Int32) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Neither source may be overwritten before its turn.
        let sources = (weir_duplicate(handover), weir_duplicate(standardError))
        defer {
            close(sources.0)
            close(sources.1)
        }
        posix_spawn_file_actions_adddup2(&actions, sources.1, 2)
        posix_spawn_file_actions_adddup2(&actions, sources.0, Self.handoverDescriptor)
        weir_spawn_closing_from(&actions, Self.handoverDescriptor + 1)
        var environment = Self.environment
        defer { environment.last.map { free($0) } }
        environment.append(nil)
        var process: pid_t = 0
        let code = SpawnAttributes(ownGroup: false).withPointer {
            posix_spawn(&process, path, &actions, $0, CommandLine.unsafeArgv, environment)
        }
        guard code == 0 else { throw Failure("cannot start \(path): \(errorText(code))") }
        return process
    }

    /// This process's, and how the handover is found; that is the last and the only copy.
    private static var environment: [UnsafeMutablePointer<CChar>?] {
        var entries: [UnsafeMutablePointer<CChar>?] = []
        var index = 0
        while let entry = weir_environment()?[index] {
            entries.append(entry)
            index += 1
        }
        return entries + [strdup("\(HandoverChannel.variable)=\(handoverDescriptor)")]
    }
}
