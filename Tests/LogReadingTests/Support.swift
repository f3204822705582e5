@testable import LogReading

/// One record of a tcp session, as docs/logs.md shows it.
let session =
    #"{"time":"2026-01-31T12:00:00.123456Z","id":"2a3d7a1cf470f791","listener":"cache","mode":"tcp","#
    + #""client":"127.0.0.1:60940","pool":"redis","backend":"127.0.0.1:6379","attempts":1,"#
    + #""pick":{"policy":"round_robin","candidates":2},"reason":"ok","bytes_in":78,"bytes_out":82,"#
    + #""connect_us":75,"first_byte_us":118,"total_us":326}"#

func record(_ text: String) -> LogRecord? { LogRecord(Array(text.utf8)) }

/// A record of the given members and no others; a trap where the text is wrong, so that no test passes by it.
func made(_ members: String) -> LogRecord { record("{\(members)}")! }
