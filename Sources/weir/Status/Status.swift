// `weir status`: the figures of a running Weir, once, as tables or as its admin API answers them.

import Control
import Glibc
import LogReading

enum Status {
    private static let intervalMicroseconds: UInt32 = 1_000_000

    /// Answers the exit code.
    static func run(_ client: AdminClient, isJSON: Bool) throws(Failure) -> Int32 {
        if isJSON {
            standardOutput(String(decoding: try client.get("/lb/stats"), as: UTF8.self))
            return 0
        }
        let before = try sample(client)
        usleep(intervalMicroseconds)
        let interval = Interval(before: before, after: try sample(client))
        let table = StatusTable(interval: interval, style: Screen().style)
        standardOutput(table.lines.joined(separator: "\n") + "\n")
        return 0
    }

    static func sample(_ client: AdminClient) throws(Failure) -> Sample {
        guard let sample = Sample(try client.get("/lb/stats")) else {
            throw Failure("what answers is not what Weir answers")
        }
        return sample
    }
}
