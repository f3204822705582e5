// How errors look, to the letter: place, message, the line with a caret, advice.

import Configuration
import Testing

@Test func unknownKeyShowsPlaceLineAndNearestKey() {
    #expect(
        errors(in: file(pool: "balace: random")) == """
            weir.yaml:10:5: error: unknown key `balace` in a pool
              10 |     balace: random
                 |     ^~~~~~
              did you mean `balance`?
            """)
}

@Test func unknownKeyWithoutNeighbourListsTheKeys() {
    #expect(
        errors(in: file(listener: "proxy_protocol: { accept: off }")) == """
            weir.yaml:6:5: error: unknown key `proxy_protocol` in a listener
              6 |     proxy_protocol: { accept: off }
                |     ^~~~~~~~~~~~~~
              expected `bind`, `mode`, `pool`, `timeouts`, `limits`, `rate_limit`, `allow`, `deny`, `relay`, `forwarded`, `retry` or `routes`
            """)
}

@Test func wrongValueShowsWhatWasExpected() {
    #expect(
        errors(in: file(listener: "timeouts: { connect: 5s, idle: 10min }")) == """
            weir.yaml:6:36: error: `10min` is not a duration
              6 |     timeouts: { connect: 5s, idle: 10min }
                |                                    ^~~~~
              did you mean `10m`?
              expected a duration such as `500ms`, `10s` or `1h`, 1us to 30d
            """)
}

@Test func poolThatLeadsNowhere() {
    let text =
        "listeners:\n  a: { bind: 127.0.0.1:80, pool: sitte }\npools:\n  site: { backends: [10.0.0.1:80] }"
    #expect(
        errors(in: text) == """
            weir.yaml:2:34: error: there is no pool `sitte`
              2 |   a: { bind: 127.0.0.1:80, pool: sitte }
                |                                  ^~~~~
              did you mean `site`?
            """)
}

@Test func wildcardStarGetsAHint() {
    #expect(
        errors(in: "listeners:\n  web:\n    bind: *:80\n") == """
            weir.yaml:3:12: error: invalid YAML: did not find expected alphabetic or numeric character, \
            while scanning an alias
              3 |     bind: *:80
                |            ^
              a text that starts with `*` needs quotes; for all addresses write `0.0.0.0:PORT`
            """)
}

@Test func caretStandsUnderWideTextAndTabs() {
    #expect(
        errors(in: "logs: { access: \"/日本語\",\tformat: jsno }\nlisteners: x\npools: y") == """
            weir.yaml:1:33: error: unknown format `jsno`
              1 | logs: { access: "/日本語",\tformat: jsno }
                |                           \t        ^~~~
              did you mean `json`?
              expected `json` or `text`
            weir.yaml:2:12: error: found `x`
              2 | listeners: x
                |            ^
              expected listeners by name
            weir.yaml:3:8: error: found `y`
              3 | pools: y
                |        ^
              expected pools by name
            """)
}

@Test func caretIsAsWideAsTheText() {
    #expect(
        errors(in: file(backends: "[\"日本e\u{0301}:80\"]")) == """
            weir.yaml:9:16: error: `日本e\u{0301}` in `日本e\u{0301}:80` is not a host name
              9 |     backends: ["日本e\u{0301}:80"]
                |                ^~~~~~~~~~
              expected an address, or a section with `address`
            """)
}

@Test func longLineIsCutAroundTheError() {
    let text =
        "limits: {" + String(repeating: " ", count: 300) + "sesions: 5" + String(repeating: " ", count: 300)
        + "}"
    let error = errorList(in: text).first { $0.position.column > 1 }
    #expect(error?.position == SourcePosition(line: 1, column: 310))
    #expect(
        error?.excerpt?.line
            == "…" + String(repeating: " ", count: 40) + "sesions: 5" + String(repeating: " ", count: 70)
            + "…")
    #expect(error?.excerpt?.marker == String(repeating: " ", count: 41) + "^~~~~~~")
}

@Test func terminalIsNotGivenControlCharacters() {
    let text = errors(in: file(backends: "[\"a\\e[31m:80\"]"), environment: [:])
    #expect(!text.unicodeScalars.contains("\u{1B}"))
    #expect(text.contains("`a\u{FFFD}[31m:80` has control characters in it"))
    let fromEnvironment = errors(
        in: file(top: "engine: ${E}"), environment: ["E": "\u{1B}]0;x\u{07}\u{202E}"])
    #expect(fromEnvironment.contains("unknown engine `\u{FFFD}]0;x\u{FFFD}\u{FFFD}`"))
}

@Test func allErrorsOfAFileAreReportedInItsOrder() {
    let text = """
        wrokers: 4
        limits: { sessions: 0, buffers: many }
        logs: { format: xml }
        listeners:
          web: { bind: "*:80", pool: nowhere, tls: {} }
          web: { bind: 127.0.0.1:80 }
        pools:
          site: { balance: roundrobin, backends: [10.0.0.1] }
          empty: { backends: [] }
          bad name: { backends: [10.0.0.1:80] }
        """
    #expect(
        messages(in: text) == [
            "1:1 unknown key `wrokers` in the file",
            "2:21 `0` is out of range",
            "2:33 `many` is not a whole number",
            "3:17 unknown format `xml`",
            "5:16 `*:80` has no host",
            "5:30 there is no pool `nowhere`",
            "5:39 unknown key `tls` in a listener",
            "6:3 duplicate key `web`",
            "8:20 unknown balance policy `roundrobin`",
            "8:43 `10.0.0.1` has no port",
            "9:22 the list is empty",
            "10:3 `bad name` cannot name a pool",
        ])
}

@Test func errorsBeyondTheLimitAreCounted() throws {
    let text = "{" + (0..<600).map { "key\($0): 1" }.joined(separator: ", ") + "}"
    #expect(errorList(in: text).count == 500)
    #expect(errors(in: text).hasSuffix("and 102 more errors"))
}
