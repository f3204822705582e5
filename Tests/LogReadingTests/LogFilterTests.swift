import Testing

@testable import LogReading

@Suite struct LogFilterTests {
    @Test func aRecordIsReadKeyByKey() throws {
        let read = try #require(record(session))
        #expect(read.kind == .access)
        #expect(read.listener == "cache" && read.pool == "redis" && read.backend == "127.0.0.1:6379")
        #expect(read.client == "127.0.0.1:60940" && read.reason == "ok" && read.attempts == 1)
        #expect(read.bytesIn == 78 && read.bytesOut == 82 && read.totalMicroseconds == 326)
        #expect(made(#""level":"info","event":"starting""#).kind == .event)
        #expect(made(#""status":200"#).kind == .access)
        #expect(made(#""x":1"#).kind == .other)
        #expect(made(#""reason":7,"status":"200""#).kind == .other, "values of other types count as absent")
    }

    @Test(
        arguments: [
            (#""reason":"ok""#, Severity.good), (#""reason":"client_reset""#, .notable),
            (#""reason":"timeout_idle""#, .notable), (#""reason":"backend_reset""#, .failed),
            (#""reason":"no_backend""#, .failed), (#""reason":"out_of_descriptors""#, .failed),
            (#""reason":"ok","status":204"#, .good), (#""reason":"ok","status":404"#, .notable),
            (#""reason":"ok","status":500"#, .failed), (#""reason":"no_route","status":404"#, .notable),
            (#""reason":"backend_reset","status":200"#, .failed),
            (#""reason":"upgraded","status":101"#, .good),
        ])
    func howItWent(members: String, severity: Severity) {
        #expect(made(members).severity == severity)
    }

    @Test(
        arguments: [("5xx", 500...599), ("4XX", 400...499), ("503", 503...503), ("400-499", 400...499)]
            as [(String, ClosedRange<UInt64>)])
    func statusesAreRanges(text: String, codes: ClosedRange<UInt64>) {
        #expect(StatusRange(text)?.codes == codes)
    }

    @Test(arguments: [
        "", "5", "50", "5000", "xx", "xxx", "5x", "499-400", "4-5", "400-", "-400", "+50", "0xx", "099",
    ])
    func whatIsNoStatusIsRefused(text: String) {
        #expect(StatusRange(text) == nil)
    }

    @Test(
        arguments: [
            ("10.0.0.0/8", "10.1.2.3:40000", true), ("10.0.0.0/8", "11.1.2.3:40000", false),
            ("10.1.2.3", "10.1.2.3:1", true), ("10.1.2.3", "10.1.2.4:1", false),
            ("10.1.2.0/23", "10.1.3.255:1", true), ("10.1.2.0/23", "10.1.4.0:1", false),
            ("0.0.0.0/0", "203.0.113.9:1", true), ("0.0.0.0/0", "[2001:db8::1]:1", false),
            ("10.9.9.9/8", "10.1.1.1:1", true),
            ("2001:db8::/32", "[2001:db8:ffff::1]:443", true), ("2001:db8::/32", "[2001:db9::1]:443", false),
            ("2001:db8::/33", "[2001:db8:8000::1]:443", false), ("[::1]", "[::1]:443", true),
            ("::/0", "10.0.0.1:1", false), ("10.0.0.0/8", "[::ffff:10.0.0.1]:9", true),
            ("10.0.0.0/8", "unix", false), ("10.0.0.0/8", "unknown", false), ("10.0.0.0/8", "", false),
            ("::/0", "[", false),
        ])
    func clientsAreInRanges(range: String, client: String, isIn: Bool) throws {
        #expect(try #require(ClientRange(range)).contains(client: client) == isIn)
    }

    @Test(
        arguments: [
            "", "10", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8",
            "::/129",
            "256.0.0.1", "10.0.0.1:80", "host", "[::1", "10.0.0.0\0/8",
        ])
    func whatIsNoRangeIsRefused(text: String) {
        #expect(ClientRange(text) == nil)
    }

    @Test func valuesOfOneFilterAreAlternativesAndFiltersAddUp() throws {
        let first = made(
            #""listener":"web","pool":"api","backend":"a","status":503,"total_us":5000,"reason":"ok""#)
        let second = made(
            #""listener":"web","pool":"api","backend":"b","status":200,"total_us":99,"reason":"ok""#)
        var filter = LogFilter()
        #expect(filter.isEmpty && filter.matches(first))
        filter.backends = ["a", "b"]
        #expect(!filter.isEmpty && filter.matches(first) && filter.matches(second))
        filter.statuses = try [#require(StatusRange("5xx")), #require(StatusRange("404"))]
        #expect(filter.matches(first) && !filter.matches(second))
        filter.leastMicroseconds = 5000
        #expect(filter.matches(first))
        filter.leastMicroseconds = 5001
        #expect(!filter.matches(first))
    }

    @Test func aRecordWithoutTheKeyDoesNotMatch() throws {
        let bare = made(#""reason":"ok""#)
        var filters = [LogFilter](repeating: LogFilter(), count: 6)
        filters[0].listeners = ["web"]
        filters[1].pools = ["api"]
        filters[2].backends = ["a"]
        filters[3].statuses = [try #require(StatusRange("2xx"))]
        filters[4].clients = [try #require(ClientRange("0.0.0.0/0"))]
        filters[5].leastMicroseconds = 1
        for filter in filters { #expect(!filter.matches(bare)) }
    }

    @Test func aReasonIsSoughtInTheCauseToo() {
        var filter = LogFilter()
        filter.reasons = ["connect_refused"]
        #expect(filter.matches(made(#""reason":"no_backend","cause":"connect_refused""#)))
        #expect(filter.matches(made(#""reason":"connect_refused""#)))
        #expect(!filter.matches(made(#""reason":"no_backend","cause":"timeout_connect""#)))
    }
}
