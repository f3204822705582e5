import Testing

@testable import LogReading

@Suite struct TextLineTests {
    @Test func aLineOfTextIsTheSameRecordAsItsJSON() {
        let text =
            #"time=2026-01-31T12:00:00.123456Z id=00 listener=web mode=http client=[::1]:5 method=GET host=1:80 "#
            + #"path=/a?b=c protocol=HTTP/1.1 status=503 user_agent="a \"b\" = c\u001b" pool=site backend=7 "#
            + #"attempts=2 pick.policy=random pick.candidates=3 pick.excluded.full=1 pick.excluded.draining=2 "#
            + #"pick.backup=true pick.hash=00 reason=no_backend bytes_in=1 bytes_out=2 total_us=12"#
        let json =
            #"{"time":"2026-01-31T12:00:00.123456Z","id":"00","listener":"web","mode":"http","client":"[::1]:5","#
            + #""method":"GET","host":"1:80","path":"/a?b=c","protocol":"HTTP/1.1","status":503,"#
            + #""user_agent":"a \"b\" = c\u001b","pool":"site","backend":"7","attempts":2,"#
            + #""pick":{"policy":"random","candidates":"3","excluded":{"full":"1","draining":"2"},"#
            + #""backup":true,"hash":"00"},"reason":"no_backend","bytes_in":1,"bytes_out":2,"total_us":12}"#
        #expect(record(text)?.members == record(json)?.members)
        #expect(record(text)?.backend == "7")
        #expect(record(text)?.kind == .access)
    }

    @Test(arguments: [
        "", "time", "plain words", #"time="open"#, #"time="a"b x=1"#, "time=1 =2", "time=1 word", " time=1",
        #"time="\q""#, "time=1  a=1",
    ])
    func whatIsNoSuchLineIsNone(_ line: String) {
        #expect(record(line) == nil)
    }

    @Test func randomDamageIsNoTrap() {
        var random = SystemRandomNumberGenerator()
        let line = Array(#"time=1 a="b\" c" pick.x.y=1 pick.x.z=2 pick=3 .=4 d..e=5"#.utf8)
        for _ in 0..<2000 {
            var damaged = line
            for _ in 0..<3 {
                let index = Int.random(in: 0..<damaged.count, using: &random)
                damaged[index] = UInt8.random(in: 0...255, using: &random)
            }
            _ = LogRecord(Array(damaged.prefix(Int.random(in: 0...line.count, using: &random))))
        }
    }
}

@Suite struct LogAnswerTests {
    private func answer(_ records: String) -> LogAnswer? {
        LogAnswer(
            Array(
                (#"{"kind":"access","uptime_us":5,"on":true,"format":"json","sample":"5%","kept":7,"oldest":"t","#
                    + #""last":9,"gap":true,"records":["# + records + "]}\n").utf8))
    }

    private func lines(_ records: String) -> [String]? {
        answer(records)?.lines.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func recordsAreWhatCame() {
        #expect(lines("") == [])
        let records = [#"{"a":"]}\"","b":{"c":{}}}"#, "{}", #"{"records":[1]}"#]
        #expect(lines(records.joined(separator: ",")) == records)
        #expect(lines(#""time=1 a=\"b\"","x""#) == [#"time=1 a="b""#, "x"])
        let answer = answer("{}")
        #expect(answer?.kept == 7 && answer?.last == 9 && answer?.oldest == "t" && answer?.sample == "5%")
        #expect(answer?.hasGap == true && answer?.isOn == true)
    }

    @Test func anythingElseIsNone() {
        for text in ["{", #"{"a":"b"#, "5", #"""#, "[]"] { #expect(lines(text) == nil) }
        for text in ["", "{}", #"{"records":[]}"#, #"{"last":1,"kept":1,"records":["#] {
            #expect(LogAnswer(Array(text.utf8)) == nil)
        }
    }
}

@Suite struct RecordInWordsTests {
    private func text(_ members: String) -> String { RecordInWords(made(members)).text }

    @Test func aSessionInWords() {
        #expect(
            RecordInWords(record(session)!).text == """
                session   from 127.0.0.1:60940
                          id 2a3d7a1cf470f791
                ended     2026-01-31T12:00:00.123456Z
                listener  cache
                pool      redis: round_robin, 2 backends
                choice    127.0.0.1:6379
                attempts  1 backend was tried
                answer    78B from the client, 82B to it
                took      75us   connecting
                          118us  until the backend's first byte
                          326us  in all
                reason    ok: all went its way

                """)
    }

    @Test func whyOthersWereNotChosen() {
        let words = text(
            #""mode":"http","pool":"p","backend":"b","attempts":2,"retried":"status","hedged":"won","#
                + #""pick":{"policy":"least_connections","candidates":9,"excluded":{"full":2,"draining":1},"#
                + #""panic":true,"affinity":{"by":"cookie","result":"unwell"},"score":4},"#
                + #""reason":"no_backend","cause":"connect_refused""#)
        for part in [
            "excluded  2 full: they had max_sessions\n          1 draining\n",
            "affinity  cookie: its backend was not well\n", "It had 4 sessions.", "Health was ignored",
            "attempts  2 backends were tried", "because of: status", "which took over",
            "no backend could be reached\n          cause connect_refused: nobody listens there\n",
        ] {
            #expect(words.contains(part), "\(part)")
        }
    }

    @Test func whatClientsSentDoesNotSteerATerminal() {
        let words = text(#""mode":"http","method":"GET","path":"/\u001b[2J\u202e","reason":"ok""#)
        #expect(words.contains(#"/\u001b[2J\u202e"#))
        #expect(words.unicodeScalars.allSatisfy { $0 == "\n" || (0x20..<0x7F).contains($0.value) })
    }
}
