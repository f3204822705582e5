// Who a client is, small enough to be kept in every session, for the log and the limit per client.

import Base
import Configuration
import Glibc
import HTTP1
import Telemetry

struct ClientAddress: BitwiseCopyable, Equatable {
    enum Family: UInt8 {
        case unknown
        case unix
        case ipv4
        case ipv6
    }

    /// The address in host byte order; IPv4 in the low 32 bits of `low`.
    var high: UInt64
    var low: UInt64
    var port: UInt16
    var family: Family

    static let unknown = ClientAddress(high: 0, low: 0, port: 0, family: .unknown)

    init(high: UInt64, low: UInt64, port: UInt16, family: Family) {
        self.high = high
        self.low = low
        self.port = port
        self.family = family
    }

    /// What a proxy says of a client; it does not say the port.
    init(_ address: AddressValue) {
        let isMapped = address.isIPv6 && address.high == 0 && address.low >> 32 == 0xFFFF
        self.init(
            high: address.high, low: isMapped ? address.low & 0xFFFF_FFFF : address.low, port: 0,
            family: address.isIPv6 && !isMapped ? .ipv6 : .ipv4)
    }

    /// An IPv4 client that came in over an IPv6 socket (RFC 4291, 2.5.5.2) is an IPv4 client.
    init(_ storage: UnsafePointer<sockaddr_storage>) {
        let raw = UnsafeRawPointer(storage)
        switch Int32(storage.pointee.ss_family) {
        case AF_INET:
            let address = raw.load(as: sockaddr_in.self)
            self.init(
                high: 0, low: UInt64(UInt32(bigEndian: address.sin_addr.s_addr)),
                port: UInt16(bigEndian: address.sin_port), family: .ipv4)
        case AF_INET6:
            let octets = raw + MemoryLayout<sockaddr_in6>.offset(of: \sockaddr_in6.sin6_addr)!
            let high = UInt64(bigEndian: octets.loadUnaligned(as: UInt64.self))
            let low = UInt64(bigEndian: octets.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let port = UInt16(bigEndian: raw.load(as: sockaddr_in6.self).sin6_port)
            let isMapped = high == 0 && low >> 32 == 0xFFFF
            self.init(
                high: high, low: isMapped ? low & 0xFFFF_FFFF : low, port: port,
                family: isMapped ? .ipv4 : .ipv6)
        case AF_UNIX:
            self.init(high: 0, low: 0, port: 0, family: .unix)
        default:
            self = .unknown
        }
    }

    /// For people, without port.
    var text: String {
        switch family {
        case .ipv4:
            String(
                AddressRange.ipv4(UInt32(truncatingIfNeeded: low), prefixLength: 32).description.dropLast(3))
        case .ipv6: String(AddressRange.ipv6(high: high, low: low, prefixLength: 128).description.dropLast(4))
        case .unix: "unix"
        case .unknown: "unknown"
        }
    }

    func write(_ key: StaticString, to record: inout RecordWriter) {
        switch family {
        case .ipv4: record.ipv4(key, UInt32(truncatingIfNeeded: low), port: port)
        case .ipv6: record.ipv6(key, high: high, low: low, port: port)
        case .unix: record.word(key, "unix")
        case .unknown: record.word(key, "unknown")
        }
    }
}
