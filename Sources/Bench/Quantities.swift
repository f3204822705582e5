// Sizes, durations and shares as they stand on the command line. Written as in Weir's configuration; kept apart
// from it, so that the load generator is built of nothing that it measures but the ring and the HTTP parser.

public enum Quantities {
    private static let sizeUnits: [(name: String, bytes: Int)] = [
        ("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ]
    private static let durationUnits: [(name: String, nanoseconds: Double)] = [
        ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]

    /// Bytes, such as `128`, `64KiB`, `1MiB`.
    public static func size(_ text: String) throws(BenchError) -> Int {
        let (digits, unit) = split(text)
        guard let number = Int(digits), let factor = sizeUnits.first(where: { $0.name == unit })?.bytes,
            !number.multipliedReportingOverflow(by: factor).overflow
        else { throw BenchError("`\(text)` is no size: write it as 128, 64KiB or 1MiB") }
        return number * factor
    }

    /// Nanoseconds, such as `20ms`, `1.5s`; a number without a unit is seconds.
    public static func duration(_ text: String) throws(BenchError) -> UInt64 {
        let (digits, unit) = split(text)
        let factor = unit.isEmpty ? 1e9 : durationUnits.first(where: { $0.name == unit })?.nanoseconds
        guard let number = Double(digits), let factor, number * factor < 1e18 else {
            throw BenchError("`\(text)` is no duration: write it as 500us, 20ms, 10s or 5m")
        }
        return UInt64(number * factor)
    }

    /// 0 to 1, such as `5%`.
    public static func share(_ text: String) throws(BenchError) -> Double {
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), (0...100).contains(percent) else {
            throw BenchError("`\(text)` is no share: write it as 5% or 0.1%")
        }
        return percent / 100
    }

    private static func split(_ text: String) -> (digits: Substring, unit: Substring) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        return (digits, text[digits.endIndex...])
    }
}
