// Where lines come from: a file that is followed by its name, a stream that ends when its writer does, or a running
// Weir (RunningSource.swift).
// A file that was renamed goes on being read for a while beside the one that took its name, because its
// writer opens the new one only when told to (SIGUSR1); one that was cut to nothing is read from its start.

import Control
import Glibc
import LogReading

/// What came of reading.
enum ReadingProgress {
    /// There may be more at once.
    case more
    /// All was read; wait.
    case waiting
    case ended
}

private let chunkBytes = 65_536

/// A pipe, or standard input.
struct StreamSource {
    let descriptor: Int32
    private var splitter = LineSplitter()

    init(descriptor: Int32) { self.descriptor = descriptor }

    mutating func read(each: (LineSplitter.Line) -> Void) -> ReadingProgress {
        var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&ready, 1, 0) == 1 else { return .waiting }
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        let count = Glibc.read(descriptor, &chunk, chunkBytes)
        if count > 0 {
            splitter.append(chunk[..<count], each: each)
            return .more
        }
        if count < 0, errno == EAGAIN || errno == EINTR { return .waiting }
        if let line = splitter.finish() { each(line) }
        return .ended
    }
}

/// One open file, and how far it was read.
private struct OpenFile {
    let descriptor: Int32
    let status: stat
    let watch: Int32
    var offset: off_t = 0
    var splitter = LineSplitter()
    var grewAtSeconds: Int = 0

    init(descriptor: Int32, status: stat, watch: Int32) {
        self.descriptor = descriptor
        self.status = status
        self.watch = watch
    }

    /// Reads a chunk. Answers false at the end.
    mutating func read(each: (LineSplitter.Line) -> Void) -> Bool {
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        let count = pread(descriptor, &chunk, chunkBytes, offset)
        guard count > 0 else { return false }
        offset += off_t(count)
        grewAtSeconds = monotonicSeconds()
        splitter.append(chunk[..<count], each: each)
        return true
    }

    mutating func finishLine(each: (LineSplitter.Line) -> Void) {
        if let line = splitter.finish() { each(line) }
    }

    /// Goes to where the last `count` lines begin.
    mutating func seek(toLastLines count: Int) {
        var end = status.st_size
        var ends = 0
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        offset = 0
        while end > 0 {
            let start = max(0, end - off_t(chunkBytes))
            let bytes = pread(descriptor, &chunk, Int(end - start), start)
            guard bytes == Int(end - start) else { return }
            for index in stride(from: bytes - 1, through: 0, by: -1) where chunk[index] == UInt8(ascii: "\n")
            {
                // The end of the file's last line has no line after it.
                if start + off_t(index) == status.st_size - 1, count > 0 { continue }
                ends += 1
                if ends >= count {
                    offset = start + off_t(index) + 1
                    return
                }
            }
            end = start
        }
    }
}

/// A file, by its name.
struct FileSource {
    private static let watched = UInt32(IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)
    /// How long a file that was renamed and does not grow is kept open.
    private static let keepRenamedSeconds = 60

    private let path: String
    private let follows: Bool
    private let notifications: Int32
    private var current: OpenFile
    private var renamed: OpenFile?
    private var errorReported: Int32 = 0

    /// Readable when something may have changed; negative where the host gives no notifications.
    var wakeDescriptor: Int32 { notifications }
    /// Changes that nobody notifies of (network file systems) are seen after this time.
    var pollMilliseconds: Int32 { notifications >= 0 ? 1000 : 200 }

