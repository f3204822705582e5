// Numbers with a unit as the file writes them: durations (`500ms`, `1h`), sizes (`16KiB`), shares (`5%`)
// and whole numbers. Each is read and written here, so that what is written reads back the same.

public enum Quantities {
    private static let durationUnits: [(name: String, nanoseconds: UInt64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
        ("ms", 1_000_000), ("us", 1_000),
    ]
    private static let sizeUnits: [(name: String, bytes: UInt64)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1),
    ]

    static func wholeNumber(_ text: String) throws(TextProblem) -> UInt64 {
        guard let number = digits(Substring(text)) else {
            throw TextProblem(message: "\(text.quotedForMessage) is not a whole number")
        }
        return number
    }

    // MARK: - Durations

    /// Nanoseconds.
    static func duration(_ text: String) throws(TextProblem) -> UInt64 {
        let (number, unit) = split(text)
        guard let value = digits(number) else {
            throw TextProblem(message: "\(text.quotedForMessage) is not a duration")
        }
        if unit.isEmpty {
            throw TextProblem(
                message: "\(text.quotedForMessage) has no unit", suggestion: "\(number)s")
        }
        guard let factor = durationUnits.first(where: { $0.name == unit })?.nanoseconds else {
            throw TextProblem(
                message: "\(text.quotedForMessage) is not a duration",
                suggestion: probableDurationUnit(unit).map { "\(number)\($0)" })
        }
        return saturatingProduct(value, factor)
    }

    public static func durationText(nanoseconds: UInt64) -> String {
        for unit in durationUnits where nanoseconds.isMultiple(of: unit.nanoseconds) {
            return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
        }
        return "\(max(nanoseconds / 1_000, 1))us"
    }

    private static func probableDurationUnit(_ unit: String) -> String? {
        switch unit.lowercased() {
        case "sec", "secs", "second", "seconds": return "s"
        case "min", "mins", "minute", "minutes": return "m"
        case "h", "hr", "hrs", "hour", "hours": return "h"
        case "day", "days": return "d"
        case "msec", "msecs", "millis", "millisecond", "milliseconds": return "ms"
        case "usec", "usecs", "µs", "μs", "micros", "microsecond", "microseconds": return "us"
        case let folded: return durationUnits.first { $0.name == folded }?.name
        }
    }

    // MARK: - Sizes

    /// Bytes.
    static func size(_ text: String) throws(TextProblem) -> UInt64 {
        let (number, unit) = split(text)
        guard let value = digits(number) else {
            throw TextProblem(message: "\(text.quotedForMessage) is not a size")
        }
        guard let factor = sizeUnits.first(where: { $0.name == unit })?.bytes else {
            throw TextProblem(
                message: "\(text.quotedForMessage) is not a size",
                suggestion: probableSizeUnit(unit).map { "\(number)\($0)" })
        }
        return saturatingProduct(value, factor)
    }

    static func sizeText(bytes: UInt64) -> String {
        for unit in sizeUnits where bytes.isMultiple(of: unit.bytes) && (bytes > 0 || unit.bytes == 1) {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)"
    }

    private static func probableSizeUnit(_ unit: String) -> String? {
        switch unit.lowercased() {
        case "b", "byte", "bytes": return ""
        case "k", "kb", "ki", "kib": return "KiB"
        case "m", "mb", "mi", "mib": return "MiB"
        case "g", "gb", "gi", "gib": return "GiB"
        default: return nil
        }
    }

    // MARK: - Shares

    /// The file's precision: a ten-thousandth of a percent.
    private static let sharePartsPerPercent: UInt64 = 10_000
    private static let shareParts: UInt64 = 100 * sharePartsPerPercent

    /// 0...1 for `0%`...`100%`.
    static func share(_ text: String) throws(TextProblem) -> Double {
        let invalid = TextProblem(message: "\(text.quotedForMessage) is not a share")
        guard text.unicodeScalars.last == "%" else {
            if digits(Substring(text)) != nil {
                throw TextProblem(message: "\(text.quotedForMessage) has no `%`", suggestion: text + "%")
            }
            throw invalid
        }
        let number = text.unicodeScalars.dropLast()
        let whole = number.prefix { $0 != "." }
        let fraction = number.dropFirst(whole.count)
        guard let percent = digits(Substring(whole)) else { throw invalid }
        var parts = saturatingProduct(percent, sharePartsPerPercent)
        if !fraction.isEmpty {
            let decimals = Substring(fraction.dropFirst())
            guard (1...4).contains(decimals.utf8.count), let value = digits(decimals) else { throw invalid }
            let scale = [1_000, 100, 10, 1] as [UInt64]
            parts = parts.addingReportingOverflow(value * scale[decimals.utf8.count - 1]).partialValue
        }
        guard percent <= 100, parts <= shareParts else {
            throw TextProblem(message: "\(text.quotedForMessage) is more than the whole")
        }
        return Double(parts) / Double(shareParts)
    }

    public static func shareText(_ share: Double) -> String {
        // The sum of the shares of a split may be more than the whole.
        let bounded = share.isFinite ? min(max(share, 0), 1_000) : 1
        let parts = UInt64((bounded * Double(shareParts)).rounded())
        let (percent, remainder) = parts.quotientAndRemainder(dividingBy: sharePartsPerPercent)
        if remainder == 0 { return "\(percent)%" }
        var decimals = String(String(sharePartsPerPercent + remainder).dropFirst())
        while decimals.hasSuffix("0") { decimals.removeLast() }
        return "\(percent).\(decimals)%"
    }

    // MARK: - Digits

    /// The number that the text is, nil unless it is all ASCII digits. Too many digits give the largest.
    private static func digits(_ text: Substring) -> UInt64? {
        if text.isEmpty { return nil }
        var number: UInt64 = 0
        for byte in text.utf8 {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            number = saturatingProduct(number, 10)
            let (sum, overflow) = number.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            number = overflow ? .max : sum
        }
        return number
    }

    /// The leading digits and what follows them.
    private static func split(_ text: String) -> (number: Substring, unit: String) {
        let scalars = text.unicodeScalars
        let number = scalars.prefix { ("0"..."9").contains($0) }
        return (Substring(number), String(scalars.dropFirst(number.count)))
    }

    private static func saturatingProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? .max : product
    }
}

/// The nanoseconds of a duration as the configuration writes it (`200ms`, `5s`); nil for another text. For
/// options of commands.
public func durationNanoseconds(_ text: String) -> UInt64? { try? Quantities.duration(text) }
