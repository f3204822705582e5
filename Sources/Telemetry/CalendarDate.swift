// Seconds since 1970 as a date and a time of day in UTC, for log records and answers of the admin API.

/// A moment in the Gregorian calendar, UTC.
public struct CalendarDate: Sendable {
    let year, month, day, hour, minute, second: UInt64

    /// Days to year, month and day after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    public init(secondsSince1970 seconds: UInt64) {
        let shifted = seconds / 86_400 + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let secondOfDay = seconds % 86_400
        hour = secondOfDay / 3600
        minute = secondOfDay / 60 % 60
        second = secondOfDay % 60
    }

    /// RFC 3339: `2026-01-31T12:00:00Z`.
    public var text: String {
        let digits = [month, day, hour, minute, second].map { $0 < 10 ? "0\($0)" : "\($0)" }
        return "\(year)-\(digits[0])-\(digits[1])T\(digits[2]):\(digits[3]):\(digits[4])Z"
    }
}
