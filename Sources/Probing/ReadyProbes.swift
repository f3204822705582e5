// Ready-made probes for servers that speak no HTTP: a connection is enough, or an answer begins with the right
// bytes.

import Base

extension Probe {
    /// The server takes a connection.
    public static func connection(to address: SocketAddress, timeoutNanoseconds: UInt64) -> Probe {
        Probe(to: address, judge: nil, timeoutNanoseconds: timeoutNanoseconds)
    }

    /// Sends `request` (nothing where it is empty) and expects an answer that begins with one of `expected`.
    public static func exchange(
        with address: SocketAddress, sending request: [UInt8], expectingOneOf expected: [[UInt8]],
        timeoutNanoseconds: UInt64
    ) -> Probe {
        Probe(
            to: address, sending: request,
            judge: { octets, hasEnded in compare(octets, hasEnded, expectingOneOf: expected) },
            timeoutNanoseconds: timeoutNanoseconds)
    }

    /// Redis answers PING with +PONG (also while it wants a password: with an error, which is not it).
    public static func redisPing(to address: SocketAddress, timeoutNanoseconds: UInt64) -> Probe {
        exchange(
            with: address, sending: Array("PING\r\n".utf8), expectingOneOf: [Array("+PONG\r\n".utf8)],
            timeoutNanoseconds: timeoutNanoseconds)
    }

    /// PostgreSQL answers an SSLRequest with S or N, whatever else it may want of a client (the protocol's
    /// "Message Formats": length 8, code 80877103).
    public static func postgresSSLRequest(to address: SocketAddress, timeoutNanoseconds: UInt64) -> Probe {
        exchange(
            with: address, sending: [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F],
            expectingOneOf: [Array("S".utf8), Array("N".utf8)], timeoutNanoseconds: timeoutNanoseconds)
    }
}

/// Pure: whether what has come begins as it should.
func compare(
    _ octets: UnsafeBufferPointer<UInt8>, _ hasEnded: Bool, expectingOneOf expected: [[UInt8]]
) -> Verdict {
    var mayCome = false
    for wanted in expected {
        let common = min(wanted.count, octets.count)
        guard wanted.prefix(common).elementsEqual(octets.prefix(common)) else { continue }
        if common == wanted.count { return .matched }
        mayCome = true
    }
    if mayCome, !hasEnded || octets.isEmpty { return .needsMore }
    return .unexpected(excerpt(octets))
}

/// The first bytes of an answer for people to read, in quotes; anything but visible ASCII becomes a dot.
public func excerpt(_ octets: some Collection<UInt8>) -> String {
    var text = "\""
    for octet in octets.prefix(48) {
        text.unicodeScalars.append(octet >= 0x20 && octet < 0x7F ? Unicode.Scalar(octet) : ".")
    }
    return text + (octets.count > 48 ? "...\"" : "\"")
}
