// Runs a program to its end, or until its time is up: no shell, a few bytes on its standard input, no other
// descriptor, and what it says goes nowhere.

import CLinux
import Glibc

enum ChildProcess {
    private static let lookMilliseconds: Int32 = 20

    /// `words` are the program's path and its arguments; `input` is at most what a pipe holds (4 KiB always are).
    /// nil where it ended with status 0 in time, else why not. After that time it is killed, and all that it started
    /// and left in its process group.
    static func run(_ words: [String], input: [UInt8], limitSeconds: Int) -> String? {
        var pipe: [Int32] = [-1, -1]
        guard weir_pipe(&pipe) == 0 else { return "cannot open a pipe: \(errorText(errno))" }
        // It fits, and the other end is open here: it neither waits nor fails.
        _ = write(pipe[1], input, input.count)
        close(pipe[1])
        var process: pid_t = 0
        let code = spawn(words, standardInput: pipe[0], &process)
        close(pipe[0])
        guard code == 0 else { return "cannot start \(words[0]): \(errorText(code))" }
        return wait(for: process, limitSeconds)
    }

    /// Answers an errno.
    private static func spawn(_ words: [String], standardInput: Int32, _ process: inout pid_t) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, standardInput, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        weir_spawn_closing_from(&actions, 3)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { arguments.forEach { free($0) } }
        return SpawnAttributes(ownGroup: true).withPointer {
            posix_spawn(&process, words[0], &actions, $0, arguments, weir_environment())
        }
    }

    private static func wait(for process: pid_t, _ limitSeconds: Int) -> String? {
        let deadline = monotonicSeconds() + Double(limitSeconds)
        var status: Int32 = 0
        while waitpid(process, &status, WNOHANG) == 0 {
            if monotonicSeconds() >= deadline {
                kill(-process, SIGKILL)
                waitpid(process, &status, 0)
                return "it took longer than \(limitSeconds) s and was killed"
            }
            poll(nil, 0, lookMilliseconds)
        }
        // As WIFEXITED and its kin take it apart, which are macros.
        let signal = status & 0x7F
        if signal != 0 { return "it was ended by signal \(signal)" }
        let exit = status >> 8 & 0xFF
        return exit == 0 ? nil : "it ended with status \(exit)"
    }
}
