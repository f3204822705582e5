// The page that lists what is refused keeps in step with the closed list in the code.

import Foundation
import HTTP1
import Testing

private func page() throws -> String {
    let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try String(contentsOf: folder.appendingPathComponent("docs/http.md"), encoding: .utf8)
}

/// The cells of the table of causes: cause and status.
private func rows() throws -> [String: String] {
    var rows: [String: String] = [:]
    let section = try page().components(separatedBy: "## What is refused")[1]
        .components(separatedBy: "\n## ")[0]
    for line in section.split(separator: "\n") where line.hasPrefix("| `") {
        let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        for cause in cells[0].components(separatedBy: ", ") {
            rows[cause.trimmingCharacters(in: ["`"])] = cells[1]
        }
    }
    return rows
}

@Test func everyRefusalIsInTheTableWithItsStatus() throws {
    let rows = try rows()
    for refusal in Refusal.allCases {
        #expect(rows["\(refusal.reason)"] == "\(refusal.status)", "\(refusal.reason)")
    }
    #expect(rows.count == Refusal.allCases.count)
}
