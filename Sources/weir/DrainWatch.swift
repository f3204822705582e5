// Follows a backend that is drained until nothing is left there, for `weir backend drain --wait`.

import Control
import Glibc
import LogReading

struct DrainWatch {
    private static let lookMicroseconds: UInt32 = 200_000

    private let client: AdminClient
    private let change: BackendChange
    private let isTerminal = Screen().isTerminal

    init(_ client: AdminClient, _ change: BackendChange) {
        self.client = client
        self.change = change
    }

    /// Answers the exit code; `seconds` is how long it waits at most.
    func run(seconds: Int?) throws(Failure) -> Int32 {
        let endsAt = seconds.map { monotonicMilliseconds() + Int64($0) * 1000 }
        var shown: UInt64?
        while true {
            let left = try left()
            if left != shown { show(left) }
            shown = left
            if left == 0 { return 0 }
            if let endsAt, monotonicMilliseconds() >= endsAt {
                endLine()
                throw Failure(
                    "\(UnitText.count(left)) left at \(change.name) after \(seconds ?? 0) s; it goes on draining"
                )
            }
            usleep(Self.lookMicroseconds)
        }
    }

    /// Sessions and requests that hold it.
    private func left() throws(Failure) -> UInt64 {
        guard let sample = Sample(try client.get("/lb/backends")) else {
            throw Failure("what answers is not what Weir answers")
        }
        let found = sample.backends.first { $0.pool == change.pool && $0.name == change.name }
        guard let backend = found else {
            endLine()
            throw Failure("somebody removed \(change.name) from pool \(change.pool)")
        }
        guard backend.state == "draining" || backend.state == "disabled" else {
            endLine()
            throw Failure("\(change.name) takes sessions again: it is \(backend.state)")
        }
        return backend.active
    }

    private func show(_ left: UInt64) {
        let text = left == 0 ? "nothing left" : "\(UnitText.count(left)) left"
        standardOutput(isTerminal ? "\r\u{1B}[K\(text)" + (left == 0 ? "\n" : "") : text + "\n")
    }

    private func endLine() {
        if isTerminal { standardOutput("\n") }
    }
}
