// What a command that applied a configuration prints: its number, what has changed, and what the file has to do with it.

import LogReading

struct Applied {
    private let fields: JSONFields

    init(_ fields: JSONFields) { self.fields = fields }

    var text: String {
        let restored = fields.value("restored")?.wholeNumber
        var lines = [
            "configuration \(fields.number("number")) is in force"
                + (restored.map { ", the same as \($0)" } ?? "")
        ]
        let changes = fields.objects("changes")
        if changes.isEmpty { lines.append("no difference") }
        for change in changes {
            lines.append(change.text("what"))
            lines += change.texts("details").map { "    \($0)" }
            if change.isTrue("needs_restart") {
                lines.append("    # left as they are; restart to apply them")
            }
        }
        if fields.isTrue("differs_from_file") {
            lines.append("it is not what the file of `weir run` says")
        }
        return lines.map { DisplayText.escaped($0) + "\n" }.joined()
    }
}
