// Text for man(7): what keeps a text from being taken for a request, and `code` as bold.

enum Roff {
    /// A line of text.
    static func text(_ text: String) -> String {
        var result = ""
        var isBold = false
        for character in text {
            if character == "`" {
                result += isBold ? "\\fR" : "\\fB"
                isBold.toggle()
            } else {
                result += escaped(character)
            }
        }
        if isBold { result += "\\fR" }
        // A dot or quote at the beginning of a line would be a request.
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }

    /// One argument of a request, spaces and all.
    static func argument(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" ? "\\(dq" : escaped($0) }.joined() + "\""
    }

    private static func escaped(_ character: Character) -> String {
        switch character {
        case "\\": "\\e"
        case "-": "\\-"
        default: String(character)
        }
    }
}
