// The page of the logs keeps in step with the reasons in the code.

import Foundation
import Testing

@testable import Dataplane

@Test func everyReasonIsInTheTablesOfTheLogs() throws {
    let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let page = try String(contentsOf: folder.appendingPathComponent("docs/logs.md"), encoding: .utf8)
    for reason in Reason.allCases {
        #expect(page.contains("\n| `\(reason.name)` |"), "\(reason.name)")
    }
}
