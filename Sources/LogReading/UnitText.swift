// Numbers as people read them: three digits or so, and a unit.

public enum UnitText {
    /// `326us`, `1.2ms`, `45ms`, `2.1s`, `3m05s`, `2h10m`, `4d01h`.
    public static func duration(microseconds: UInt64) -> String {
        switch microseconds {
        case 0..<1_000: return "\(microseconds)us"
        case 1_000..<1_000_000: return scaled(microseconds, 1_000) + "ms"
        case 1_000_000..<60_000_000: return scaled(microseconds, 1_000_000) + "s"
        default: break
        }
        let seconds = microseconds / 1_000_000
        switch seconds {
        case 0..<3_600: return "\(seconds / 60)m\(twoDigits(seconds % 60))s"
        case 3_600..<86_400: return "\(seconds / 3_600)h\(twoDigits(seconds / 60 % 60))m"
        default: return "\(seconds / 86_400)d\(twoDigits(seconds / 3_600 % 24))h"
        }
    }

    /// `78B`, `1.2KiB`, `45MiB`.
    public static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var unit = 0
        var divisor: UInt64 = 1
        while unit < units.count - 1, count / divisor >= 1024 {
            divisor *= 1024
            unit += 1
        }
        return (unit == 0 ? "\(count)" : scaled(count, divisor)) + units[unit]
    }

    /// `12,345`.
    public static func count(_ number: UInt64) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0, index.isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }

    /// A share as `1.2%`.
    public static func percent(_ part: UInt64, of whole: UInt64) -> String {
        whole == 0 ? "-" : oneDecimal(Double(part) / Double(whole) * 100) + "%"
    }

    public static func oneDecimal(_ number: Double) -> String {
        let tenths = UInt64(min(max(number, 0), 1e15) * 10 + 0.5)
        return "\(count(tenths / 10)).\(tenths % 10)"
    }

    /// One decimal below ten, none from there; rounded down, so that the unit is never outgrown.
    private static func scaled(_ number: UInt64, _ divisor: UInt64) -> String {
        let whole = number / divisor
        return whole >= 10 ? "\(whole)" : "\(whole).\(number % divisor * 10 / divisor)"
    }

    private static func twoDigits(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