    /// `descriptor` is the open file of that name.
    init(path: String, descriptor: Int32, status: stat, follows: Bool, firstLines: Int?) {
        self.path = path
        self.follows = follows
        notifications = follows ? inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)) : -1
        current = OpenFile(
            descriptor: descriptor, status: status,
            watch: inotify_add_watch(notifications, path, Self.watched))
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        _ = inotify_add_watch(notifications, folder, UInt32(IN_CREATE | IN_MOVED_TO))
        if let firstLines { current.seek(toLastLines: firstLines) }
    }

    mutating func read(each: (LineSplitter.Line) -> Void) -> ReadingProgress {
        forgetNotifications()
        if renamed?.read(each: each) == true { return .more }
        if let file = renamed, monotonicSeconds() - file.grewAtSeconds > Self.keepRenamedSeconds {
            closeRenamed(each: each)
        }
        if current.read(each: each) { return .more }
        guard follows else {
            current.finishLine(each: each)
            return .ended
        }
        return wasReplaced(each: each) || wasTruncated(each: each) ? .more : .waiting
    }

    /// What they say does not matter: the files are looked at.
    private func forgetNotifications() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while Glibc.read(notifications, &bytes, bytes.count) > 0 {}
    }

    /// Opens what has the name now, where that is another file.
    private mutating func wasReplaced(each: (LineSplitter.Line) -> Void) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_dev != current.status.st_dev || status.st_ino != current.status.st_ino
        else { return false }
        let watch = inotify_add_watch(notifications, path, Self.watched)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        // Between the two calls the name may have changed again; the open file counts.
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            if errorReported != errno {
                errorReported = errno
                standardError("weir: cannot open the new \(path): \(String(cString: strerror(errno)))")
            }
            return false
        }
        errorReported = 0
        closeRenamed(each: each)
        renamed = current
        renamed?.grewAtSeconds = monotonicSeconds()
        current = OpenFile(descriptor: descriptor, status: status, watch: watch)
        return true
    }

    private mutating func wasTruncated(each: (LineSplitter.Line) -> Void) -> Bool {
        var status = stat()
        guard fstat(current.descriptor, &status) == 0, status.st_size < current.offset else { return false }
        current.finishLine(each: each)
        current.offset = 0
        return true
    }

    private mutating func closeRenamed(each: (LineSplitter.Line) -> Void) {
        guard var file = renamed else { return }
        file.finishLine(each: each)
        inotify_rm_watch(notifications, file.watch)
        close(file.descriptor)
        renamed = nil
    }
}

enum LogSource {
    case stream(StreamSource)
    case file(FileSource)
    case running(RunningSource)

    init(_ options: TailOptions) throws(Failure) {
        switch options.origin {
        case .standardInput: self = .stream(StreamSource(descriptor: STDIN_FILENO))
        case .file(let path): try self.init(path, options)
        case .running(let address, let file, let kind, let isImplied):
            do throws(Failure) {
                let client = try AdminClient(address: address, configurationFile: file)
                self = .running(
                    try RunningSource(
                        RunningLog(client, kind), follows: options.follows, firstLines: options.firstLines))
            } catch {
                throw isImplied
                    ? Failure("\(error.message)\nFILE is missing; see `weir tail --help`.") : error
            }
        }
    }

    private init(_ path: String, _ options: TailOptions) throws(Failure) {
        // A FIFO that nobody writes to yet must not hold up the opening.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw Failure("cannot open \(path): \(String(cString: strerror(errno)))")
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            self = .file(
                FileSource(
                    path: path, descriptor: descriptor, status: status, follows: options.follows,
                    firstLines: options.firstLines))
        case S_IFDIR: throw Failure("\(path) is a directory, not a log")
        default: self = .stream(StreamSource(descriptor: descriptor))
        }
    }

    mutating func read(each: (LineSplitter.Line) -> Void) -> ReadingProgress {
        switch self {
        case .stream(var source):
            defer { self = .stream(source) }
            return source.read(each: each)
        case .file(var source):
            defer { self = .file(source) }
            return source.read(each: each)
        case .running(var source):
            defer { self = .running(source) }
            return source.read(each: each)
        }
    }

    /// What to wait for, and how long at most; -1 for no end.
    var wait: (descriptor: Int32, milliseconds: Int32) {
        switch self {
        case .stream(let source): (source.descriptor, -1)
        case .file(let source): (source.wakeDescriptor, source.pollMilliseconds)
        case .running(let source): (-1, source.waitMilliseconds)
        }
    }
}

/// Of a clock that nobody sets.
func monotonicSeconds() -> Int { Int(monotonicMilliseconds() / 1000) }

func monotonicMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
