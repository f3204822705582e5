// Whatever bytes come in, the reader gives a configuration or errors, soon, and never traps.

import Configuration
import Foundation
import Testing

/// Reads and checks what holds for all input: errors exist, are in order, name places and render.
@discardableResult
private func readAnything(_ bytes: [UInt8], environment: [String: String] = [:]) -> Bool {
    do {
        let configuration = try Configuration.read(bytes, file: "odd", environment: { environment[$0] })
        _ = configuration.rendered()
        return true
    } catch {
        #expect(!error.errors.isEmpty)
        let places = error.errors.map { ($0.position.line, $0.position.column) }
        #expect(zip(places, places.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(places.allSatisfy { $0.0 >= 1 && $0.1 >= 1 })
        #expect(error.rendered().utf8.last == UInt8(ascii: "\n"))
        return false
    }
}

@Test func randomBytes() {
    var random = SeededRandom(seed: 1)
    for _ in 0..<2_000 {
        readAnything((0..<random.next(below: 200)).map { _ in UInt8(random.next(below: 256)) })
    }
}

@Test func randomTextOfYAMLCharacters() {
    let pieces = [
        "a", "b: ", "- ", "\n", "  ", "{", "}", "[", "]", ",", "\"", "'", "|", ">", "&", "*", "!", "#", "${",
        "}", ":-",
        "$", "\t", "\r\n", "listeners:", "pools:", "---\n", "? ", "é", "日", "\u{85}", "\u{2028}", "%", "@",
        "\\", "~",
    ]
    var random = SeededRandom(seed: 2)
    for _ in 0..<5_000 {
        let text = (0..<random.next(below: 40)).map { _ in pieces[random.next(below: pieces.count)] }.joined()
        readAnything(Array(text.utf8))
    }
}

@Test func everyTruncationOfAFile() {
    for file in [fullFile, fullHTTPFile] {
        let bytes = Array((file + "\n# é日\u{1F600}\n").utf8)
        for count in bytes.indices { readAnything(Array(bytes[..<count])) }
    }
}

@Test(arguments: [fullFile, fullHTTPFile]) func everyByteOfAFileReplaced(file: String) {
    let original = Array(file.utf8)
    var random = SeededRandom(seed: 3)
    for index in original.indices {
        var bytes = original
        bytes[index] = UInt8(random.next(below: 256))
        readAnything(bytes)
        bytes[index] = Array("{}[]:-\"'\n\t*&!$#".utf8)[random.next(below: 15)]
        readAnything(bytes)
    }
}

@Test func everyByteAlone() {
    for byte in UInt8.min...UInt8.max { readAnything([byte]) }
}

@Test func bytesThatAreNotUTF8() {
    for bad in [[0xFF], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xC0, 0x80]]
        as [[UInt8]]
    {
        let bytes = Array("# é\nlogs: ".utf8) + bad + Array("\n".utf8)
        let error = #expect(throws: ConfigurationErrors.self) {
            try Configuration.read(bytes, file: "odd", environment: { _ in nil })
        }
        #expect(error?.errors.map(\.message) == ["the text is not UTF-8"])
        #expect(error?.errors.first?.position == SourcePosition(line: 2, column: 7))
    }
}

@Test func charactersThatYAMLForbids() {
    #expect(messages(in: "# é\nlogs: \u{00}") == ["2:7 the character U+0000 is not allowed in YAML"])
    #expect(messages(in: "# \u{1F600} \u{7F}") == ["1:5 the character U+007F is not allowed in YAML"])
}

@Test func deepNesting() {
    #expect(
        messages(in: String(repeating: "[", count: 100)).first == "1:34 nested more than 32 levels deep")
    for opening in ["[", "{a: ", "- ", "? ", "{? "] {
        readAnything(Array(String(repeating: opening, count: 100_000).utf8))
    }
}

@Test func largeFiles() {
    #expect(
        messages(in: String(repeating: "#", count: (1 << 20) + 1)) == ["1:1 the file is larger than 1MiB"])
    #expect(messages(in: String(repeating: "#", count: 1 << 20)) == ["1:1 the file is empty"])
    let huge = String(repeating: "x", count: 1_000_000)
    #expect(errorList(in: file(top: "engine: \(huge)")).first?.message.utf8.count ?? 0 < 200)
    #expect(errorList(in: file(top: "\"\(huge)\": 1")).first?.rendered().utf8.count ?? 0 < 1_000)
}

@Test(.timeLimit(.minutes(1))) func filesMadeToBeSlow() {
    func repeated(bytes: Int = 300_000, _ part: (Int) -> String) -> String {
        var text = ""
        var index = 0
        while text.utf8.count < bytes {
            text += part(index)
            index += 1
        }
        return text
    }
    let files = [
        "{" + repeated { "k\($0): 1," } + "}",
        "listeners: {" + repeated { "l\($0): {bind: 0.0.0.0:1, pool: q\($0)}," } + "}\n",
        "listeners: {a: {bind: [" + repeated { "127.0.0.\($0 % 250):\($0 % 60_000)," } + "], pool: p}}",
        "listeners: {a: {mode: http, routes: ["
            + repeated { "{match: {path: /\($0 % 9000), headers: {a: \($0)}}, pool: q}," } + "]}}",
        "listeners: {a: {mode: http, routes: [{pool: p}," + repeated { _ in "{pool: p}," } + "]}}",
        "pools: {p: {backends: [" + repeated { "a:\($0 % 60_000 + 1)," } + "]}}",
        "engine: \"" + repeated { _ in "\\x24{A:-}" } + "\"",
        "engine: \"" + repeated { _ in "${A:-}" } + "\"",
        "engine: '" + repeated { _ in "${" } + "'",
        "engine: " + repeated { _ in "a\n\n b" },
        repeated { _ in "?\n" }, repeated { _ in "- a\n" }, repeated { _ in "[]," },
        repeated { _ in "a: b\n" },
    ]
    for text in files { readAnything(Array(text.utf8)) }
    let listeners = repeated(bytes: 150_000) { "l\($0): {bind: 0.0.0.0:\($0), pool: qq\($0)}," }
    let pools = repeated(bytes: 150_000) { "p\($0): {backends: [a:1]}," }
    readAnything(Array("{listeners: {\(listeners)}, pools: {\(pools)}}".utf8))
}
