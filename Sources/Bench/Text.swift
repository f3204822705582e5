// Numbers and JSON as text, without Foundation.

/// With so many decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale: UInt64 = 1
    for _ in 0..<decimals { scale *= 10 }
    let (whole, rest) = UInt64((value * Double(scale)).rounded()).quotientAndRemainder(dividingBy: scale)
    if decimals == 0 { return "\(whole)" }
    return "\(whole)." + String(String(scale + rest).dropFirst())
}

/// A JSON object of values that are JSON already.
func object(_ fields: [(name: String, value: String)]) -> String {
    "{" + fields.map { "\(quoted($0.name)):\($0.value)" }.joined(separator: ",") + "}"
}

/// A JSON string.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case ..<" ": result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
