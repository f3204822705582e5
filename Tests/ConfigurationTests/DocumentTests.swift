// Files of the tree that must keep in step with the code: the schema, the examples, the page of the docs.

import Configuration
import Foundation
import Testing

/// Writes files instead of comparing them when WEIR_UPDATE_FILES is set.
private let updates = ProcessInfo.processInfo.environment["WEIR_UPDATE_FILES"] != nil

@Test func schemaFileIsWhatTheKeysGive() throws {
    let path = projectFolder.appendingPathComponent("configs/weir.schema.json")
    if updates { try JSONSchema.text().write(to: path, atomically: true, encoding: .utf8) }
    #expect(
        try projectFile("configs/weir.schema.json") == JSONSchema.text(),
        "run the tests with WEIR_UPDATE_FILES=1 and look at the difference")
}

@Test func schemaDescribesEveryKeyAndAllowsNoOther() throws {
    let schema = try #require(
        JSONSerialization.jsonObject(with: Data(JSONSchema.text().utf8)) as? [String: Any])
    var keys = Set<String>()
    func visit(_ value: Any) {
        if let list = value as? [Any] { list.forEach(visit) }
        guard let object = value as? [String: Any] else { return }
        if let properties = object["properties"] as? [String: [String: Any]] {
            #expect(object["additionalProperties"] as? Bool == false)
            for (key, property) in properties {
                keys.insert(key)
                #expect(property["description"] is String, "\(key) has no description")
            }
        }
        object.values.forEach(visit)
    }
    visit(schema)
    let wanted = Set(ConfigurationReference.keys().flatMap { $0.split(separator: ".").map(String.init) })
    #expect(keys == wanted)
}

@Test(arguments: ["tcp", "http", "redis", "postgres", "service"])
func exampleIsGood(name: String) throws {
    let text = try projectFile("configs/\(name).yaml")
    #expect(text.hasPrefix("# yaml-language-server: $schema=weir.schema.json\n"))
    let configuration = try read(text)
    #expect(configuration.warnings(file: name) == [])
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

/// The code blocks of a page that are marked with a language.
private func blocks(_ language: String, in page: String) -> [String] {
    page.components(separatedBy: "\n```\(language)\n").dropFirst().map {
        String($0.prefix(upTo: $0.range(of: "```")?.lowerBound ?? $0.endIndex))
    }
}

/// The pages that show configurations; those of docs/metrics.md are Prometheus'.
private let pagesWithExamples =
    (["README.md"]
    + ((try? FileManager.default.contentsOfDirectory(
        atPath: projectFolder.appendingPathComponent("docs").path)) ?? [])
    .filter { $0.hasSuffix(".md") && $0 != "metrics.md" }.sorted().map { "docs/" + $0 })
    .filter { page in (try? projectFile(page)).map { !blocks("yaml", in: $0).isEmpty } ?? false }

@Test func thereArePagesWithExamples() {
    #expect(pagesWithExamples.contains("README.md") && pagesWithExamples.contains("docs/configuration.md"))
}

@Test(arguments: pagesWithExamples)
func everyExampleOfTheDocsIsGood(page: String) throws {
    for example in blocks("yaml", in: try projectFile(page)) {
        #expect(
            errors(in: example, environment: ["WEIR_ADMIN_TOKEN": "0123456789abcdef"]) == "", "\(example)")
    }
}

@Test func tablesOfTheDocsAreWhatTheKeysGive() throws {
    let start = "<!-- keys -->\n"
    let end = "<!-- end of keys -->"
    var page = try projectFile("docs/configuration.md")
    let from = try #require(page.range(of: start)?.upperBound)
    let to = try #require(page.range(of: end)?.lowerBound)
    let wanted = "\n" + ConfigurationReference.markdown() + "\n"
    if updates {
        page.replaceSubrange(from..<to, with: wanted)
        try page.write(
            to: projectFolder.appendingPathComponent("docs/configuration.md"), atomically: true,
            encoding: .utf8)
    } else {
        #expect(page[from..<to] == wanted, "run the tests with WEIR_UPDATE_FILES=1")
    }
    for key in ConfigurationReference.keys() { #expect(wanted.contains("`\(key)`")) }
}

@Test func errorsOfTheDocsAreWhatIsPrinted() throws {
    let page = try projectFile("docs/configuration.md")
    let wrong = try #require(blocks("yaml-with-errors", in: page).first)
    let shown = try #require(blocks("text", in: page).first)
    #expect(shown == errors(in: wrong) + "\n")
}
