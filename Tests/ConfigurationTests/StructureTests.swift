// What is wrong with a file as a whole: missing parts, duplicates, addresses that clash, YAML that Weir
// does not take.

import Configuration
import Testing

@Test func emptyFile() {
    for text in ["", "\n\n", "# nothing\n", "\u{FEFF}"] {
        #expect(messages(in: text) == ["1:1 the file is empty"])
    }
}

@Test func fileWithoutListenersAndPools() {
    #expect(
        messages(in: "workers: 1") == [
            "1:1 the file needs the key `listeners`", "1:1 the file needs the key `pools`",
        ])
    #expect(
        messages(in: "listeners: {}\npools: {}") == ["1:12 there is no listener", "2:8 there is no pool"])
    #expect(messages(in: "hello") == ["1:1 found `hello`"])
    #expect(messages(in: "[1, 2]") == ["1:1 found a list"])
}

@Test func listenerAndPoolWithoutTheirKeys() {
    #expect(
        messages(in: "listeners:\n  a:\n  b: { pool: p }\npools:\n  p: { balance: random }") == [
            "2:3 the listener `a` has no keys",
            "3:3 a listener needs the key `bind`",
            "5:3 a pool needs the key `backends`",
        ])
}

@Test func duplicateKeysNameTheirFirstLine() {
    let found = errorList(in: file(top: "workers: 1\nworkers: 2"))
    #expect(found.map(\.message) == ["duplicate key `workers`"])
    #expect(found.first?.position == SourcePosition(line: 2, column: 1))
    #expect(found.first?.hint == "it is first given in line 1")
}

private func clash(_ first: String, _ second: String) -> [String] {
    messages(
        in: """
            listeners:
              a: { bind: "\(first)", pool: p }
              b: { bind: "\(second)", pool: p }
            pools: { p: { backends: [a:1] } }
            """)
}

@Test func addressesThatClash() {
    #expect(clash("127.0.0.1:80", "127.0.0.1:80") == ["3:14 `127.0.0.1:80` is bound twice"])
    #expect(clash("unix:/x", "unix:/x") == ["3:14 `unix:/x` is bound twice"])
    #expect(clash("[::1]:80", "[0:0::1]:80") == ["3:14 `[::1]:80` is bound twice"])
    #expect(clash("0.0.0.0:80", "127.0.0.1:80") == ["3:14 `127.0.0.1:80` overlaps `0.0.0.0:80`"])
    #expect(clash("127.0.0.1:80", "0.0.0.0:80") == ["3:14 `0.0.0.0:80` overlaps `127.0.0.1:80`"])
    #expect(clash("[::]:80", "[::1]:80") == ["3:14 `[::1]:80` overlaps `[::]:80`"])
}

@Test func addressesThatDoNotClash() {
    #expect(clash("0.0.0.0:80", "[::]:80") == [])
    #expect(clash("0.0.0.0:80", "127.0.0.1:81") == [])
    #expect(clash("127.0.0.1:80", "127.0.0.2:80") == [])
    #expect(clash("127.0.0.1:0", "127.0.0.1:0") == [])
}

@Test(arguments: [
    ("workers: &x 1", "1:10 YAML anchors are not supported"),
    ("workers: *x", "1:10 YAML aliases are not supported"),
    ("workers: !!int 1", "1:10 YAML tags are not supported"),
    ("[a]: 1", "1:1 a list cannot be a key"),
    ("{a: b}: 1", "1:1 a mapping cannot be a key"),
    ("<<: {}", "1:1 unknown key `<<` in the file"),
])
func partsOfYAMLThatAreNotTaken(line: String, message: String) {
    #expect(messages(in: file(top: line)) == [message])
}

@Test func secondDocument() {
    #expect(
        messages(in: file() + "\n---\nworkers: 1") == [
            "11:1 a second YAML document starts here; a configuration is one"
        ])
}

@Test func slipsOfYAMLGetAHint() {
    func hint(_ text: String) -> String? { errorList(in: text).first?.hint }
    #expect(hint("listeners:\n\tweb: 5\n") == "indent with spaces; YAML allows no tabs there")
    #expect(hint("a:\n  bind: [::]:80\n") == "an IPv6 address needs quotes: `\"[::]:8080\"`")
    #expect(hint("a: { bind: 0.0.0.0:${PORT}, b: 1 }") == "between `{ }` or `[ ]` a `${NAME}` needs quotes")
    #expect(hint("a: @b") == "a text that starts with `@` needs quotes")
}

@Test func nearestSpellingDoesNotGuessWildly() {
    func suggestion(_ key: String) -> String? { errorList(in: file(top: "\(key): 1")).first?.suggestion }
    #expect(suggestion("worker") == "workers")
    #expect(suggestion("wokrers") == "workers")
    #expect(suggestion("Listeners") == "listeners")
    #expect(suggestion("pool") == "pools")
    #expect(suggestion("log") == "logs")
    #expect(suggestion("admn") == "admin")
    #expect(suggestion("dashboard") == nil)
    #expect(suggestion("x") == nil)
    #expect(suggestion(String(repeating: "workers", count: 50)) == nil)
}
