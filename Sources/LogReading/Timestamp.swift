// Reads the times that Weir writes: RFC 3339 in UTC, with fractions of a second.

enum Timestamp {
    /// Microseconds since 1970 for `2026-01-31T12:00:00.123456Z`; nil for another form or an impossible date.
    static func microseconds(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: "T"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]),
            let day = number(bytes[8..<10]),
            let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]),
            let second = number(bytes[17..<19]),
            let fraction = fractionMicroseconds(bytes[19..<(bytes.count - 1)]),
            year >= 1970, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60,
            second <= 60
        else { return nil }
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
        return seconds * 1_000_000 + fraction
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var number: UInt64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            number = number * 10 + UInt64(digit - UInt8(ascii: "0"))
        }
        return number
    }

    private static func fractionMicroseconds(_ text: ArraySlice<UInt8>) -> UInt64? {
        guard let point = text.first else { return 0 }
        let digits = text.dropFirst().prefix(6)
        guard point == UInt8(ascii: "."), !digits.isEmpty, let value = number(digits) else { return nil }
        return (digits.count..<6).reduce(value) { value, _ in value * 10 }
    }

    /// Days since 1970 after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    private static func days(_ year: UInt64, _ month: UInt64, _ day: UInt64) -> UInt64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
