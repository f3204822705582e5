// Addresses in field values: X-Forwarded-For's elements, and what Forwarded would have behind `for=`.

/// An IP address without port.
public struct AddressValue: BitwiseCopyable, Equatable, Sendable {
    /// In host byte order; IPv4 in the low 32 bits of `low`.
    public var high: UInt64
    public var low: UInt64
    public var isIPv6: Bool

    public init(high: UInt64, low: UInt64, isIPv6: Bool) {
        self.high = high
        self.low = low
        self.isIPv6 = isIPv6
    }
}

extension FieldValue {
    /// The last element of the list that is not empty, and where what stands before it ends; nil where there is
    /// none. Lists are read from behind: each proxy appends to what it was sent.
    public static func lastElement(
        in octets: UnsafePointer<UInt8>, _ list: HeadRange
    ) -> (element: HeadRange, before: HeadRange)? {
        let view = unsafe Octets(octets, count: list.end)
        var end = list.end
        while end > list.start {
            var start = end
            while start > list.start, view[start &- 1] != Octet.comma { start &-= 1 }
            let element = view.trimmed(start, end)
            let before = HeadRange(list.start, max(start &- 1, list.start))
            if !element.isEmpty { return (element, before) }
            end = before.end
        }
        return nil
    }

    /// The address that the value is: `10.0.0.1`, `2001:db8::1` or `[2001:db8::1]`, with a port behind the
    /// first and the last perhaps. nil for anything else.
    public static func address(in octets: UnsafePointer<UInt8>, _ value: HeadRange) -> AddressValue? {
        let view = unsafe Octets(octets, count: value.end)
        if value.isEmpty { return nil }
        if view[value.start] == 0x5B {
            let end = view.first(0x5D, from: value.start, to: value.end)
            guard end < value.end, isPortOrNothing(view, HeadRange(end &+ 1, value.end)) else { return nil }
            return ipv6(view, HeadRange(value.start &+ 1, end))
        }
        let colon = view.first(Octet.colon, from: value.start, to: value.end)
        if let address = ipv4(view, HeadRange(value.start, colon)) {
            return isPortOrNothing(view, HeadRange(colon, value.end)) ? address : nil
        }
        return ipv6(view, value)
    }

    private static func isPortOrNothing(_ octets: Octets, _ range: HeadRange) -> Bool {
        if range.isEmpty { return true }
        guard octets[range.start] == Octet.colon, range.count <= 6 else { return false }
        return HTTP1.decimal(octets, HeadRange(range.start &+ 1, range.end)) ?? .max <= 65_535
    }

    private static func ipv4(_ octets: Octets, _ range: HeadRange) -> AddressValue? {
        guard isIPv4Address(octets, range) else { return nil }
        var (address, number) = (UInt64(0), UInt64(0))
        for index in range.start..<range.end {
            if octets[index] == 0x2E {
                (address, number) = (address << 8 | number, 0)
            } else {
                number = number &* 10 &+ UInt64(octets[index] &- 0x30)
            }
        }
        return AddressValue(high: 0, low: address << 8 | number, isIPv6: false)
    }

    /// Sixteen bits after the other; what stands before `::` is moved up when the end is known.
    private static func ipv6(_ octets: Octets, _ range: HeadRange) -> AddressValue? {
        guard isIPv6Address(octets, range) else { return nil }
        var bits = (high: UInt64(0), low: UInt64(0))
        var front: (high: UInt64, low: UInt64, groups: UInt64)?
        var groups: UInt64 = 0
        var index = range.start
        while index < range.end {
            if octets[index] == Octet.colon {
                if index &+ 1 < range.end, octets[index &+ 1] == Octet.colon {
                    front = (bits.high, bits.low, groups)
                    (bits, groups) = ((0, 0), 0)
                    index &+= 1
                }
                index &+= 1
                continue
            }
            var (group, end) = (UInt64(0), index)
            while end < range.end, let digit = Octet.hexadecimal(octets[end]) {
                (group, end) = (group << 4 | UInt64(digit), end &+ 1)
            }
            if end < range.end, octets[end] == 0x2E, let last = ipv4(octets, HeadRange(index, range.end)) {
                bits = shifted(bits, by: 32)
                bits.low |= last.low
                groups &+= 2
                break
            }
            bits = shifted(bits, by: 16)
            bits.low |= group
            groups &+= 1
            index = end
        }
        if let front {
            let moved = shifted((front.high, front.low), by: 16 &* (8 &- front.groups))
            bits = (bits.high | moved.high, bits.low | moved.low)
        }
        return AddressValue(high: bits.high, low: bits.low, isIPv6: true)
    }

    /// Left; a shift by the whole width gives zero.
    private static func shifted(_ bits: (high: UInt64, low: UInt64), by count: UInt64) -> (
        high: UInt64, low: UInt64
    ) {
        if count >= 64 { return (bits.low << (count &- 64), 0) }
        return (bits.high << count | bits.low >> (64 &- count), bits.low << count)
    }
}
